package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

// seedEvents is what the log is seeded with.
var seedEvents = codec.New(codec.Type[lineAdded](lineAddedName))

// seed fills an empty store with events whose streams are chosen at random,
// always the same.
func seed(ctx context.Context, store *logstore.Store, c config) error {
	head, err := store.Head(ctx)
	if err != nil || int(head) >= c.events {
		return err
	}
	keys := draw(c)
	var wg sync.WaitGroup
	errs := make([]error, 16) // their appends share writes
	for i := range errs {
		wg.Go(func() { errs[i] = appendPart(ctx, store, keys, i, len(errs), c.events-int(head)) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// draw returns the keys of all events, in order.
func draw(c config) []uint32 {
	rnd := rand.New(rand.NewPCG(1, 2))
	next := func() uint64 { return rnd.Uint64N(uint64(c.keys)) }
	if c.zipf > 1 {
		next = rand.NewZipf(rnd, c.zipf, 1, uint64(c.keys-1)).Uint64
	}
	keys := make([]uint32, c.events)
	for i := range keys {
		keys[i] = uint32(next())
	}
	return keys
}

func appendPart(ctx context.Context, store *logstore.Store, keys []uint32, part, parts, n int) error {
	note := strings.Repeat("a note on the line. ", 4)
	for i := part; i < n; i += parts {
		key := strconv.Itoa(int(keys[i]))
		e, err := seedEvents.Encode(lineAdded{
			Customer: "customer-" + key, SKU: "sku-" + strconv.Itoa(i%5000), Name: "Assam, second flush, 250 g",
			Quantity: int64(1 + i%3), Cents: int64(100 + i%900), Note: note,
		})
		if err != nil {
			return err
		}
		if _, err := store.Append(ctx, "order-"+key, eventstore.Any, e); err != nil {
			return err
		}
	}
	return nil
}
