package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/foldstream/foldstream/benchmarks/race"
)

const storeUsage = `usage: benchmarks store [flags]

Measures eventstore/logstore, and in the same run what the machine itself can
do: writes with fdatasync, a sequential write, a scan of mapped memory with
CRC-32C. Repetitions are interleaved and the medians count. The log with its
default sizes needs 10 GB of disk; -grow 0 needs 4.

Flags:
`

// storeConfig is what the flags of store say.
type storeConfig struct {
	events  int
	grow    int
	streams int
	payload int
	reps    int
	span    time.Duration
	reads20 int
	dir     string
	log     string
	only    string
	profile string
	json    bool
}

func parseStore(args []string, stderr io.Writer) (storeConfig, error) {
	var c storeConfig
	fs := newFlags("benchmarks store", storeUsage, stderr)
	fs.IntVar(&c.events, "events", 5_000_000, "events in the log that is read and opened")
	fs.IntVar(&c.grow, "grow", 20_000_000, "events that the log grows to for the row about memory; 0 leaves it out")
	fs.IntVar(&c.streams, "streams", 100_000, "streams that the events, and so many more each, are spread over")
	fs.IntVar(&c.payload, "payload", 200, "bytes of data in an event")
	fs.IntVar(&c.reps, "reps", 5, "repetitions, of which the median counts, after one to warm up")
	fs.DurationVar(&c.span, "time", time.Second, "how long one repetition of a row about appends takes")
	fs.IntVar(&c.reads20, "samples", 5000, "streams that one repetition reads")
	fs.StringVar(&c.dir, "dir", "", "directory for temporary files, on the disk to be measured; the system's by default")
	fs.StringVar(&c.log, "log", "", "directory of the log that is read, kept and used again (it grows a little each time)")
	fs.StringVar(&c.only, "only", "", "only rows whose name contains this, and the limits that they need")
	fs.StringVar(&c.profile, "cpuprofile", "", "file to write a CPU profile of the repetitions to")
	fs.BoolVar(&c.json, "json", false, "print one JSON object a row instead of a table")
	if err := parseOnlyFlags(fs, args); err != nil {
		return c, err
	}
	switch {
	case c.streams < 10 || c.events < 10*c.streams:
		return c, fmt.Errorf("%w: -streams must be 10 or more, and -events 10 times as many or more", errUsage)
	case c.payload < 1 || c.reps < 1 || c.reads20 < 1 || c.span <= 0:
		return c, fmt.Errorf("%w: -payload, -reps, -samples and -time must be above 0", errUsage)
	case c.grow != 0 && c.grow <= c.events:
		return c, fmt.Errorf("%w: -grow must be more than -events, or 0", errUsage)
	case c.log != "" && c.grow != 0:
		return c, fmt.Errorf("%w: -log is for -grow 0: a log that grows is not used again", errUsage)
	case !slices.ContainsFunc(storeBars, func(b storeBar) bool { return strings.Contains(b.row, c.only) }):
		return c, fmt.Errorf("%w: -only %q: no row's name contains it", errUsage, c.only)
	}
	return c, nil
}

// storeRun is one run of the scenario.
type storeRun struct {
	storeConfig
	dir      string // for temporary files, removed at the end
	progress func(string, ...any)
	samples  map[string][]float64 // by row or limit
	extra    map[string]string    // by row, for people
}

func runStore(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	c, err := parseStore(args, stderr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(c.dir, "foldstream-store")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &storeRun{storeConfig: c, dir: dir, samples: make(map[string][]float64), extra: make(map[string]string)}
	s.progress = func(format string, a ...any) { _, _ = fmt.Fprintf(stderr, format+"\n", a...) }
	s.progress("%s; %s", race.Machine(), filepath.Dir(dir))
	if c.profile != "" {
		f, err := os.Create(c.profile)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	for _, step := range []func(context.Context) error{s.appends, s.big} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return s.report(stdout)
}

// report prints the limits and rows that were measured.
func (s *storeRun) report(stdout io.Writer) error {
	if s.json {
		enc := json.NewEncoder(stdout)
		for _, r := range s.judged() {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	var b strings.Builder
	for _, r := range s.judged() {
		b.WriteString(r.line() + "\n")
	}
	_, err := io.WriteString(stdout, b.String())
	return err
}

// A timed thing is measured once in each repetition.
type timed struct {
	name string
	run  func(context.Context) (float64, error)
}

// interleave measures all in turns, so that the machine's moods hit each of
// them. The first turn warms up.
func (s *storeRun) interleave(ctx context.Context, all []timed) error {
	for rep := range s.reps + 1 {
		for _, t := range all {
			runtime.GC()
			v, err := t.run(ctx)
			if err == nil {
				err = ctx.Err() // an interrupted figure is none
			}
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			s.took(rep, t.name, v)
		}
	}
	return nil
}

// A sliced thing is measured in many short slices: it goes on for some time
// and says how much it did.
type sliced struct {
	name string
	run  func(ctx context.Context, d time.Duration) (float64, error)
}

const slice = 100 * time.Millisecond

// interleaveSlices is interleave for what depends on the disk, whose mood
// changes within seconds: each repetition is made of slices of all in turns.
func (s *storeRun) interleaveSlices(ctx context.Context, all []sliced) error {
	for rep := range s.reps + 1 {
		done, took, used := make([]float64, len(all)), make([]time.Duration, len(all)), make([]time.Duration, len(all))
		runtime.GC()
		for left := s.span; left > 0; left -= slice {
			for i, t := range all {
				start, cpu := time.Now(), race.UsedTime()
				n, err := t.run(ctx, min(left, slice))
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					return fmt.Errorf("%s: %w", t.name, err)
				}
				done[i], took[i], used[i] = done[i]+n, took[i]+time.Since(start), used[i]+race.UsedTime()-cpu
			}
		}
		for i, t := range all {
			s.took(rep, t.name, done[i]/took[i].Seconds())
			s.note(t.name, "%.2g us of processor time each", used[i].Seconds()*1e6/done[i])
		}
	}
	return nil
}

// took keeps a figure, unless the repetition was one to warm up.
func (s *storeRun) took(rep int, name string, v float64) {
	if rep > 0 {
		s.samples[name] = append(s.samples[name], v)
		s.progress("%d/%d %-48s %s", rep, s.reps, name, human(v))
	}
}

// wants reports whether a row was asked for.
func (s *storeRun) wants(row string) bool { return strings.Contains(row, s.only) }
