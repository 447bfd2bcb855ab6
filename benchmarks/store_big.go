package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"

	"github.com/foldstream/foldstream/benchmarks/race"
)

const (
	rowReplay     = "replay of the global order, ReadAll"
	rowScan       = "replay of the global order, Scan"
	rowFiltered   = "replay of one category and type of sixteen"
	rowStream     = "read one scattered stream of 20, p50"
	rowStreamTail = "read one scattered stream of 20, p99"
	rowOpenClean  = "open after a clean close"
	rowOpenKilled = "open after SIGKILL"
)

// bigLog is the log that is read and opened.
type bigLog struct {
	*storeRun
	dir    string
	plan   storePlan
	tails  []float64  // p99 of each repetition of streams20
	filled *memoryUse // of the process that made the log; nil when it was there
}

// big measures what is done with a large log.
func (s *storeRun) big(ctx context.Context) error {
	rows := []string{
		rowReplay, rowScan, rowFiltered, rowStream, rowStreamTail, rowOpenClean, rowOpenKilled,
		rowMemoryOpened, rowMemoryFilled, rowGrowthOpened, rowGrowthFilled, rowDisk,
	}
	if !slices.ContainsFunc(rows, s.wants) {
		return nil
	}
	b := &bigLog{storeRun: s, dir: s.log, plan: s.plan()}
	if b.dir == "" {
		b.dir = filepath.Join(s.dir, "log")
	}
	if err := b.fill(ctx); err != nil {
		return err
	}
	if err := b.reads(ctx); err != nil {
		return err
	}
	return b.sizes(ctx)
}

func (b *bigLog) reads(ctx context.Context) error {
	var all []timed
	if b.wants(rowReplay) || b.wants(rowScan) || b.wants(rowFiltered) {
		all = append(all, timed{limitScan, rawScan(b.dir)})
	}
	if b.wants(rowStream) || b.wants(rowStreamTail) {
		all = append(all, timed{limitLooks, b.rawLooks})
	}
	for _, t := range []timed{
		{rowReplay, b.replay(rowReplay, countAll)},
		{rowScan, b.replay(rowScan, countScan)},
		{rowFiltered, b.filtered},
		{rowStream, b.streams20},
		{rowOpenClean, b.open},
		{rowOpenKilled, b.openKilled},
	} {
		if b.wants(t.name) || t.name == rowStream && b.wants(rowStreamTail) {
			all = append(all, t)
		}
	}
	return b.interleave(ctx, all)
}

// opened calls do with the log, newly opened, so that its pages are mapped for
// the first time.
func (b *bigLog) opened(do func(*logstore.Store) error) error {
	store, err := logstore.Open(b.dir, nil)
	if err != nil {
		return err
	}
	return errors.Join(do(store), store.Close())
}

