package race

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// A System is a library on a store, as the workloads drive it. Each command
// loads its order, decides, encodes and stores what was decided. It is safe
// for concurrent use.
type System interface {
	// Place carries out the command that begins an order.
	Place(ctx context.Context, id ID, e Placed) error
	// AddLine carries out the command that adds a line to an order.
	AddLine(ctx context.Context, id ID, e LineAdded) error
	// Load returns an order made of its stored events, and their number.
	Load(ctx context.Context, id ID) (Order, int, error)
	Close() error
}

// A Contestant is a library with one kind of store.
type Contestant struct {
	Name  string
	Kind  Kind
	Types Types
	Tuned bool
	// Warm loads each order once before commands are measured, for those that
	// then remember it.
	Warm bool
	// Open returns a system on a new store. dir is empty for it alone. Each of
	// ids is an order with that history already; durable stores need not sync
	// before Open returns.
	Open func(ctx context.Context, dir string, ids []ID, history []Event) (System, error)
}

// freshIDs is the most orders that a repetition begins.
const freshIDs = 1 << 18

var fresh = IDs(freshIDs)

// Fresh is an entry whose commands begin new orders.
func Fresh(c Contestant, callers int) Entry {
	return c.entry(callers, nil, nil, func(s System, lap *Lap) {
		lap.Most = freshIDs / callers
		id := func(caller, i int) ID { return fresh[i*callers+caller] }
		lap.Do = func(ctx context.Context, caller, i int) error { return s.Place(ctx, id(caller, i), NewPlaced(i)) }
		lap.Check = func(ctx context.Context, done []int) error {
			for caller, n := range done {
				for i := 0; i < n; i += max(n/200, 1) {
					if err := expect(ctx, s, id(caller, i), 1, Order{}.OnPlaced(NewPlaced(i))); err != nil {
						return err
					}
				}
			}
			return nil
		}
	})
}

// Existing is an entry whose commands add lines to orders that have a history
// of so many events. Each caller has orders of its own.
func Existing(c Contestant, callers, orders, events int) Entry {
	ids, history := IDs(orders), History(events, false)
	state := Fold(history)
	per := orders / callers
	return c.entry(callers, ids, history, func(s System, lap *Lap) {
		id := func(caller, i int) ID { return ids[caller*per+i%per] }
		lap.Do = func(ctx context.Context, caller, i int) error { return s.AddLine(ctx, id(caller, i), NewLineAdded(i)) }
		lap.Check = func(ctx context.Context, done []int) error {
			for caller, n := range done {
				for k := range per {
					want, more := state, 0
					for i := k; i < n; i += per {
						want = want.OnLineAdded(NewLineAdded(i))
						more++
					}
					if err := expect(ctx, s, id(caller, k), events+more, want); err != nil {
						return err
					}
				}
			}
			return nil
		}
	})
}

// Rehydrate is an entry that loads orders of so many events, and counts these.
func Rehydrate(c Contestant, orders, events int) Entry {
	ids, history := IDs(orders), History(events, true)
	want := Fold(history)
	return c.entry(1, ids, history, func(s System, lap *Lap) {
		lap.Each = events
		lap.Do = func(ctx context.Context, _, i int) error { return expect(ctx, s, ids[i%orders], events, want) }
	})
}

func (c Contestant) entry(callers int, ids []ID, history []Event, with func(System, *Lap)) Entry {
	return Entry{Name: c.Name, Kind: c.Kind, Types: c.Types, Tuned: c.Tuned, Callers: callers, Open: func(ctx context.Context, parent string) (*Lap, error) {
		s, lap, err := c.open(ctx, parent, ids, history)
		if err == nil {
			with(s, lap)
		}
		return lap, err
	}}
}

// open returns a system in a directory of its own, and a lap that closes it.
func (c Contestant) open(ctx context.Context, parent string, ids []ID, history []Event) (System, *Lap, error) {
	dir, err := os.MkdirTemp(parent, "store")
	if err != nil {
		return nil, nil, err
	}
	s, err := c.Open(ctx, dir, ids, history)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	lap := &Lap{Close: func() error { return errors.Join(s.Close(), os.RemoveAll(dir)) }}
	if c.Warm {
		for _, id := range ids {
			if _, _, err := s.Load(ctx, id); err != nil {
				return nil, nil, errors.Join(err, lap.Close())
			}
		}
	}
	return s, lap, nil
}

func expect(ctx context.Context, s System, id ID, events int, want Order) error {
	got, n, err := s.Load(ctx, id)
	if err == nil && (got != want || n != events) {
		err = fmt.Errorf("order %s is %+v of %d events, not %+v of %d", id.Text, got, n, want, events)
	}
	return err
}
