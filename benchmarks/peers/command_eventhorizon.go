package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	eh "github.com/looplab/eventhorizon"
	"github.com/looplab/eventhorizon/aggregatestore/events"
	ehjson "github.com/looplab/eventhorizon/codec/json"
	ehaggregate "github.com/looplab/eventhorizon/commandhandler/aggregate"
	"github.com/looplab/eventhorizon/commandhandler/bus"
	ehmemory "github.com/looplab/eventhorizon/eventstore/memory"

	"github.com/foldstream/foldstream/benchmarks/race"
)

const (
	ehType    eh.AggregateType = "order"
	ehPlace   eh.CommandType   = "Place"
	ehAddLine eh.CommandType   = "AddLine"
)

type horizonPlace struct {
	ID     uuid.UUID
	Placed Placed
}

func (c *horizonPlace) AggregateID() uuid.UUID          { return c.ID }
func (c *horizonPlace) AggregateType() eh.AggregateType { return ehType }
func (c *horizonPlace) CommandType() eh.CommandType     { return ehPlace }

type horizonAddLine struct {
	ID   uuid.UUID
	Line LineAdded
}

func (c *horizonAddLine) AggregateID() uuid.UUID          { return c.ID }
func (c *horizonAddLine) AggregateType() eh.AggregateType { return ehType }
func (c *horizonAddLine) CommandType() eh.CommandType     { return ehAddLine }

// horizonOrder is the aggregate as the library's documentation writes one.
type horizonOrder struct {
	*events.AggregateBase
	state race.Order
}

// HandleCommand implements [eh.CommandHandler].
func (o *horizonOrder) HandleCommand(_ context.Context, cmd eh.Command) error {
	switch c := cmd.(type) {
	case *horizonPlace:
		if err := o.state.CanPlace(); err != nil {
			return err
		}
		o.AppendEvent("Placed", &c.Placed, time.Now())
	case *horizonAddLine:
		if err := o.state.CanAddLine(); err != nil {
			return err
		}
		o.AppendEvent("LineAdded", &c.Line, time.Now())
	default:
		return fmt.Errorf("unknown command %T", cmd)
	}
	return nil
}

// ApplyEvent implements [events.VersionedAggregate].
func (o *horizonOrder) ApplyEvent(_ context.Context, e eh.Event) error {
	switch e := e.Data().(type) {
	case *Placed:
		o.state = o.state.OnPlaced(*e)
	case *LineAdded:
		o.state = o.state.OnLineAdded(*e)
	case *Paid:
		o.state = o.state.OnPaid(*e)
	case *Shipped:
		o.state = o.state.OnShipped(*e)
	default:
		return fmt.Errorf("unknown event %T", e)
	}
	return nil
}

// The registries of the library are global.
var registerHorizon = sync.OnceFunc(func() {
	eh.RegisterAggregate(func(id uuid.UUID) eh.Aggregate {
		return &horizonOrder{AggregateBase: events.NewAggregateBase(ehType, id)}
	})
	eh.RegisterEventData("Placed", func() eh.EventData { return new(Placed) })
	eh.RegisterEventData("LineAdded", func() eh.EventData { return new(LineAdded) })
	eh.RegisterEventData("Paid", func() eh.EventData { return new(Paid) })
	eh.RegisterEventData("Shipped", func() eh.EventData { return new(Shipped) })
})

type horizon struct {
	bus   *bus.CommandHandler
	store *events.AggregateStore
}

func (h horizon) Place(ctx context.Context, id race.ID, e race.Placed) error {
	return h.bus.HandleCommand(ctx, &horizonPlace{uuid.UUID(id.UUID), e})
}

func (h horizon) AddLine(ctx context.Context, id race.ID, e race.LineAdded) error {
	return h.bus.HandleCommand(ctx, &horizonAddLine{uuid.UUID(id.UUID), e})
}

func (h horizon) Load(ctx context.Context, id race.ID) (race.Order, int, error) {
	a, err := h.store.Load(ctx, ehType, uuid.UUID(id.UUID))
	if err != nil {
		return race.Order{}, 0, err
	}
	o := a.(*horizonOrder)
	return o.state, o.AggregateVersion(), nil
}

func (h horizon) Close() error { return nil }

// horizonMemory enters the library on its own memory store, which copies Go
// values, and on one that encodes with the library's codec.
func horizonMemory() []race.Contestant {
	entry := func(name string, kind race.Kind, open func() (eh.EventStore, error)) race.Contestant {
		return race.Contestant{Name: name, Kind: kind, Types: race.Plain, Open: func(ctx context.Context, _ string, ids []race.ID, history []race.Event) (race.System, error) {
			registerHorizon()
			store, err := open()
			if err != nil {
				return nil, err
			}
			for _, id := range ids {
				all := make([]eh.Event, len(history))
				for i, e := range history {
					all[i] = eh.NewEvent(eh.EventType(goesName(e)), race.PointerTo(e), time.Now(), eh.ForAggregate(ehType, uuid.UUID(id.UUID), i+1))
				}
				if err := store.Save(ctx, all, 0); err != nil {
					return nil, err
				}
			}
			aggregates, err := events.NewAggregateStore(store)
			if err != nil {
				return nil, err
			}
			handler, err := ehaggregate.NewCommandHandler(ehType, aggregates)
			if err != nil {
				return nil, err
			}
			h := horizon{bus.NewCommandHandler(), aggregates}
			return h, errors.Join(h.bus.SetHandler(handler, ehPlace), h.bus.SetHandler(handler, ehAddLine))
		}}
	}
	return []race.Contestant{
		entry("eventhorizon, memory", race.Pointers, func() (eh.EventStore, error) { return ehmemory.NewEventStore() }),
		entry("eventhorizon, memory, JSON", race.Peer, func() (eh.EventStore, error) {
			return &horizonStore{streams: make(map[uuid.UUID][][]byte)}, nil
		}),
	}
}

// horizonStore keeps events as the library's codec encodes them; its durable
// stores are servers.
type horizonStore struct {
	codec   ehjson.EventCodec
	mu      sync.RWMutex
	streams map[uuid.UUID][][]byte
}

// Save implements [eh.EventStore].
func (s *horizonStore) Save(ctx context.Context, all []eh.Event, original int) error {
	encoded := make([][]byte, len(all))
	for i, e := range all {
		var err error
		if encoded[i], err = s.codec.MarshalEvent(ctx, e); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := all[0].AggregateID()
	if len(s.streams[id]) != original {
		return eh.ErrEventConflictFromOtherSave
	}
	s.streams[id] = append(s.streams[id], encoded...)
	return nil
}

// Load implements [eh.EventStore].
func (s *horizonStore) Load(ctx context.Context, id uuid.UUID) ([]eh.Event, error) {
	return s.LoadFrom(ctx, id, 1)
}

// LoadFrom implements [eh.EventStore].
func (s *horizonStore) LoadFrom(ctx context.Context, id uuid.UUID, version int) ([]eh.Event, error) {
	s.mu.RLock()
	found := s.streams[id]
	s.mu.RUnlock()
	if len(found) == 0 {
		return nil, eh.ErrAggregateNotFound
	}
	all := make([]eh.Event, 0, len(found))
	for _, data := range found[min(version-1, len(found)):] {
		e, _, err := s.codec.UnmarshalEvent(ctx, data)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// Close implements [eh.EventStore].
func (s *horizonStore) Close() error { return nil }
