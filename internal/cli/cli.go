// Package cli is the command line of foldstream: serve puts EventStoreDB's
// protocol in front of a store, streams reads and writes any EventStoreDB,
// projections looks at the views of running applications and controls them,
// commands does so with commands on queues, log works on the directory of an
// embedded store.
// What a command prints for programs goes to standard output; notes, logs and
// errors go to standard error.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbstore"
)

const summary = `foldstream turns a stream of facts into state. This program serves its event
store to EventStoreDB clients, works on the streams of any EventStoreDB, on the
views of running applications and the commands they queue, and on the directories
of embedded stores.`

// commands are all of them.
type commands struct {
	Serve       serveCommand       `cmd:"" help:"Serve an event store to EventStoreDB clients."`
	Streams     streamsCommand     `cmd:"" help:"List, read, append, delete and follow the streams of an EventStoreDB."`
	Projections projectionsCommand `cmd:"" help:"List, show, rebuild, pause and mend the views of running applications."`
	Commands    queuesCommand      `cmd:"" help:"List, show, retry and drop queued commands."`
	Log         logCommand         `cmd:"" help:"Verify, back up, export, import and scavenge the directory of an embedded store."`
	Keys        keysCommand        `cmd:"" help:"List, erase and rotate the keys of personal data."`
	Version     kong.VersionFlag   `help:"Show the version and exit."`
}

// An opener opens a store, as esdbstore.Open does.
type opener func(connection string, opts *esdbstore.Options) (eventstore.Store, error)

// A world is what surrounds a command.
type world struct {
	in       io.Reader
	out, err io.Writer
	open     opener
	getenv   func(string) string
}

// Run carries out one command and returns the exit code of the process: 0 when
// all went well, 1 when it did not, 2 when it was called wrongly. When ctx is
// done serve stops and tail ends, both with 0; other commands are interrupted.
// A reader of stdout that has gone ends it quietly.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return run(ctx, args, &world{in: stdin, out: stdout, err: stderr, open: openESDB, getenv: os.Getenv})
}

func openESDB(connection string, opts *esdbstore.Options) (eventstore.Store, error) {
	s, err := esdbstore.Open(connection, opts)
	if err != nil {
		return nil, err // not a nil *Store in an interface
	}
	return s, nil
}

func run(ctx context.Context, args []string, w *world) int {
	err := execute(ctx, args, w)
	if exit := exited(0); errors.As(err, &exit) {
		return int(exit)
	}
	if err == nil || errors.Is(err, syscall.EPIPE) {
		return 0
	}
	text := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
	if wrong := (*usageError)(nil); errors.As(err, &wrong) {
		_, _ = fmt.Fprintf(w.err, "foldstream: %s\ntry: foldstream%s --help\n", text, wrong.command)
		return 2
	}
	_, _ = fmt.Fprintf(w.err, "foldstream: %s\n", text)
	return 1
}

// A usageError says that the program was called wrongly.
type usageError struct {
	command string // whose help says more, with a space before it
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// exited is the exit code that --help and --version ask for in the middle of
// kong's parser, which goes on unless it is left by a panic.
type exited int

func (e exited) Error() string { return "" }

func execute(ctx context.Context, args []string, w *world) (err error) {
	defer func() {
		if p := recover(); p != nil {
			exit, ok := p.(exited)
			if !ok {
				panic(p)
			}
			err = exit
		}
	}()
	parser, err := kong.New(new(commands),
		kong.Name("foldstream"), kong.Description(summary),
		kong.Writers(w.out, w.err), kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.Vars{"version": version()},
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(w),
	)
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	if bad := (*kong.ParseError)(nil); errors.As(err, &bad) {
		return &usageError{command: commandOf(bad.Context), err: err}
	}
	if err != nil {
		return err
	}
	err = parsed.Run()
	if wrong := (*usageError)(nil); errors.As(err, &wrong) {
		wrong.command = commandOf(parsed)
	}
	return err
}

// commandOf returns the names of the commands that were understood.
func commandOf(parsed *kong.Context) string {
	var names strings.Builder
	for _, p := range parsed.Path {
		if p.Command != nil {
			names.WriteString(" " + p.Command.Name)
		}
	}
	return names.String()
}

func version() string {
	text := "foldstream"
	if info, ok := debug.ReadBuildInfo(); ok {
		text += " " + info.Main.Version
	}
	return text + " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
}

func wrongUsage(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}

// confirmed refuses what is not to be had without --yes.
func confirmed(yes bool, format string, args ...any) error {
	if yes {
		return nil
	}
	return wrongUsage(format+"; add --yes if that is meant", args...)
}
