// Peers measures other Go libraries and foldstream in one run.
//
//	cd benchmarks/peers
//	go run . commands             # the write side, see benchmarks/race
//	go run . commands -only W1 -raw
//	go run . views -reps 5        # catch-up of a Redis view
//
// Scenario views is workload W4: stored events of an order aggregate are read,
// decoded, folded and written. The peers have no Redis views, so what writes
// for them is what a user would write by hand: a pipeline for each 1000 events,
// with the changed documents and a checkpoint, which is not exactly once.
// foldstream does the same work exactly once. It starts a redis-server from
// PATH.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/benchmarks/race"
	"github.com/foldstream/foldstream/internal/redisproc"
)

// bar is how many times faster than the best peer foldstream is to be.
const bar = 3.0

type config struct {
	events, perOrder, reps, gogc int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "commands" {
		return runCommands(ctx, args[1:], stdout, stderr)
	}
	if len(args) > 0 && args[0] == "views" {
		return runViews(ctx, args[1:], stdout)
	}
	return errors.New("usage: peers commands|views [flags]; each explains its flags with -h")
}

func runCommands(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var s race.Settings
	fs := flag.NewFlagSet("peers commands", flag.ContinueOnError)
	s.Flags(fs)
	if err := fs.Parse(args); err != nil {
		return err
	}
	rows := commandRows(s.Sizes())
	if err := s.Check(rows); err != nil {
		return err
	}
	return s.Run(ctx, rows, stdout, stderr)
}

func runViews(ctx context.Context, args []string, stdout io.Writer) (err error) {
	var c config
	fs := flag.NewFlagSet("peers views", flag.ContinueOnError)
	fs.IntVar(&c.events, "events", 200_000, "stored events")
	fs.IntVar(&c.perOrder, "per-order", 10, "events of an order, at least 3")
	fs.IntVar(&c.reps, "reps", 5, "repetitions, of which the median counts")
	fs.IntVar(&c.gogc, "gogc", 400, "garbage collection target in percent, the same for all")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if c.events < 1 || c.perOrder < 3 || c.reps < 1 {
		return errors.New("-events and -reps must be 1 or more, -per-order 3 or more")
	}
	debug.SetGCPercent(c.gogc)
	h, err := makeHistory(c.events, c.perOrder)
	if err != nil {
		return err
	}
	server, err := redisproc.StartServer("", nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), DialerRetries: 1})
	defer func() { err = errors.Join(err, rdb.Close()) }()
	dir, err := os.MkdirTemp("", "foldstream-peers")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	all, closeAll, err := enter(ctx, rdb, dir, h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()

	p := printer{w: stdout}
	p.say("%s, GOGC %d; %d events of %d bytes on %d orders", race.Machine(), c.gogc, c.events, h.bytes/len(h.events), len(h.ids))
	seconds, err := repeat(ctx, c, all, &p)
	if err != nil {
		return err
	}
	p.judge(c, all, seconds)
	return p.err
}

// repeat has everybody run once in each round, in an order that rotates, so
// that what else the machine does hits all alike.
func repeat(ctx context.Context, c config, all []contestant, p *printer) ([][]float64, error) {
	seconds := make([][]float64, len(all))
	for rep := range c.reps {
		for k := range all {
			i := (k + rep) % len(all)
			runtime.GC()
			took, err := all[i].run(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", all[i].name, err)
			}
			if err := all[i].check(ctx); err != nil {
				return nil, fmt.Errorf("%s is not exact: %w", all[i].name, err)
			}
			seconds[i] = append(seconds[i], took.Seconds())
			p.say("run %d: %-48s %.3f s, %8.0f events/s", rep+1, all[i].name, took.Seconds(), float64(c.events)/took.Seconds())
		}
	}
	return seconds, nil
}

// printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) say(format string, a ...any) {
	if _, err := fmt.Fprintf(p.w, format+"\n", a...); err != nil && p.err == nil {
		p.err = err
	}
}

// judge prints medians, and us against the best peer of the same kind of store.
func (p *printer) judge(c config, all []contestant, seconds [][]float64) {
	p.say("\n## medians of %d", c.reps)
	type best struct{ ours, peer, beyond float64 }
	groups := map[bool]*best{false: {}, true: {}} // by durable
	for i, x := range all {
		rate := float64(c.events) / race.Median(seconds[i])
		p.say("%-56s %8.0f events/s", x.name, rate)
		g := groups[x.durable]
		switch {
		case x.ours:
			g.ours = rate
		case x.beyond:
			g.beyond = max(g.beyond, rate)
		default:
			g.peer = max(g.peer, rate)
		}
	}
	p.say("\n## bars")
	for _, durable := range []bool{false, true} {
		g, kind, verdict := groups[durable], "memory", "missed"
		if durable {
			kind = "durable log"
		}
		if g.ours >= bar*g.peer {
			verdict = "passed"
		}
		p.say("%-42s %-28s bar %-24s %s", "W4 against the best peer, "+kind, fmt.Sprintf("%.2f times", g.ours/g.peer), fmt.Sprintf("%.1f times", bar), verdict)
		p.say("%-42s %.2f times", "  with one HSET a batch, beyond W4", g.ours/g.beyond)
	}
}
