package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
)

const usage = `A small shop that shows foldstream: events in an embedded store, views in Redis.

  shop [-data DIR] [-json]                  a demonstration: sends commands, reads its own
                                            writes, rebuilds the views and compares them
  shop serve [-data DIR] [-listen ADDR]     HTTP and JSON, see the README
  shop import FILE|- [-data DIR] [-json]    one JSON command a line
  shop rebuild [VIEW] [-data DIR] [-json]   replays the events into new views
  shop status [-data DIR] [-json]           position, lag and rate of each view

  -data DIR     folder of the events; without it a temporary one that is removed at the end
  -json         one JSON object on standard output
  -listen ADDR  default 127.0.0.1:8080; port 0 takes a free one

  ESDB_URL      EventStoreDB that holds the events instead of a folder, such as
                esdb://127.0.0.1:2113?tls=false for foldstream serve
  REDIS_URL     Redis of the views, such as redis://127.0.0.1:6379/0; without it they are
                in this process and replayed from the events at each start
`

// A streams are the standard streams and what else the world gives a command.
type streams struct {
	in       io.Reader
	out, err io.Writer
	redisURL string
	esdbURL  string
}

// args are the parsed arguments.
type args struct {
	name   string // of the subcommand; empty for the demonstration
	file   string // of import
	view   string // of rebuild
	data   string
	listen string
	json   bool
}

// subcommands maps each to the flags it takes besides -data.
var subcommands = map[string][]string{
	"":        {"json"},
	"serve":   {"listen"},
	"import":  {"json"},
	"rebuild": {"json"},
	"status":  {"json"},
}

// parse reads flags before, between and after the other arguments.
func parse(argv []string) (args, error) {
	var a args
	flags := flag.NewFlagSet("shop", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&a.data, "data", "", "")
	flags.StringVar(&a.listen, "listen", "127.0.0.1:8080", "")
	flags.BoolVar(&a.json, "json", false, "")
	var words []string
	for rest := argv; ; {
		if err := flags.Parse(rest); err != nil {
			return a, err
		}
		if rest = flags.Args(); len(rest) == 0 {
			break
		}
		words, rest = append(words, rest[0]), rest[1:]
	}
	if len(words) > 0 {
		a.name, words = words[0], words[1:]
	}
	takes, ok := subcommands[a.name]
	if !ok || a.name == "" && len(words) > 0 {
		return a, fmt.Errorf("subcommand %q is not known", a.name)
	}
	var wrong error
	flags.Visit(func(f *flag.Flag) {
		if f.Name != "data" && !slices.Contains(takes, f.Name) {
			wrong = fmt.Errorf("shop %s does not take -%s", a.name, f.Name)
		}
		if f.Name == "data" && a.data == "" {
			wrong = errors.New("-data is empty; leave it out for a temporary folder")
		}
	})
	if wrong != nil {
		return a, wrong
	}
	return a, a.positional(words)
}

func (a *args) positional(words []string) error {
	switch {
	case a.name == "import" && len(words) == 1:
		a.file = words[0]
		return nil
	case a.name == "import" && len(words) == 0:
		return errors.New("import needs a file, or - for standard input")
	case a.name == "rebuild" && len(words) == 1:
		a.view = words[0]
		return nil
	case len(words) > 0:
		return fmt.Errorf("%q is one argument too many", words[len(words)-1])
	}
	return nil
}

// run is the program. It returns its exit code: 0 when all went well, 1 when
// it did not, 2 when it was called wrongly.
func run(ctx context.Context, argv []string, s streams) int {
	a, err := parse(argv)
	if errors.Is(err, flag.ErrHelp) {
		_, _ = io.WriteString(s.out, usage)
		return 0
	}
	if err != nil {
		_, _ = fmt.Fprintf(s.err, "shop: %v\n\n%s", err, usage)
		return 2
	}
	if err := execute(ctx, a, s); err != nil {
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		_, _ = fmt.Fprintf(s.err, "shop: %v\n", err)
		return 1
	}
	return 0
}

func execute(ctx context.Context, a args, s streams) (err error) {
	if a.data != "" && s.esdbURL != "" {
		return errors.New("-data and ESDB_URL both say where the events are; leave one out")
	}
	src := s.in
	if a.name == "import" && a.file != "-" { // before anything is opened for nothing
		f, err := openFile(a.file)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // only read
		src = f
	}
	log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	c := config{data: a.data, esdbURL: s.esdbURL, redisURL: s.redisURL, notes: s.err, log: log}
	shop, err := open(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shop.close()) }()
	if a.name == "serve" || a.name == "import" {
		shop.sayWhere(c, s.err)
	}
	switch a.name {
	case "serve":
		return serve(ctx, shop, a.listen, s.out, s.err)
	case "import":
		return importFile(ctx, shop, src, a.json, s.out, s.err)
	case "rebuild":
		return rebuildViews(ctx, shop, a.view, a.json, s.out, s.err)
	case "status":
		return showStatus(ctx, shop, a.json, s.out, s.err)
	}
	return runDemo(ctx, shop, a.json, s.out, s.err)
}

// importFile is the subcommand import. Views in this process would be thrown
// away at its end, so only those in a Redis of their own are brought level.
func importFile(ctx context.Context, a *app, src io.Reader, asJSON bool, out, notes io.Writer) (err error) {
	// An import allocates much and keeps little: rarer collections are a seventh
	// faster and cost some 50 MB.
	defer debug.SetGCPercent(debug.SetGCPercent(300))
	m := newMeter(notes, "import", sizeOf(src))
	im := &importer{bus: a.commands.bus, ledger: ledger{a.store, newEvents()}, meter: m}
	s, err := im.run(ctx, src)
	m.done(s.words())
	if asJSON {
		err = errors.Join(err, json.NewEncoder(out).Encode(s))
	} else {
		_, _ = fmt.Fprintf(out, "%s in %.2f s (%.0f lines/s)\n", s.words(), s.Seconds, float64(s.Lines)/max(s.Seconds, 1e-9))
	}
	if err != nil || a.inMemory {
		return err
	}
	stop := a.follow(ctx)
	defer func() { err = joinStop(err, stop) }()
	return a.waitLevel(ctx, notes)
}

func openFile(name string) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		_ = f.Close()
		return nil, fmt.Errorf("%s is a directory; import takes a file of one JSON command a line", name)
	}
	return f, nil
}

// sizeOf returns the bytes of a regular file, or -1.
func sizeOf(src io.Reader) int64 {
	if f, ok := src.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return info.Size()
		}
	}
	return -1
}
