package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"

	"github.com/foldstream/foldstream/benchmarks/race"
)

// result is what is printed; the medians of all repetitions.
type result struct {
	Scenario   string    `json:"scenario"`
	Events     int       `json:"events"`
	Keys       int       `json:"keys"`
	Zipf       float64   `json:"zipf,omitempty"`
	Partitions int       `json:"partitions"`
	Types      string    `json:"types"`
	GOGC       int       `json:"gogc"`
	EventBytes int       `json:"event_bytes"`
	ValueBytes int       `json:"value_bytes"`
	Seconds    float64   `json:"seconds"`
	PerSecond  float64   `json:"events_per_second"`
	Allocs     float64   `json:"allocs_per_event"`
	HSET       float64   `json:"redis_benchmark_hset_per_second"`
	Ratio      float64   `json:"ratio"` // events per second by HSET per second
	Exact      bool      `json:"exact"` // every event is in the view once
	AllSeconds []float64 `json:"all_seconds"`
	AllHSET    []float64 `json:"all_hset_per_second"`
	ReadPerSec float64   `json:"log_read_per_second"` // the log alone, undecoded
	Row        string    `json:"row,omitempty"`
	Bar        string    `json:"bar,omitempty"`
	Passed     bool      `json:"passed"` // the bar, if there is one

	// Of the scenario latency, in milliseconds: from when a command is accepted
	// until the view has it, and before that from when it is sent until it is
	// accepted.
	Samples   int     `json:"samples,omitempty"`
	P50       float64 `json:"p50,omitempty"`
	P99       float64 `json:"p99,omitempty"`
	AppendP50 float64 `json:"append_p50,omitempty"`
	AppendP99 float64 `json:"append_p99,omitempty"`

	Memory  []memoryRow `json:"memory,omitempty"`
	Machine string      `json:"machine"`
}

const (
	view        = "order-summary"
	benchPrefix = "foldstream-bench:"
)

// bench is one run of the program.
type bench struct {
	config
	rdb   *redis.Client
	store *logstore.Store
	views *redisview.Store
	say   func(string, ...any)
}

func measure(ctx context.Context, c config, say func(string, ...any)) (*result, error) {
	rdb, about, closeRedis, err := openRedis(ctx)
	if err != nil {
		return nil, err
	}
	defer closeRedis()
	dir := c.data
	if dir == "" {
		if dir, err = os.MkdirTemp("", "foldstream-bench"); err != nil {
			return nil, err
		}
		defer func() { _ = os.RemoveAll(dir) }()
	}
	c.data = dir
	store, err := logstore.Open(dir, &logstore.Options{Sync: logstore.SyncNever})
	if err != nil {
		return nil, err
	}
	b := &bench{config: c, rdb: rdb, store: store, say: say}
	defer func() { _ = b.store.Close() }()
	b.views = redisview.New(rdb, &redisview.Options{Prefix: benchPrefix})
	r := &result{
		Scenario: c.scenario, Events: c.events, Keys: c.keys, Zipf: c.zipf, Partitions: c.partitions, Types: c.types, GOGC: c.gogc,
		Machine: fmt.Sprintf("%s, %s/%s, %d CPUs, %s", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), about),
	}
	debug.SetGCPercent(c.gogc)
	say("%s; %s types, GOGC %d", r.Machine, c.types, c.gogc)
	return r, b.run(ctx, r)
}

