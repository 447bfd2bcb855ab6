package race

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"
)

// A Kind says how a contestant counts.
type Kind int

const (
	// Peer is another library that stores bytes.
	Peer Kind = iota
	// Pointers is another library that keeps Go pointers where foldstream
	// encodes: it is shown, and is no peer to be compared with.
	Pointers
	// Ours is foldstream.
	Ours
	// Limit is what the machine or a part of foldstream can do.
	Limit
)

// An Entry is one contestant in one row.
type Entry struct {
	Name    string
	Kind    Kind
	Types   Types // of its events; empty if it has none
	Tuned   bool  // with an encoder that its library does not ship
	Callers int   // 1 by default
	// Open prepares a repetition, which is not measured.
	Open func(ctx context.Context, dir string) (*Lap, error)
}

// A Lap is one repetition of an entry.
type Lap struct {
	// Do is one operation, the ith of this caller from 0.
	Do func(ctx context.Context, caller, i int) error
	// Each is how many things an operation does, such as events; 1 by default.
	Each int
	// Most is how often a caller may Do; 0 for as often as there is time.
	Most int
	// Check compares what is stored with what was done by each caller. It may
	// be nil.
	Check func(ctx context.Context, done []int) error
	// Conflicts returns how many appends were refused so far. It may be nil.
	Conflicts func() int64
	// Close releases everything. It may be nil.
	Close func() error
}

// A Row is a workload with everybody who takes part.
type Row struct {
	Name    string
	Unit    string // of what is counted, such as commands
	Entries []Entry
	Bars    []Bar
}

// Options say how a race is run.
type Options struct {
	Reps int           // repetitions that count, after one to warm up
	Cold bool          // leave that one out
	Span time.Duration // of one repetition
	Dir  string        // for files
	Tell func(format string, a ...any)
}

// A Sample is what one repetition of an entry gave.
type Sample struct {
	PerSecond float64
	Nanos     float64 // of the clock, for each thing, of all callers together
	CPU       float64 // nanoseconds of processor time for each thing
	Allocs    float64 // for each thing
	Conflicts float64 // for each thing
}

// A Result is a row with what each of its entries reached, in their order.
type Result struct {
	Row     Row
	Samples [][]Sample
}

// Run measures rows one after the other, and in each row all entries in turns,
// in an order that rotates, so that what else the machine does hits all alike.
func Run(ctx context.Context, rows []Row, o Options) ([]Result, error) {
	var results []Result
	for _, row := range rows {
		r := Result{Row: row, Samples: make([][]Sample, len(row.Entries))}
		first := 0
		if o.Cold {
			first = 1
		}
		for rep := first; rep <= o.Reps; rep++ {
			for k := range row.Entries {
				i := (k + rep) % len(row.Entries)
				e := &row.Entries[i]
				s, err := e.lap(ctx, o)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", row.Name, e.Name, err)
				}
				if rep == 0 {
					continue // warmed up
				}
				r.Samples[i] = append(r.Samples[i], s)
				o.Tell("%d/%d %s, %s: %.0f %s/s, %.0f ns, %.0f ns of processor time, %.1f allocations",
					rep, o.Reps, row.Name, e.Name, s.PerSecond, row.Unit, s.Nanos, s.CPU, s.Allocs)
			}
		}
		results = append(results, r)
	}
	return results, nil
}

// lap runs and checks one repetition.
func (e *Entry) lap(ctx context.Context, o Options) (s Sample, err error) {
	lap, err := e.Open(ctx, o.Dir)
	if err != nil {
		return s, fmt.Errorf("prepare: %w", err)
	}
	defer func() {
		if lap.Close != nil {
			err = errors.Join(err, lap.Close())
		}
	}()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, start := UsedTime(), time.Now()
	done, err := e.drive(ctx, lap, o.Span)
	took, used := time.Since(start), UsedTime()-cpu
	runtime.ReadMemStats(&after)
	if err == nil {
		err = ctx.Err() // an interrupted figure is none
	}
	if err != nil {
		return s, err
	}
	if lap.Check != nil {
		if err := lap.Check(ctx, done); err != nil {
			return s, fmt.Errorf("is not exact: %w", err)
		}
	}
	n := float64(max(lap.Each, 1))
	total := 0
	for _, d := range done {
		total += d
	}
	n *= float64(total)
	s = Sample{
		PerSecond: n / took.Seconds(), Nanos: float64(took) / n, CPU: float64(used) / n,
		Allocs: float64(after.Mallocs-before.Mallocs) / n,
	}
	if lap.Conflicts != nil {
		s.Conflicts = float64(lap.Conflicts()) / n
	}
	return s, nil
}

// drive has all callers work until the time is up, and returns how often each
// did.
func (e *Entry) drive(ctx context.Context, lap *Lap, span time.Duration) ([]int, error) {
	callers := max(e.Callers, 1)
	done, errs := make([]int, callers), make([]error, callers)
	start := time.Now()
	work := func(c int) {
		// Looking at the clock costs as much as a fast operation, so it is done
		// after several of them, in a small part of the time.
		every, last := 1, time.Duration(0)
		for i, next := 0, 0; lap.Most == 0 || i < lap.Most; i++ {
			if i >= next {
				took := time.Since(start)
				if took >= span || ctx.Err() != nil {
					return
				}
				if i > 0 && took-last < span/1000 {
					every *= 2
				}
				next, last = i+every, took
			}
			if errs[c] = lap.Do(ctx, c, i); errs[c] != nil {
				return
			}
			done[c]++
		}
	}
	if callers == 1 {
		work(0)
		return done, errs[0]
	}
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() { work(c) })
	}
	wg.Wait()
	return done, errors.Join(errs...)
}

// Median returns the middle of all, of an even number the mean of two.
func Median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
