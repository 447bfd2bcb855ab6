package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/foldstream/foldstream/eventstore"
)

// What the events of a log are like: a few types in four categories, a payload
// of noise, and the metadata that the command bus writes.
var (
	storeCategories = []string{"order", "customer", "invoice", "shipment"}
	storeTypes      = []string{"created", "line-added", "changed", "closed"}
)

const shortStream = 20 // events in each of the short streams, which are the most

// samplesOfEvents are made beforehand: making events is not what is measured.
type storeEvents struct {
	payloads [][]byte
	metadata []eventstore.Metadata
	types    [][]string // by category
}

func newStoreEvents(payload int) *storeEvents {
	rnd := rand.New(rand.NewPCG(3, 4))
	bytes := noise(1024 + payload)
	e := &storeEvents{}
	for range 1024 {
		at := rnd.IntN(1024)
		e.payloads = append(e.payloads, bytes[at:at+payload])
		e.metadata = append(e.metadata, eventstore.NewMetadata(
			eventstore.KeyCommandID, eventstore.NewID().String(), eventstore.KeyCorrelationID, eventstore.NewID().String()))
	}
	for _, c := range storeCategories {
		var types []string
		for _, t := range storeTypes {
			types = append(types, c+"."+t)
		}
		e.types = append(e.types, types)
	}
	return e
}

// event returns an event for a stream; n makes neighbours differ.
func (e *storeEvents) event(stream, n int) eventstore.Event {
	return eventstore.Event{
		Type:        e.types[stream%len(e.types)][n%len(storeTypes)],
		ContentType: eventstore.ContentTypeJSON,
		Data:        e.payloads[(stream+7*n)%len(e.payloads)],
		Metadata:    e.metadata[(stream+31*n)%len(e.metadata)],
	}
}

func storeStream(i int) string {
	return storeCategories[i%len(storeCategories)] + "-" + strconv.Itoa(1_000_000+i)
}

// A storePlan says which stream each event of a log belongs to. A log has
// generations of c.events each. In each there are streams that live on in the
// next and short ones of twenty events that are its own, all scattered at
// random.
type storePlan struct {
	events, streams, short int // of one generation
}

func (c storeConfig) plan() storePlan {
	return storePlan{events: c.events, streams: c.streams, short: min(c.streams*4/5, c.events/2/shortStream)}
}

// generation returns the streams of the events of a generation, in order. The
// long streams are the first.
func (p storePlan) generation(g int) []uint32 {
	long := p.streams - p.short
	order := make([]uint32, p.events)
	for i := range order {
		if i < p.short*shortStream {
			order[i] = uint32(p.first(g) + i/shortStream)
		} else {
			order[i] = uint32(i % long)
		}
	}
	rand.New(rand.NewPCG(1, uint64(g))).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

// first returns the number of the first short stream of a generation; p.short follow.
func (p storePlan) first(g int) int { return p.streams - p.short + g*p.short }

// fill appends the events of a plan from one number to another, one in each
// call, because their streams are scattered, from many callers, so that they
// share writes.
func (p storePlan) fill(ctx context.Context, store eventstore.Store, events *storeEvents, from, to int, progress func(int)) error {
	for at := from; at < to; {
		g := at / p.events
		order := p.generation(g)[at-g*p.events:]
		order = order[:min(len(order), to-at)]
		err := shareOut(256, len(order), func(i int) error {
			if i%500_000 == 0 {
				progress(at + i)
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			stream := int(order[i])
			_, err := store.Append(ctx, storeStream(stream), eventstore.Any, events.event(stream, i))
			return err
		})
		if err != nil {
			return fmt.Errorf("fill: %w", err)
		}
		at += len(order)
	}
	return nil
}

// shareOut calls do with 0 to n-1 from some goroutines, until one fails.
func shareOut(callers, n int, do func(i int) error) error {
	var next atomic.Int64
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for w := range callers {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < n; i = next.Add(1) - 1 {
				if errs[w] = do(int(i)); errs[w] != nil {
					next.Store(int64(n))
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
