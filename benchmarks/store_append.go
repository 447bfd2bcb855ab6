package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

const (
	rowAppend1   = "durable append, 1 caller, 1 event"
	rowAppend16  = "durable append, 16 callers, 1 event"
	rowAppend256 = "durable append, 256 callers, 1 event"
	rowAppend100 = "durable append, 1 caller, 100 events"
)

// appends measures durable appends to a store that knows all streams already,
// and the raw calls that bound them.
func (s *storeRun) appends(ctx context.Context) (err error) {
	a := &appender{events: newStoreEvents(s.payload), names: make([]string, s.streams)}
	for i := range a.names {
		a.names[i] = storeStream(i)
	}
	var all []sliced
	for _, w := range []struct {
		row        string
		callers, n int
	}{{rowAppend1, 1, 1}, {rowAppend16, 16, 1}, {rowAppend256, 256, 1}, {rowAppend100, 1, 100}} {
		limits := w.row == rowAppend1 && s.wants(rowAppend16)
		if s.wants(w.row) || limits {
			all = append(all, sliced{w.row, func(ctx context.Context, d time.Duration) (float64, error) { return a.run(ctx, d, w.callers, w.n) }})
		}
	}
	if len(all) == 0 {
		return nil
	}
	dir := filepath.Join(s.dir, "append")
	if a.store, err = s.appendStore(ctx, dir, a); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.store.Close(), os.RemoveAll(dir)) }()
	zeros, err := s.rawFile("zeros", 64<<20, false)
	if err != nil {
		return err
	}
	sparse, err := s.rawFile("sparse", 4<<30, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, zeros.close(), sparse.close()) }()
	if err := s.interleave(ctx, []timed{{limitWrite, s.rawWrite}}); err != nil {
		return err
	}
	return s.interleaveSlices(ctx, append([]sliced{{limitSync, zeros.syncs}, {limitSparse, sparse.syncs}}, all...))
}

// An appender appends to one store.
type appender struct {
	store  *logstore.Store
	events *storeEvents
	names  []string
}

// appendStore returns a durable store in which all streams have an event.
func (s *storeRun) appendStore(ctx context.Context, dir string, a *appender) (*logstore.Store, error) {
	store, err := logstore.Open(dir, &logstore.Options{Sync: logstore.SyncNever})
	if err != nil {
		return nil, err
	}
	err = shareOut(256, s.streams, func(i int) error {
		_, err := store.Append(ctx, a.names[i], eventstore.Any, a.events.event(i, i))
		return err
	})
	if err := errors.Join(err, store.Close()); err != nil {
		return nil, err
	}
	return logstore.Open(dir, nil)
}

// run returns the events that callers append within d, n in each call, each
// call to a stream chosen at random.
func (a *appender) run(ctx context.Context, d time.Duration, callers, n int) (float64, error) {
	start := time.Now()
	done := make([]int, callers)
	err := shareOut(callers, callers, func(w int) error {
		rnd := rand.New(rand.NewPCG(uint64(w), uint64(start.UnixNano())))
		batch := make([]eventstore.Event, n)
		for time.Since(start) < d && ctx.Err() == nil {
			stream := rnd.IntN(len(a.names))
			for i := range batch {
				batch[i] = a.events.event(stream, rnd.IntN(1024))
			}
			if _, err := a.store.Append(ctx, a.names[stream], eventstore.Any, batch...); err != nil {
				return err
			}
			done[w] += n
		}
		return nil
	})
	total := 0
	for _, n := range done {
		total += n
	}
	return float64(total), err
}
