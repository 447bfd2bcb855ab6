package race

import (
	"context"
	"errors"
	"fmt"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore/codec"
)

// later is Place as a queue keeps it.
type later struct {
	ID     string
	Placed Placed
}

// AggregateID is foldstream's.
func (c later) AggregateID() string { return c.ID }

// Queued is a row of commands that begin orders by way of a durable queue: the
// time until one is stored, and until a worker of the same process has carried
// it out and said so.
func Queued(callers int) Row {
	entry := func(name string, await bool) Entry {
		return Entry{Name: name, Kind: Ours, Types: Generated, Callers: callers, Open: func(ctx context.Context, parent string) (*Lap, error) {
			s, lap, err := Durable("", Generated, nil).open(ctx, parent, nil, nil)
			if err != nil {
				return nil, err
			}
			f := s.(*foldstream)
			orders := aggregate.NewRepository[Order](f.store, Category, Codec(Generated), nil)
			command.Register(f.bus, aggregate.Handle(orders, func(o Order, c later) ([]Event, error) { return o.Place(Place{c.ID, c.Placed}) }))
			q := command.NewQueue("queue", f.store, codec.New(codec.Type[later]("Place")), f.bus, &command.QueueOptions{Concurrency: 64})
			if await {
				work(ctx, q, lap)
			}
			id := func(caller, i int) ID { return fresh[i*callers+caller] }
			lap.Most = freshIDs / callers
			lap.Do = func(ctx context.Context, caller, i int) error {
				return enqueue(ctx, q, id(caller, i), NewPlaced(i), await)
			}
			lap.Check = func(ctx context.Context, done []int) error { return checkQueued(ctx, q, s, id, done, await) }
			return lap, nil
		}}
	}
	return Row{Name: fmt.Sprintf("command on a durable queue, %d callers", callers), Unit: "commands",
		Entries: []Entry{entry("enqueued", false), entry("enqueued and carried out", true)}}
}

// work runs the queue until the lap is closed.
func work(ctx context.Context, q *command.Queue, lap *Lap) {
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	closeStore := lap.Close
	lap.Close = func() error {
		stop()
		return errors.Join(<-ended, closeStore())
	}
}

func enqueue(ctx context.Context, q *command.Queue, id ID, e Placed, await bool) error {
	_, err := command.Enqueue(ctx, q, later{id.Text, e}, command.WithID(id.Text))
	if err != nil || !await {
		return err
	}
	s, err := q.Await(ctx, id.Text)
	if err == nil {
		err = s.Err()
	}
	return err
}

// checkQueued looks at some of what was enqueued: it waits, or its order is
// there.
func checkQueued(ctx context.Context, q *command.Queue, s System, id func(caller, i int) ID, done []int, awaited bool) error {
	for caller, n := range done {
		for i := 0; i < n; i += max(n/10, 1) {
			if awaited {
				if err := expect(ctx, s, id(caller, i), 1, Order{}.OnPlaced(NewPlaced(i))); err != nil {
					return err
				}
				continue
			}
			if st, err := q.Get(ctx, id(caller, i).Text); err != nil || st.State != command.StatePending {
				return errors.Join(err, fmt.Errorf("command %s is %v", id(caller, i).Text, st.State))
			}
		}
	}
	return nil
}
