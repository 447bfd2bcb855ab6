package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/modernice/goes/aggregate"
	"github.com/modernice/goes/aggregate/repository"
	"github.com/modernice/goes/codec"
	"github.com/modernice/goes/event"
	"github.com/tinylib/msgp/msgp"

	"github.com/foldstream/foldstream/benchmarks/race"
)

// goesOrder is the aggregate as the library's documentation writes one.
type goesOrder struct {
	*aggregate.Base
	state race.Order
}

func newGoesOrder(id uuid.UUID) *goesOrder {
	o := &goesOrder{Base: aggregate.New("order", id)}
	event.ApplyWith(o, func(e event.Of[Placed]) { o.state = o.state.OnPlaced(e.Data()) }, "Placed")
	event.ApplyWith(o, func(e event.Of[LineAdded]) { o.state = o.state.OnLineAdded(e.Data()) }, "LineAdded")
	event.ApplyWith(o, func(e event.Of[Paid]) { o.state = o.state.OnPaid(e.Data()) }, "Paid")
	event.ApplyWith(o, func(e event.Of[Shipped]) { o.state = o.state.OnShipped(e.Data()) }, "Shipped")
	return o
}

// goes goes through its repository: its command bus, which is asynchronous, is
// measured for itself.
type goes struct {
	repo *repository.TypedRepository[*goesOrder]
}

func (g goes) Place(ctx context.Context, id race.ID, e race.Placed) error {
	o := newGoesOrder(uuid.UUID(id.UUID)) // the store refuses an order that is there already
	if err := o.state.CanPlace(); err != nil {
		return err
	}
	aggregate.Next(o, "Placed", e)
	return g.repo.Save(ctx, o)
}

func (g goes) AddLine(ctx context.Context, id race.ID, e race.LineAdded) error {
	return g.repo.Use(ctx, uuid.UUID(id.UUID), func(o *goesOrder) error {
		if err := o.state.CanAddLine(); err != nil {
			return err
		}
		aggregate.Next(o, "LineAdded", e)
		return nil
	})
}

func (g goes) Load(ctx context.Context, id race.ID) (race.Order, int, error) {
	o, err := g.repo.Fetch(ctx, uuid.UUID(id.UUID))
	if err != nil {
		return race.Order{}, 0, err
	}
	return o.state, o.AggregateVersion(), nil
}

func (g goes) Close() error { return nil }

func (g goes) fill(ctx context.Context, ids []race.ID, history []race.Event) error {
	for _, id := range ids {
		o := newGoesOrder(uuid.UUID(id.UUID))
		for _, e := range history {
			aggregate.Next[any](o, goesName(e), e)
		}
		if err := g.repo.Save(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func goesName(e race.Event) string {
	switch e.(type) {
	case Placed:
		return "Placed"
	case LineAdded:
		return "LineAdded"
	case Paid:
		return "Paid"
	case Shipped:
		return "Shipped"
	}
	return ""
}

// goesMemory enters the library on encodedStore with its default encoding, and
// with generated methods.
func goesMemory() []race.Contestant {
	entry := func(name string, types race.Types, opts ...codec.Option) race.Contestant {
		return race.Contestant{Name: name, Types: types, Tuned: types == race.Generated, Open: func(ctx context.Context, _ string, ids []race.ID, history []race.Event) (race.System, error) {
			registry := codec.New(opts...)
			codec.Register[Placed](registry, "Placed")
			codec.Register[LineAdded](registry, "LineAdded")
			codec.Register[Paid](registry, "Paid")
			codec.Register[Shipped](registry, "Shipped")
			store := &encodedStore{encoding: registry, events: make(map[uuid.UUID][]encodedEvent)}
			g := goes{repository.Typed(repository.New(store), newGoesOrder)}
			return g, g.fill(ctx, ids, history)
		}}
	}
	return []race.Contestant{
		entry("goes, memory, JSON", race.Plain, codec.Default(json.Marshal, json.Unmarshal)),
		entry("goes, memory, generated", race.Generated, codec.Default(marshalGoes, func(data []byte, v any) error { return generated{}.Deserialize(data, v) })),
	}
}

func marshalGoes(v any) ([]byte, error) {
	e, ok := v.(race.Event)
	if !ok {
		return nil, fmt.Errorf("%T is no event", v)
	}
	return race.PointerTo(e).(msgp.Marshaler).MarshalMsg(nil)
}

// encodedStore is a memory store for modernice/goes. The library's own keeps Go
// values, and looks at all its events for each query; its durable stores are
// servers. This one encodes as those do, and finds an aggregate's events at
// once.
type encodedStore struct {
	event.Store // Find and Delete are not called
	encoding    codec.Encoding
	mu          sync.RWMutex
	events      map[uuid.UUID][]encodedEvent
}

type encodedEvent struct {
	id      uuid.UUID
	name    string
	at      time.Time
	version int
	data    []byte
}

// Insert implements [event.Store].
func (s *encodedStore) Insert(_ context.Context, events ...event.Event) error {
	encoded := make([]encodedEvent, len(events))
	var stream uuid.UUID
	for i, e := range events {
		id, _, version := e.Aggregate()
		data, err := s.encoding.Marshal(e.Data())
		if err != nil {
			return err
		}
		stream, encoded[i] = id, encodedEvent{e.ID(), e.Name(), e.Time(), version, data}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := len(s.events[stream]); len(encoded) > 0 && encoded[0].version != have+1 {
		return fmt.Errorf("order %s has %d events: %d is a conflict", stream, have, encoded[0].version)
	}
	s.events[stream] = append(s.events[stream], encoded...)
	return nil
}

// Query implements [event.Store] for the one query that repositories make.
func (s *encodedStore) Query(ctx context.Context, q event.Query) (<-chan event.Event, <-chan error, error) {
	ids := q.AggregateIDs()
	if len(ids) != 1 {
		return nil, nil, fmt.Errorf("a query for %d aggregates", len(ids))
	}
	after := 0
	for _, least := range q.AggregateVersions().Min() {
		after = max(after, least-1)
	}
	s.mu.RLock()
	found := s.events[ids[0]]
	s.mu.RUnlock()
	found = found[min(after, len(found)):]
	out, errs := make(chan event.Event, len(found)), make(chan error, 1) // full before they are read, which needs no second goroutine
	defer close(out)
	defer close(errs)
	for _, e := range found {
		data, err := s.encoding.Unmarshal(e.data, e.name)
		if err != nil {
			return nil, nil, err
		}
		out <- event.New(e.name, data, event.ID(e.id), event.Time(e.at), event.Aggregate(ids[0], "order", e.version)).Any().Event()
	}
	return out, errs, ctx.Err()
}
