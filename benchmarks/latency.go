package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/projection"
)

const latencyRate = 100 // commands per second

// latency sends commands at a steady rate and measures for each how long it
// takes from when it is accepted, durably, until the view can be read with it.
func (b *bench) latency(ctx context.Context, r *result) error {
	dir := b.config.data
	store, err := logstore.Open(dir+"/latency", nil) // durable, as by default
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	events := codec.New(codec.Type[fastLineAdded](lineAddedName))
	docs := projection.NewCollection[fastSummary](b.views, view, codec.Msgpack, nil)
	runner := projection.NewRunner(store, nil, projection.New(view, events, projection.On(docs, fastSummary.lineAdded)))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- runner.Run(ctx) }()
	if err := level(ctx, runner, done); err != nil {
		return err
	}
	l := &latencies{store: store, docs: docs, events: events}
	l.send(ctx, 200, b.keys) // to warm up
	l.accepted, l.readable = nil, nil
	l.send(ctx, b.samples, b.keys)
	cancel()
	if err := errors.Join(append(l.errs, <-done)...); err != nil {
		return err
	}
	slices.Sort(l.accepted)
	slices.Sort(l.readable)
	r.Samples = len(l.readable)
	r.P50, r.P99 = percentile(l.readable, 50), percentile(l.readable, 99)
	r.AppendP50, r.AppendP99 = percentile(l.accepted, 50), percentile(l.accepted, 99)
	return nil
}

type latencies struct {
	store  eventstore.Store
	docs   *projection.Collection[fastSummary]
	events eventstore.Codec

	mu                 sync.Mutex
	accepted, readable []time.Duration
	errs               []error
}

// send sends n commands, each when it is due, however long others take.
func (l *latencies) send(ctx context.Context, n, keys int) {
	tick := time.NewTicker(time.Second / latencyRate)
	defer tick.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range n {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		wg.Go(func() {
			if err := l.one(ctx, strconv.Itoa(i*7919%keys)); err != nil {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.errs = append(l.errs, err)
			}
		})
	}
}

func (l *latencies) one(ctx context.Context, key string) error {
	e, err := l.events.Encode(fastLineAdded{Customer: "customer-" + key, SKU: "sku", Name: "Assam, second flush, 250 g", Quantity: 1, Cents: 100})
	if err != nil {
		return err
	}
	sent := time.Now()
	receipt, err := l.store.Append(ctx, "order-"+key, eventstore.Any, e)
	if err != nil {
		return err
	}
	accepted := time.Now()
	doc, err := l.docs.Get(eventstore.ContextAfter(ctx, receipt.Position), key)
	if err != nil {
		return err
	}
	readable := time.Now()
	if doc.Lines < int64(receipt.Version) {
		return fmt.Errorf("order %s has %d lines in the view after event %d", key, doc.Lines, receipt.Version)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted = append(l.accepted, accepted.Sub(sent))
	l.readable = append(l.readable, readable.Sub(accepted))
	return nil
}

// percentile returns one of sorted durations, in milliseconds.
func percentile(all []time.Duration, p int) float64 {
	if len(all) == 0 {
		return 0
	}
	return float64(all[min(len(all)*p/100, len(all)-1)]) / float64(time.Millisecond)
}
