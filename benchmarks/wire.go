package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/foldstream/foldstream/benchmarks/race"
)

const wireUsage = `usage: benchmarks wire [flags]

Measures esdbserver and esdbstore over loopback, beside two servers of the
benchmark's own: the ceiling, which sends frames that it encoded beforehand and
answers appends without a store, and plain, which has the generated code encode
every event. Servers are processes of their own.

Flags:
`

// wireConfig is what the flags of wire say.
type wireConfig struct {
	events  int
	appends int
	runs    int
	big     int
	only    string
	data    string
	gogc    int
	json    bool
}

func parseWire(args []string, stderr io.Writer) (wireConfig, error) {
	var c wireConfig
	fs := newFlags("benchmarks wire", wireUsage, stderr)
	fs.IntVar(&c.events, "events", 100_000, "events to read, of 200 bytes")
	fs.IntVar(&c.appends, "appends", 5_000, "events to append one after the other; ten times as many when many callers share the work")
	fs.IntVar(&c.runs, "runs", 5, "repetitions, of which the median counts")
	fs.IntVar(&c.big, "big", 5_000_000, "events in the log for the row about memory")
	fs.StringVar(&c.only, "only", "", "only rows whose name contains this")
	fs.StringVar(&c.data, "data", "", "directory for temporary files; the system's by default")
	fs.IntVar(&c.gogc, "gogc", 100, "garbage collection target of the client in percent, as GOGC; of the servers it is the default")
	fs.BoolVar(&c.json, "json", false, "print one JSON object a row instead of lines")
	if err := parseOnlyFlags(fs, args); err != nil {
		return c, err
	}
	if c.events < 1 || c.appends < 1 || c.runs < 1 || c.big < 1 {
		return c, fmt.Errorf("%w: -events, -appends, -runs and -big must be 1 or more", errUsage)
	}
	return c, nil
}

// A wireRow is a line of the result.
type wireRow struct {
	Name   string    `json:"name"`
	Value  float64   `json:"value"` // median
	Unit   string    `json:"unit"`
	Bar    float64   `json:"bar,omitempty"` // what Value, or Ratio, must reach; the most for memory
	Of     string    `json:"of,omitempty"`  // what Ratio is to
	Ratio  float64   `json:"ratio,omitempty"`
	Passed *bool     `json:"passed,omitempty"`
	All    []float64 `json:"all"`
}

// wire is one run of the scenario.
type wire struct {
	wireConfig
	dir  string
	say  func(string, ...any)
	rows []wireRow
}

func runWire(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, err := parseWire(args, stderr)
	if err != nil {
		return err
	}
	defer debug.SetGCPercent(debug.SetGCPercent(c.gogc))
	dir, err := os.MkdirTemp(c.data, "foldstream-wire")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	w := &wire{wireConfig: c, dir: dir, say: func(format string, a ...any) {
		if !c.json {
			_, _ = fmt.Fprintf(stdout, format+"\n", a...)
		}
	}}
	w.say("%s; GOGC %d of the client", race.Machine(), c.gogc)
	for _, step := range []func(context.Context) error{w.reads, w.appendOne, w.appendMany, w.batches, w.driver, w.memory} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if len(w.rows) == 0 {
		return fmt.Errorf("%w: -only %q: no row's name contains it", errUsage, c.only)
	}
	for _, r := range w.rows {
		if c.json {
			if err := json.NewEncoder(stdout).Encode(r); err != nil {
				return err
			}
			continue
		}
		_, _ = fmt.Fprintln(stdout, r.line())
	}
	return nil
}

// wants reports whether a row was asked for.
func (w *wire) wants(names ...string) bool {
	for _, n := range names {
		if strings.Contains(n, w.only) {
			return true
		}
	}
	return false
}

// A contender is one of several things that are measured in turn.
type contender struct {
	name   string
	run    func(context.Context) (int, error) // returns how many events it took
	server *remote                            // that it talks to; nil if there is none
}

// race measures contenders in turns, so that the machine's moods hit all of
// them, and returns events per second of each. It also says how much processor
// time an event took on both sides, which neighbours disturb less.
func (w *wire) race(ctx context.Context, what string, all ...contender) (map[string][]float64, error) {
	rates := make(map[string][]float64)
	for run := range w.runs + 1 {
		for _, c := range all {
			runtime.GC()
			client, server := processorTime(os.Getpid()), c.server.processorTime()
			start := time.Now()
			n, err := c.run(ctx)
			took := time.Since(start)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", what, c.name, err)
			}
			if run == 0 {
				continue // warms up
			}
			rate := float64(n) / took.Seconds()
			rates[c.name] = append(rates[c.name], rate)
			client, server = processorTime(os.Getpid())-client, c.server.processorTime()-server
			w.say("%s, %s, run %d: %.0f/s; processor time of the client %.1f us an event, of the server %.1f us",
				what, c.name, run, rate, client.Seconds()*1e6/float64(n), server.Seconds()*1e6/float64(n))
		}
	}
	return rates, nil
}

// add adds a row without a bar.
func (w *wire) add(name, unit string, all []float64) *wireRow {
	w.rows = append(w.rows, wireRow{Name: name, Value: race.Median(all), Unit: unit, All: all})
	return &w.rows[len(w.rows)-1]
}

// compared adds a row whose ratio to another must reach bar.
func (w *wire) compared(name string, all []float64, of string, base []float64, bar float64) {
	r := w.add(name, "events/s", all)
	r.Of, r.Bar, r.Ratio = of, bar, r.Value/race.Median(base)
	passed := r.Ratio >= bar
	r.Passed = &passed
}

// atLeast says what a row must reach.
func (r *wireRow) atLeast(bar float64) {
	passed := r.Value >= bar
	r.Bar, r.Passed = bar, &passed
}

func (r *wireRow) line() string {
	s := fmt.Sprintf("%-50s %10.0f %-8s", r.Name, r.Value, r.Unit)
	if r.Ratio > 0 {
		s += fmt.Sprintf("  %.2f of %s", r.Ratio, r.Of)
	}
	if r.Passed != nil {
		word := "MISSED"
		if *r.Passed {
			word = "passed"
		}
		s += fmt.Sprintf("  bar %.4g %s", r.Bar, word)
	}
	return s
}
