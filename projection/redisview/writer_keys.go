package redisview

import (
	"slices"
	"strings"

	"github.com/foldstream/foldstream/projection"
)

// byKey calls add for the changes 0 to n-1, those of one key one after the
// other and in their order, and starts a command wherever the key changes or
// there is an end to putting in or taking away.
func (w *writer) byKey(n int, change func(int) (key string, remove bool), start func(i int, fresh bool), add func(i int)) {
	w.order = w.order[:0]
	for i := range n {
		w.order = append(w.order, i)
	}
	slices.SortStableFunc(w.order, func(a, b int) int {
		ka, _ := change(a)
		kb, _ := change(b)
		return strings.Compare(ka, kb)
	})
	var last string
	var removing bool
	for at, i := range w.order {
		key, remove := change(i)
		if fresh := at == 0 || key != last; fresh || remove != removing {
			if at > 0 {
				w.close()
			}
			start(i, fresh)
		}
		add(i)
		w.field()
		last, removing = key, remove
	}
	if n > 0 {
		w.close()
	}
}

func (w *writer) entries(c *projection.IndexChanges) {
	var key string
	w.byKey(len(c.Entries),
		func(i int) (string, bool) { return c.Entries[i].Key, c.Entries[i].Remove },
		func(i int, fresh bool) {
			e := &c.Entries[i]
			if fresh {
				key = w.keyOf(indexSuffix(c.Collection, e.Key))
			}
			w.open(either(e.Remove, "zrem", "zadd"), key)
		},
		func(i int) {
			if e := &c.Entries[i]; e.Remove {
				w.args = append(w.args, &e.Member)
			} else {
				w.args = append(w.args, &e.Score, &e.Member)
			}
		})
}

func (w *writer) sets(c *projection.SetChanges) {
	var key string
	w.byKey(len(c.Changes),
		func(i int) (string, bool) { return c.Changes[i].Key, c.Changes[i].Remove },
		func(i int, fresh bool) {
			s := &c.Changes[i]
			if fresh {
				key = w.keyOf(setSuffix(c.Collection, s.Key))
			}
			w.open(either(s.Remove, "srem", "sadd"), key)
		},
		func(i int) { w.args = append(w.args, &c.Changes[i].Member) })
}

func either(cond bool, yes, no string) string {
	if cond {
		return yes
	}
	return no
}