// countAll and countScan go through a whole store and return how many events
// it has.
func countAll(ctx context.Context, store *logstore.Store) (n uint64, err error) {
	for _, err := range store.ReadAll(ctx, eventstore.ReadAllOptions{}) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func countScan(ctx context.Context, store *logstore.Store) (n uint64, err error) {
	err = store.Scan(ctx, eventstore.ReadAllOptions{}, func(*eventstore.Recorded) error { n++; return nil })
	return n, err
}

// replay returns the bytes of the log that are read a second.
func (b *bigLog) replay(row string, count func(context.Context, *logstore.Store) (uint64, error)) func(context.Context) (float64, error) {
	return func(ctx context.Context) (perSecond float64, err error) {
		err = b.opened(func(store *logstore.Store) error {
			stats := store.Stats()
			start, cpu := time.Now(), race.UsedTime()
			n, err := count(ctx, store)
			if err != nil {
				return err
			}
			took := time.Since(start).Seconds()
			if n != stats.Events || n < uint64(b.events) {
				return fmt.Errorf("%d events came, there are %d", n, stats.Events)
			}
			perSecond = float64(stats.Bytes) / took
			b.note(row, "%s events/s, %.2g us of processor time each", human(float64(n)/took), (race.UsedTime()-cpu).Seconds()*1e6/float64(n))
			return nil
		})
		return perSecond, err
	}
}

// filtered returns the bytes of the log that are passed a second on the way to
// a sixteenth of the events.
func (b *bigLog) filtered(ctx context.Context) (perSecond float64, err error) {
	filter := eventstore.Filter{Categories: storeCategories[1:2], Types: []string{storeCategories[1] + "." + storeTypes[2]}}
	err = b.opened(func(store *logstore.Store) error {
		stats := store.Stats()
		start, n := time.Now(), 0
		for _, err := range store.ReadAll(ctx, eventstore.ReadAllOptions{Filter: filter}) {
			if err != nil {
				return err
			}
			n++
		}
		took := time.Since(start).Seconds()
		if n == 0 {
			return errors.New("no event matches the filter")
		}
		perSecond = float64(stats.Bytes) / took
		b.note(rowFiltered, "%s of %s events, %s events passed/s", human(float64(n)), human(float64(stats.Events)), human(float64(stats.Events)/took))
		return nil
	})
	return perSecond, err
}

// streams20 reads short streams chosen at random, and returns the median of
// the times in microseconds. The tail is a row of its own.
func (b *bigLog) streams20(ctx context.Context) (p50 float64, err error) {
	rnd := rand.New(rand.NewPCG(5, uint64(time.Now().UnixNano())))
	took := make([]float64, b.reads20)
	err = b.opened(func(store *logstore.Store) error {
		for i := range took {
			name := storeStream(b.plan.first(0) + rnd.IntN(b.plan.short))
			start, n := time.Now(), 0
			for _, err := range store.Read(ctx, name, eventstore.ReadOptions{}) {
				if err != nil {
					return fmt.Errorf("stream %s: %w", name, err)
				}
				n++
			}
			took[i] = float64(time.Since(start).Nanoseconds()) / 1e3
			if n != shortStream {
				return fmt.Errorf("stream %s has %d events, want %d", name, n, shortStream)
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	b.tails = append(b.tails, p99)
	b.samples[rowStreamTail] = b.tails[1:] // the first was to warm up
	return took[len(took)/2], nil
}

// open returns the seconds from Open until a stream has been read.
func (b *bigLog) open(ctx context.Context) (float64, error) {
	start := time.Now()
	store, err := logstore.Open(b.dir, nil)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, err = range store.Read(ctx, storeStream(b.plan.first(0)), eventstore.ReadOptions{}) {
		n++
	}
	took := time.Since(start).Seconds()
	if err == nil && n != shortStream {
		err = fmt.Errorf("the stream has %d events, want %d", n, shortStream)
	}
	return took, errors.Join(err, store.Close())
}

// openKilled is open behind a process that was killed while it appended.
func (b *bigLog) openKilled(ctx context.Context) (float64, error) {
	child, err := b.start(ctx, "-do", "append")
	if err != nil {
		return 0, err
	}
	err = child.await(nil)
	if err := errors.Join(err, child.kill()); err != nil {
		return 0, err
	}
	return b.open(ctx)
}

// note says more about the last figure of a row.
func (s *storeRun) note(row, format string, a ...any) { s.extra[row] = fmt.Sprintf(format, a...) }

// fill makes the log, unless it is there already.
func (b *bigLog) fill(ctx context.Context) error {
	if paths, _ := filepath.Glob(filepath.Join(b.dir, "*.log")); len(paths) > 0 {
		b.progress("the log in %s is there already", b.dir)
		return nil
	}
	start := time.Now()
	use, err := b.use(ctx, 0, b.events)
	if err != nil {
		return err
	}
	b.keepUse(rowMemoryFilled, use)
	b.filled = &use
	b.progress("filled %d events in %v", b.events, time.Since(start).Round(time.Millisecond))
	return nil
}
