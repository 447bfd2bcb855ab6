package main

import (
	"context"
	"fmt"
	"time"

	"github.com/hallgren/eventsourcing"
	"github.com/hallgren/eventsourcing/aggregate"
	"github.com/hallgren/eventsourcing/core"
	"github.com/hallgren/eventsourcing/eventstore/memory"
	"github.com/redis/go-redis/v9"
	"github.com/tinylib/msgp/msgp"

	"github.com/foldstream/foldstream/benchmarks/race"
)

// Order is the aggregate, which that library needs in order to know the events.
type Order struct {
	aggregate.Root
	state race.Order
}

// Register tells the library the events.
func (o *Order) Register(r aggregate.RegisterFunc) { r(&Placed{}, &LineAdded{}, &Paid{}, &Shipped{}) }

// Transition folds the aggregate.
func (o *Order) Transition(e eventsourcing.Event) {
	switch e := e.Data().(type) {
	case *Placed:
		o.state = o.state.OnPlaced(*e)
	case *LineAdded:
		o.state = o.state.OnLineAdded(*e)
	case *Paid:
		o.state = o.state.OnPaid(*e)
	case *Shipped:
		o.state = o.state.OnShipped(*e)
	}
}

// generated is the fastest encoder that the library can be given.
type generated struct{}

func (generated) Serialize(v any) ([]byte, error) {
	m, ok := v.(msgp.Marshaler)
	if metadata, none := v.(map[string]any); none && len(metadata) == 0 {
		return nil, nil
	}
	if !ok {
		return nil, fmt.Errorf("%T has no generated methods", v)
	}
	return m.MarshalMsg(nil)
}

func (generated) Deserialize(data []byte, v any) error {
	if p, ok := v.(*any); ok {
		v = *p
	}
	u, ok := v.(msgp.Unmarshaler)
	if !ok {
		return fmt.Errorf("%T has no generated methods", v)
	}
	_, err := u.UnmarshalMsg(data)
	return err
}

// useHallgren sets the encoder, which is one for the whole program, of which
// one contestant runs at a time.
func useHallgren(e hallgrenEncoder) {
	eventsourcing.SetEventEncoder(e)
	aggregate.Register(&Order{})
}

// coreEvent is the event in the library's form.
func (h *history) coreEvent(i int) core.Event {
	e := &h.events[i]
	return core.Event{
		AggregateID: h.ids[e.order].String(), AggregateType: "Order", Reason: e.name,
		Version: core.Version(e.version), GlobalVersion: core.Version(i + 1), Timestamp: time.Now(), Data: e.data,
	}
}

func fillHallgren(h *history) (*memory.Memory, error) {
	m := memory.Create()
	for i := range h.events {
		if err := m.Save([]core.Event{h.coreEvent(i)}); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// projected runs the library's own projection to the end.
func projected(ctx context.Context, rdb *redis.Client, variadic bool, fetch core.Fetcher) error {
	view := newHandView(rdb, variadic, func(id string) string { return id })
	p := eventsourcing.NewProjection(fetch, func(e eventsourcing.Event) error {
		if err := view.value(e.AggregateID(), e.Data(), e.Timestamp()); err != nil {
			return err
		}
		return view.handled(ctx, uint64(e.GlobalVersion()))
	})
	if r := p.RunToEnd(ctx); r.Error != nil {
		return r.Error
	}
	return view.flush(ctx)
}

// iterated takes events from the library's store and decodes them itself.
func iterated(ctx context.Context, rdb *redis.Client, variadic bool, fetch core.Fetcher) error {
	view := newHandView(rdb, variadic, func(id string) string { return id })
	for {
		n, err := iterateOnce(ctx, view, fetch)
		if err != nil {
			return err
		}
		if n == 0 {
			return view.flush(ctx)
		}
	}
}

func iterateOnce(ctx context.Context, view *handView[string], fetch core.Fetcher) (n int, err error) {
	it, err := fetch()
	if err != nil {
		return 0, err
	}
	defer it.Close()
	for ; it.Next(); n++ {
		e, err := it.Value()
		if err != nil {
			return n, err
		}
		if err := view.bytes(e.AggregateID, e.Reason, e.Data, e.Timestamp); err != nil {
			return n, err
		}
		if err := view.handled(ctx, uint64(e.GlobalVersion)); err != nil {
			return n, err
		}
	}
	return n, nil
}
