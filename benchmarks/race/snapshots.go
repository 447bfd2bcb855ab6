package race

import (
	"context"
	"errors"
	"fmt"

	"github.com/foldstream/foldstream/aggregate"
)

// Snapshots is a row of loading orders of so many events, with and without a
// snapshot in the durable store that has the events.
func Snapshots(orders, events int) Row {
	line := NewLineAdded(0)
	ids, history := IDs(orders), History(events, false)
	want := Fold(history).OnLineAdded(line)
	entry := func(name string, taken bool) Entry {
		return Entry{Name: name, Kind: Ours, Types: Generated, Open: func(ctx context.Context, parent string) (*Lap, error) {
			s, lap, err := Durable("", Generated, Uncached()).open(ctx, parent, ids, history)
			if err != nil {
				return nil, err
			}
			if taken {
				s = withSnapshots(s.(*foldstream), orders, events)
			}
			for i := 0; i < orders && err == nil; i++ {
				err = s.AddLine(ctx, ids[i], line)
			}
			if w, ok := s.(*snapshotted); ok && err == nil {
				err = w.wait(ctx)
			}
			if err != nil {
				return nil, errors.Join(err, lap.Close())
			}
			lap.Do = func(ctx context.Context, _, i int) error { return expect(ctx, s, ids[i%orders], events+1, want) }
			return lap, nil
		}}
	}
	return Row{Name: fmt.Sprintf("load an order of %d events, durable", events), Unit: "orders",
		Entries: []Entry{entry("from its events", false), entry("from a snapshot", true)}}
}

// snapshotted is foldstream with a repository that takes a snapshot after so
// many events.
type snapshotted struct {
	System
	saved chan error
	n     int
}

func withSnapshots(s *foldstream, orders, every int) System {
	w := &snapshotted{saved: make(chan error, orders), n: orders}
	w.System = Assemble(s.store, Generated, &aggregate.Options{Cache: -1, Snapshots: &aggregate.SnapshotOptions{
		Store: aggregate.NewStoreSnapshots(s.store, nil), Every: every,
		OnSave: func(context.Context, aggregate.Snapshot) { w.saved <- nil },
		OnError: func(_ context.Context, stream string, err error) {
			w.saved <- fmt.Errorf("snapshot of %s: %w", stream, err)
		},
	}})
	return w
}

// wait returns when each order has its snapshot.
func (w *snapshotted) wait(ctx context.Context) error {
	for range w.n {
		select {
		case err := <-w.saved:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
