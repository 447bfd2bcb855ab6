// Benchmarks measures foldstream on the machine it runs on, each figure beside
// the limit of that machine in the same run.
//
//	go run ./benchmarks projection -events 1000000 -keys 100000
//	go run ./benchmarks rebuild -events 1000000 -keys 100000
//
// It starts a redis-server from PATH, or uses the one that REDIS_URL names; of
// that it uses keys with a prefix of its own, and removes them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: benchmarks projection|rebuild [flags]

  projection   replays a log store into a new Redis view, exactly once
  rebuild      fills a second version of that view while the first one serves

Environment: REDIS_URL, such as redis://127.0.0.1:6379/0; without it a
redis-server from PATH is started on a free port of the loopback address.

Flags:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("see benchmarks -h")

// config is what the flags say.
type config struct {
	scenario   string
	events     int
	keys       int
	zipf       float64
	partitions int
	batch      int
	reps       int
	data       string
	json       bool
	profile    string
}

func parse(args []string, stderr io.Writer) (config, error) {
	var c config
	fs := flag.NewFlagSet("benchmarks", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		_, _ = fmt.Fprint(stderr, usage)
		fs.PrintDefaults()
	}
	fs.IntVar(&c.events, "events", 1_000_000, "events to replay")
	fs.IntVar(&c.keys, "keys", 100_000, "aggregates, and so documents, that they are spread over")
	fs.Float64Var(&c.zipf, "zipf", 0, "skew of the keys, above 1; 0 means uniform")
	fs.IntVar(&c.partitions, "partitions", 16, "partitions of the view")
	fs.IntVar(&c.batch, "batch", 0, "events in one commit of a partition at most; 0 means the default")
	fs.IntVar(&c.reps, "reps", 3, "repetitions, of which the median counts")
	fs.StringVar(&c.data, "data", "", "directory of the log store, kept; a temporary one by default")
	fs.StringVar(&c.profile, "cpuprofile", "", "file to write a CPU profile of the replays to")
	fs.BoolVar(&c.json, "json", false, "print one JSON object instead of lines")
	for len(args) > 0 { // flags may stand before and after the scenario
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return c, err
			}
			return c, errUsage
		}
		if args = fs.Args(); len(args) > 0 {
			if c.scenario != "" {
				return c, fmt.Errorf("%w: %q is one scenario too many", errUsage, args[0])
			}
			c.scenario, args = args[0], args[1:]
		}
	}
	switch {
	case c.scenario != "projection" && c.scenario != "rebuild":
		return c, fmt.Errorf("%w: unknown scenario %q; there are projection and rebuild", errUsage, c.scenario)
	case c.events < 1 || c.keys < 1 || c.reps < 1:
		return c, fmt.Errorf("%w: -events, -keys and -reps must be 1 or more", errUsage)
	case c.zipf != 0 && c.zipf <= 1:
		return c, fmt.Errorf("%w: -zipf %v: must be above 1, or 0", errUsage, c.zipf)
	}
	return c, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, err := parse(args, stderr)
	if err != nil {
		return err
	}
	say := func(format string, a ...any) {
		if !c.json {
			_, _ = fmt.Fprintf(stdout, format+"\n", a...)
		}
	}
	result, err := measure(ctx, c, say)
	if err != nil {
		return err
	}
	if c.json {
		return json.NewEncoder(stdout).Encode(result)
	}
	result.print(say)
	return nil
}