func (b *bench) run(ctx context.Context, r *result) error {
	if b.scenario == "latency" {
		return b.latency(ctx, r)
	}
	start := time.Now()
	if err := seed(ctx, b.store, b.config); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	b.say("seeded %d events on %d streams in %v", b.events, b.keys, time.Since(start).Round(time.Millisecond))
	if err := b.sizes(ctx, r); err != nil {
		return err
	}
	if b.scenario == "memory" {
		r.Exact = true
		return b.memory(ctx, r)
	}
	if b.profile != "" {
		f, err := os.Create(b.profile)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	r.Exact = true
	var allocs []float64
	for i := range b.reps {
		limit, err := hsetLimit(ctx, b.rdb, b.keys, r.ValueBytes)
		if err != nil {
			return err
		}
		seconds, perEvent, err := b.once(ctx)
		if err != nil {
			return err
		}
		if err := b.check(ctx); err != nil {
			r.Exact = false
			return err
		}
		if err := b.drop(ctx); err != nil {
			return err
		}
		r.AllSeconds, r.AllHSET = append(r.AllSeconds, seconds), append(r.AllHSET, limit)
		allocs = append(allocs, perEvent)
		b.say("run %d: %.3f s, %.0f events/s, %.1f allocations/event; redis-benchmark HSET %.0f/s",
			i+1, seconds, float64(b.events*b.times())/seconds, perEvent, limit)
	}
	r.Seconds, r.HSET, r.Allocs = race.Median(r.AllSeconds), race.Median(r.AllHSET), race.Median(allocs)
	r.PerSecond = float64(b.events*b.times()) / r.Seconds
	r.Ratio = r.PerSecond / r.HSET
	return nil
}

// sizes reads the log once, which also warms the page cache, and encodes one
// event and one document.
func (b *bench) sizes(ctx context.Context, r *result) error {
	start, n := time.Now(), 0
	for rec, err := range b.store.ReadAll(ctx, eventstore.ReadAllOptions{}) {
		if err != nil {
			return err
		}
		if n++; n > 1 {
			continue
		}
		r.EventBytes = len(rec.Data)
		v, err := seedEvents.Decode(rec)
		if err != nil {
			return err
		}
		doc, err := summary{}.lineAdded(v.(lineAdded), projection.Meta{Created: rec.Created})
		if err != nil {
			return err
		}
		data, err := codec.Msgpack.Marshal(doc)
		if err != nil {
			return err
		}
		r.ValueBytes = len(data)
	}
	if n != b.events {
		return fmt.Errorf("the log in -data holds %d events, not %d", n, b.events)
	}
	r.ReadPerSec = float64(n) / time.Since(start).Seconds()
	b.say("log alone %.0f events/s; events of %d bytes, documents of %d bytes", r.ReadPerSec, r.EventBytes, r.ValueBytes)
	return nil
}

func (b *bench) runner() *projection.Runner {
	opts := &projection.Options{Partitions: b.partitions, BatchChanges: b.batch}
	if b.scenario == "four" {
		return projection.NewRunner(b.store, opts, four(b.views)...)
	}
	return projection.NewRunner(b.store, opts, kinds[b.types].projection(b.views))
}

// times is how often an event counts.
func (b *bench) times() int {
	if b.scenario == "four" {
		return len(fourViews)
	}
	return 1
}

// once measures one replay, from the call to the moment when the view is level
// and active.
func (b *bench) once(ctx context.Context) (seconds, allocsPerEvent float64, err error) {
	r := b.runner()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	var wg sync.WaitGroup
	follow := func() { wg.Go(func() { done <- r.Run(ctx) }) }
	defer wg.Wait()
	defer cancel()
	if b.scenario == "rebuild" { // of a view that is there and followed
		follow()
		if err := level(ctx, r, done); err != nil {
			return 0, 0, err
		}
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	if b.scenario == "rebuild" {
		if _, err = r.Rebuild(ctx, view, nil); err != nil {
			return 0, 0, err
		}
	} else {
		follow()
		if err := level(ctx, r, done); err != nil {
			return 0, 0, err
		}
	}
	seconds = time.Since(start).Seconds()
	runtime.ReadMemStats(&after)
	return seconds, float64(after.Mallocs-before.Mallocs) / float64(b.events), nil
}

func level(ctx context.Context, r *projection.Runner, done chan error) error {
	waited := make(chan error, 1)
	go func() { waited <- r.WaitLevel(ctx) }()
	select {
	case err := <-waited:
		return err
	case err := <-done:
		return fmt.Errorf("the runner stopped: %w", err)
	}
}

// check counts the events in the view's documents.
func (b *bench) check(ctx context.Context) error {
	if b.scenario == "four" {
		return b.checkFour(ctx)
	}
	v, err := b.views.Active(ctx, view)
	if err != nil {
		return err
	}
	var lines int64
	for it, err := range b.views.Dump(ctx, view, v.Number) {
		if err != nil {
			return err
		}
		n, err := kinds[b.types].lines(it.Value)
		if err != nil {
			return err
		}
		lines += n
	}
	if lines != int64(b.events) {
		return fmt.Errorf("the view counts %d events, there are %d", lines, b.events)
	}
	return nil
}

// drop removes everything under the prefix.
func (b *bench) drop(ctx context.Context) error {
	var errs []error
	it := b.rdb.Scan(ctx, 0, benchPrefix+"*", 10_000).Iterator()
	for it.Next(ctx) {
		errs = append(errs, b.rdb.Unlink(ctx, it.Val()).Err())
	}
	return errors.Join(append(errs, it.Err())...)
}

func (r *result) print(say func(string, ...any)) {
	say("")
	switch r.Scenario {
	case "latency":
		say("%-34s p50 %.2f ms, p99 %.2f ms  (%d samples, %d/s)", "accepted until readable", r.P50, r.P99, r.Samples, latencyRate)
		say("%-34s p50 %.2f ms, p99 %.2f ms", "sent until accepted, durably", r.AppendP50, r.AppendP99)
		return
	case "memory":
		for _, m := range r.Memory {
			say("%-34s %12.0f MiB  (%.1f s)", fmt.Sprintf("projector, cache of %d documents", m.Cache), m.PeakMiB, m.Seconds)
		}
		return
	}
	say("%-34s %12.0f events/s  (median of %d, %.3f s)", r.Scenario+", exactly once", r.PerSecond, len(r.AllSeconds), r.Seconds)
	say("%-34s %12.0f /s", "redis-benchmark -P 1000 HSET", r.HSET)
	say("%-34s %12.2f", "ratio", r.Ratio)
	say("%-34s %12.1f", "allocations per event", r.Allocs)
}
