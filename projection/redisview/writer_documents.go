package redisview

import (
	"slices"

	"github.com/foldstream/foldstream/projection"
)

// isPerKey says whether documents are stored under keys of their own. It may be
// called at any time.
func (w *writer) isPerKey(collection string) bool { return slices.Contains(w.perKey, collection) }

// perKeyDocuments writes documents under keys of their own. The registry does
// not hold those: they are found by what they begin with.
func (w *writer) perKeyDocuments(c *projection.DocumentChanges) {
	stem := w.base + perKeyStem(c.Collection)
	if c.TTL > 0 {
		ttl := milliseconds(c.TTL)
		for i := range c.Put {
			w.open("set", stem+c.Put[i].Key)
			w.args = append(w.args, (*raw)(&c.Put[i].Value), "px", ttl)
			w.field()
			w.close()
		}
	} else {
		w.openKeys("mset")
		for i := range c.Put {
			w.args = append(w.args, stem+c.Put[i].Key, (*raw)(&c.Put[i].Value))
			w.field()
		}
		w.close()
	}
	w.openKeys("unlink")
	for i := range c.Delete {
		w.args = append(w.args, stem+c.Delete[i])
		w.field()
	}
	w.close()
}
