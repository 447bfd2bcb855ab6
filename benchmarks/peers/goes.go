package main

import (
	"context"

	"github.com/google/uuid"
	"github.com/modernice/goes/event"
	"github.com/modernice/goes/event/eventstore"
	"github.com/modernice/goes/event/query"
	"github.com/redis/go-redis/v9"
)

// fillGoes stores the encoded events; goes would keep Go values in memory and
// not decode at all, which no durable store can do.
func fillGoes(ctx context.Context, h *history) (event.Store, error) {
	store := eventstore.New()
	for i := range h.events {
		e := &h.events[i]
		if err := store.Insert(ctx, event.New[any](e.name, e.data, event.Aggregate(h.ids[e.order], "order", e.version))); err != nil {
			return nil, err
		}
	}
	return store, nil
}

// queried reads the store by one query without sorting, which its memory store
// answers in the order of insertion.
func queried(ctx context.Context, rdb *redis.Client, variadic bool, store event.Store) error {
	ctx, cancel := context.WithCancel(ctx) // ends the query's goroutine
	defer cancel()
	events, errs, err := store.Query(ctx, query.New())
	if err != nil {
		return err
	}
	view := newHandView(rdb, variadic, uuid.UUID.String)
	position := uint64(0)
	for e := range events {
		id, _, _ := e.Aggregate()
		if err := view.bytes(id, e.Name(), e.Data().([]byte), e.Time()); err != nil {
			return err
		}
		position++ // goes has no positions
		if err := view.handled(ctx, position); err != nil {
			return err
		}
	}
	for err := range errs {
		return err
	}
	return view.flush(ctx)
}
