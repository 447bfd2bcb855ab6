package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

const (
	ourView   = "orders"
	ourPrefix = "foldstream-peers:ours:"
)

var ourEvents = codec.New(codec.Type[Placed]("Placed"), codec.Type[LineAdded]("LineAdded"),
	codec.Type[Paid]("Paid"), codec.Type[Shipped]("Shipped"))

// fillOurs appends the history, each event for itself.
func fillOurs(ctx context.Context, store eventstore.Store, h *history) error {
	var wg sync.WaitGroup
	errs := make([]error, 16) // whose appends share writes; an order's stay in order
	for part := range errs {
		wg.Go(func() {
			for i := range h.events {
				e := &h.events[i]
				if e.order%len(errs) != part {
					continue
				}
				event := eventstore.Event{Type: e.name, Data: e.data, ContentType: codec.Msgpack.ContentType()}
				if _, err := store.Append(ctx, "order-"+h.ids[e.order].String(), eventstore.Any, event); err != nil {
					errs[part] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// ours runs the engine as it is, exactly once, and says how long it took until
// the view was level and active.
func ours(ctx context.Context, rdb *redis.Client, store eventstore.Store) (time.Duration, error) {
	views := redisview.New(rdb, &redisview.Options{Prefix: ourPrefix})
	docs := projection.NewCollection[Summary](views, ourView, codec.Msgpack, nil)
	runner := projection.NewRunner(store, nil, projection.New(ourView, ourEvents,
		projection.On(docs, Summary.placed), projection.On(docs, Summary.lineAdded),
		projection.On(docs, Summary.paid), projection.On(docs, Summary.shipped)))
	ctx, cancel := context.WithCancel(ctx)
	done, level := make(chan error, 1), make(chan error, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	start := time.Now()
	wg.Go(func() { done <- runner.Run(ctx) })
	wg.Go(func() { level <- runner.WaitLevel(ctx) })
	select {
	case err := <-level:
		return time.Since(start), err
	case err := <-done:
		return 0, fmt.Errorf("the runner stopped: %w", err)
	}
}

// checkOurs reads our view, and removes it.
func checkOurs(ctx context.Context, rdb *redis.Client, h *history) error {
	views := redisview.New(rdb, &redisview.Options{Prefix: ourPrefix})
	v, err := views.Active(ctx, ourView)
	if err != nil {
		return err
	}
	err = h.check(func(yield func(string, []byte) error) error {
		for it, err := range views.Dump(ctx, ourView, v.Number) {
			if err == nil && it.Kind == projection.ItemDocument {
				err = yield(it.Key, it.Value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	keys := rdb.Scan(ctx, 0, ourPrefix+"*", 10_000).Iterator()
	for keys.Next(ctx) {
		err = errors.Join(err, rdb.Unlink(ctx, keys.Val()).Err())
	}
	return errors.Join(err, keys.Err())
}
