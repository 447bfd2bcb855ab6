package race

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

// The entries of [Hot].
const (
	HotOurs  = "foldstream, one order"
	HotStore = "logstore alone, one stream"
)

// Hot is a row of callers who all send commands to one order, beside as many
// who append events of the same size to one stream without deciding anything.
func Hot(callers int) Row {
	const types = Generated
	ids, history := IDs(1), History(1, false)
	entry := func(name string, kind Kind, do func(*counted, System) func(context.Context, LineAdded) error) Entry {
		var store *counted
		c := Contestant{Name: name, Kind: kind, Open: func(ctx context.Context, dir string, ids []ID, history []Event) (System, error) {
			log, err := OpenLog(ctx, dir, types, ids, history)
			if err != nil {
				return nil, err
			}
			store = &counted{Store: log}
			return Assemble(store, types, nil), nil
		}}
		return c.entry(callers, ids, history, func(s System, lap *Lap) {
			one := do(store, s)
			lap.Do = func(ctx context.Context, caller, i int) error { return one(ctx, NewLineAdded(i*callers+caller)) }
			lap.Conflicts = store.conflicts.Load
			lap.Check = func(ctx context.Context, done []int) error { return checkHot(ctx, s, ids[0], Fold(history), done) }
		})
	}
	return Row{Name: fmt.Sprintf("one order, %d callers, durable", callers), Unit: "commands", Bars: []Bar{{Entry: HotOurs, Of: HotStore, Times: 0.8, Conflicts: 0.001}}, Entries: []Entry{
		entry(HotOurs, Ours, func(_ *counted, s System) func(context.Context, LineAdded) error {
			return func(ctx context.Context, e LineAdded) error { return s.AddLine(ctx, ids[0], e) }
		}),
		entry(HotStore, Limit, func(store *counted, _ System) func(context.Context, LineAdded) error {
			enc, stream := Codec(types), eventstore.StreamName(Category, ids[0].Text)
			return func(ctx context.Context, line LineAdded) error {
				e, err := encode(enc, types, line)
				if err == nil {
					_, err = store.Append(ctx, stream, eventstore.Any, e)
				}
				return err
			}
		}),
	}}
}

// checkHot wants every caller's lines in the order.
func checkHot(ctx context.Context, s System, id ID, want Order, done []int) error {
	events := 1
	for caller, n := range done {
		for i := range n {
			want = want.OnLineAdded(NewLineAdded(i*len(done) + caller))
		}
		events += n
	}
	return expect(ctx, s, id, events, want)
}

// counted counts the appends that a store refuses because of another.
type counted struct {
	*logstore.Store
	conflicts atomic.Int64
}

func (c *counted) Append(ctx context.Context, stream string, expected eventstore.Expected, events ...eventstore.Event) (eventstore.Receipt, error) {
	r, err := c.Store.Append(ctx, stream, expected, events...)
	if errors.Is(err, eventstore.ErrConflict) {
		c.conflicts.Add(1)
	}
	return r, err
}
