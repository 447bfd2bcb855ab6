package main

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"

	"github.com/hallgren/eventsourcing/aggregate"
	"github.com/hallgren/eventsourcing/core"
	"github.com/hallgren/eventsourcing/eventstore/memory"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/foldstream/foldstream/benchmarks/race"
)

// coded are the library's own default, and a reflecting encoder as foldstream
// has for plain types.
type coded struct {
	marshal   func(any) ([]byte, error)
	unmarshal func([]byte, any) error
}

func (c coded) Serialize(v any) ([]byte, error)      { return c.marshal(v) }
func (c coded) Deserialize(data []byte, v any) error { return c.unmarshal(data, v) }

// hallgrenEncoder is what the library can be given: an encoder for everything.
type hallgrenEncoder = interface {
	Serialize(v any) ([]byte, error)
	Deserialize(data []byte, v any) error
}

var hallgrenEncoders = []struct {
	name    string
	types   race.Types
	encoder hallgrenEncoder
}{
	{"JSON", race.Plain, coded{json.Marshal, json.Unmarshal}},
	{"msgpack", race.Plain, coded{msgpack.Marshal, msgpack.Unmarshal}},
	{"generated", race.Generated, generated{}},
}

// hallgren loads and saves aggregates as its documentation shows; it has no
// command bus.
type hallgren struct {
	store core.EventStore
	close func() error
}

func (h *hallgren) Place(_ context.Context, id race.ID, e race.Placed) error {
	o := new(Order) // the store refuses an order that is there already
	if err := errors.Join(o.SetID(id.Text), o.state.CanPlace()); err != nil {
		return err
	}
	aggregate.TrackChange(o, &e)
	return aggregate.Save(h.store, o)
}

func (h *hallgren) AddLine(ctx context.Context, id race.ID, e race.LineAdded) error {
	o := new(Order)
	if err := aggregate.Load(ctx, h.store, id.Text, o); err != nil {
		return err
	}
	if err := o.state.CanAddLine(); err != nil {
		return err
	}
	aggregate.TrackChange(o, &e)
	return aggregate.Save(h.store, o)
}

func (h *hallgren) Load(ctx context.Context, id race.ID) (race.Order, int, error) {
	o := new(Order)
	err := aggregate.Load(ctx, h.store, id.Text, o)
	return o.state, int(o.Version()), err
}

func (h *hallgren) Close() error { return h.close() }

func (h *hallgren) fill(ids []race.ID, history []race.Event) error {
	orders := make([]*Order, len(ids))
	for i, id := range ids {
		orders[i] = new(Order)
		if err := orders[i].SetID(id.Text); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(history, 10) {
		for _, o := range orders {
			for _, e := range chunk {
				aggregate.TrackChange(o, race.PointerTo(e))
			}
			if err := aggregate.Save(h.store, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// hallgrens enters the library with each encoder on a store. A durable store
// does not sync until durable is called.
func hallgrens(on string, open func(dir string) (store core.EventStore, durable, closeStore func() error, err error)) []race.Contestant {
	var all []race.Contestant
	for _, e := range hallgrenEncoders {
		all = append(all, race.Contestant{Name: "hallgren, " + on + ", " + e.name, Types: e.types, Tuned: e.name != "JSON", Open: func(_ context.Context, dir string, ids []race.ID, history []race.Event) (race.System, error) {
			useHallgren(e.encoder)
			store, durable, closeStore, err := open(dir)
			if err != nil {
				return nil, err
			}
			h := &hallgren{store, closeStore}
			if err := errors.Join(h.fill(ids, history), durable()); err != nil {
				return nil, errors.Join(err, closeStore())
			}
			return h, nil
		}})
	}
	return all
}

func nothing() error { return nil }

func hallgrenMemory() []race.Contestant {
	return hallgrens("memory", func(string) (core.EventStore, func() error, func() error, error) {
		return memory.Create(), nothing, nothing, nil
	})
}

func hallgrenDurable() []race.Contestant {
	return append(hallgrens("bbolt", func(dir string) (core.EventStore, func() error, func() error, error) {
		s, err := openBolt(filepath.Join(dir, "bolt"))
		if err != nil {
			return nil, nil, nil, err
		}
		return s, s.durable, s.db.Close, nil
	}), hallgrens("SQLite", func(dir string) (core.EventStore, func() error, func() error, error) {
		s, err := openSQLite(filepath.Join(dir, "sqlite"))
		if err != nil {
			return nil, nil, nil, err
		}
		return s, s.durable, s.close, nil
	})...)
}
