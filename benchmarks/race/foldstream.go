package race

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// Types says which Go types events have.
type Types string

const (
	// Plain types are structs, encoded by reflection.
	Plain Types = "plain"
	// Generated types have methods made by msgp.
	Generated Types = "generated"
)

// Category is that of foldstream's orders.
const Category = "order"

// Uncached are the options of a repository that reads and folds every event
// again for every command.
func Uncached() *aggregate.Options { return &aggregate.Options{Cache: -1} }

// foldstream is a command bus, a repository and a store.
type foldstream struct {
	store eventstore.Store
	bus   *command.Bus
	load  func(ctx context.Context, id string) (Order, int, error)
}

// Assemble returns foldstream on a store. Commands go through the bus. place
// are options of the command that begins an order.
func Assemble(store eventstore.Store, types Types, opts *aggregate.Options, place ...aggregate.ExecuteOption) System {
	s := &foldstream{store: store, bus: command.NewBus(nil)}
	if types == Plain {
		orders := aggregate.NewRepository[plainOrder](store, Category, Codec(types), opts)
		command.Register(s.bus, aggregate.Handle(orders, plainOrder.place, place...))
		command.Register(s.bus, aggregate.Handle(orders, plainOrder.addLine))
		s.load = func(ctx context.Context, id string) (Order, int, error) {
			l, err := orders.Load(ctx, id)
			return l.State.Order, int(l.Version), err
		}
		return s
	}
	orders := aggregate.NewRepository[Order](store, Category, Codec(types), opts)
	command.Register(s.bus, aggregate.Handle(orders, Order.Place, place...))
	command.Register(s.bus, aggregate.Handle(orders, Order.AddLine))
	s.load = func(ctx context.Context, id string) (Order, int, error) {
		l, err := orders.Load(ctx, id)
		return l.State, int(l.Version), err
	}
	return s
}

// Codec returns the events by name.
func Codec(types Types) *codec.Codec {
	if types == Plain {
		return codec.New(codec.Type[plainPlaced]("Placed"), codec.Type[plainLineAdded]("LineAdded"),
			codec.Type[plainPaid]("Paid"), codec.Type[plainShipped]("Shipped"))
	}
	return codec.New(codec.Type[Placed]("Placed"), codec.Type[LineAdded]("LineAdded"),
		codec.Type[Paid]("Paid"), codec.Type[Shipped]("Shipped"))
}

func (s *foldstream) Place(ctx context.Context, id ID, e Placed) error {
	_, err := command.Send(ctx, s.bus, Place{ID: id.Text, Placed: e})
	return err
}

func (s *foldstream) AddLine(ctx context.Context, id ID, e LineAdded) error {
	_, err := command.Send(ctx, s.bus, AddLine{ID: id.Text, LineAdded: e})
	return err
}

func (s *foldstream) Load(ctx context.Context, id ID) (Order, int, error) {
	return s.load(ctx, id.Text)
}

func (s *foldstream) Close() error { return s.store.Close() }

// Memory is foldstream on memstore.
func Memory(name string, types Types, opts *aggregate.Options, place ...aggregate.ExecuteOption) Contestant {
	return Contestant{Name: name, Kind: Ours, Types: types, Open: func(ctx context.Context, _ string, ids []ID, history []Event) (System, error) {
		store := memstore.New(nil)
		return Assemble(store, types, opts, place...), fill(ctx, store, types, ids, history)
	}}
}

// Durable is foldstream on logstore as it is by default, which has synced what
// it acknowledges.
func Durable(name string, types Types, opts *aggregate.Options, place ...aggregate.ExecuteOption) Contestant {
	return Contestant{Name: name, Kind: Ours, Types: types, Open: func(ctx context.Context, dir string, ids []ID, history []Event) (System, error) {
		store, err := OpenLog(ctx, dir, types, ids, history)
		if err != nil {
			return nil, err
		}
		return Assemble(store, types, opts, place...), nil
	}}
}

// OpenLog returns a durable store with the history of each order.
func OpenLog(ctx context.Context, dir string, types Types, ids []ID, history []Event) (*logstore.Store, error) {
	store, err := logstore.Open(dir, &logstore.Options{Sync: logstore.SyncNever})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(fill(ctx, store, types, ids, history), store.Close()); err != nil {
		return nil, err
	}
	return logstore.Open(dir, nil)
}

// fill appends the history of each order, ten events at a time, so that those
// of one order lie scattered as they do in life.
func fill(ctx context.Context, store eventstore.Store, types Types, ids []ID, history []Event) error {
	if len(ids) == 0 {
		return nil
	}
	events, enc := make([]eventstore.Event, 0, len(history)), Codec(types)
	for _, e := range history {
		encoded, err := encode(enc, types, e)
		if err != nil {
			return err
		}
		events = append(events, encoded)
	}
	for chunk := range slices.Chunk(events, 10) {
		errs := make([]error, 16) // whose appends share writes
		var wg sync.WaitGroup
		for part := range errs {
			wg.Go(func() {
				for i := part; i < len(ids) && errs[part] == nil; i += len(errs) {
					_, errs[part] = store.Append(ctx, eventstore.StreamName(Category, ids[i].Text), eventstore.Any, chunk...)
				}
			})
		}
		if wg.Wait(); errors.Join(errs...) != nil {
			return errors.Join(errs...)
		}
	}
	return nil
}

// encode returns the event with metadata as large as a command writes it.
func encode(enc *codec.Codec, types Types, e Event) (eventstore.Event, error) {
	v := any(e)
	if types == Plain {
		v = PlainOf(e)
	}
	encoded, err := enc.Encode(v)
	encoded.Metadata = eventstore.NewMetadata(eventstore.KeyCommandID, eventstore.NewID().String())
	return encoded, err
}
