package cli

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbstore"
)

// allStreams is what EventStoreDB calls all streams together.
const allStreams = "$all"

// defaultConnection is where foldstream serve listens unless told otherwise.
const defaultConnection = "esdb://127.0.0.1:2113?tls=false"

// maxAppend is what the driver lets through: the limit is the server's to set.
const maxAppend = 16 << 20

// A serverFlags says which EventStoreDB to work on.
type serverFlags struct {
	Connection string        `short:"c" placeholder:"URL" help:"Connection string of the EventStoreDB; by default FOLDSTREAM_URL or ESDB_URL of the environment, else esdb://127.0.0.1:2113?tls=false."`
	Timeout    time.Duration `default:"5s" help:"How long to go on trying when the server is away; a tail that has begun tries for ever (${default})."`
	LogLevel   slog.Level    `default:"warn" placeholder:"LEVEL" help:"debug, info, warn or error (${default})."`
}

// A streamsCommand is what its subcommands share.
type streamsCommand struct {
	outputFlags
	serverFlags

	List   listCommand   `cmd:"" help:"List the streams."`
	Read   readCommand   `cmd:"" help:"Read the events of a stream, or of $$all."`
	Append appendCommand `cmd:"" help:"Append events to a stream."`
	Delete deleteCommand `cmd:"" help:"Delete a stream."`
	Tail   tailCommand   `cmd:"" help:"Follow a stream, or $$all."`
}

// Help implements kong.HelpProvider.
func (*streamsCommand) Help() string {
	return `A connection string is EventStoreDB's own:

  esdb://127.0.0.1:2113?tls=false                  foldstream serve, without TLS
  esdb://admin:changeit@node:2113?tlsCAFile=ca.pem with TLS and credentials
  esdb://admin:changeit@n1:2113,n2:2113,n3:2113    a cluster

Versions count the events of a stream: the first has version 1, which
EventStoreDB calls revision 0.`
}

// with opens the store, does something with it and closes it.
func (s *serverFlags) with(ctx context.Context, w *world, do func(eventstore.Store) error) error {
	s.Connection = cmp.Or(s.Connection, w.getenv("FOLDSTREAM_URL"), w.getenv("ESDB_URL"), defaultConnection)
	log := slog.New(slog.NewTextHandler(w.err, &slog.HandlerOptions{Level: s.LogLevel}))
	retry := s.Timeout
	if retry <= 0 {
		retry = -1 // not at all; 0 means the default there
	}
	store, err := w.open(s.Connection, &esdbstore.Options{MaxAppendSize: maxAppend, RetryFor: retry, Logger: log})
	if err != nil {
		return &usageError{err: err}
	}
	err = s.explain(ctx, do(store))
	if closing := store.Close(); err == nil && closing != nil {
		err = s.explain(ctx, closing)
	}
	return err
}

// A selection chooses events.
type selection struct {
	Type     []string `short:"t" sep:"none" placeholder:"TYPE" help:"Only events of this type; may be given several times."`
	Category []string `sep:"none" placeholder:"NAME" help:"Only streams of this category, the part of a name before its first dash; may be given several times."`
	System   bool     `help:"Include the streams and events of the server, whose names begin with $$."`
}

// of returns the filter for a stream, or $all.
func (s *selection) of(stream string) (eventstore.Filter, error) {
	f := eventstore.Filter{Types: s.Type, Categories: s.Category}
	if stream != allStreams {
		if len(s.Category) > 0 || s.System {
			return f, wrongUsage("--category and --system are for %s; %s is one stream", allStreams, stream)
		}
		return f, nil
	}
	f.ExcludeSystem = !s.System && !anySystem(s.Type) && !anySystem(s.Category)
	return f, nil
}

// anySystem reports whether a name is one of the server's. Who names it wants it.
func anySystem(names []string) bool { return slices.ContainsFunc(names, eventstore.IsSystemStream) }

// An expectation is what --expected says.
type expectation struct{ eventstore.Expected }

// UnmarshalText reads any, none, exists or a version.
func (e *expectation) UnmarshalText(text []byte) error {
	switch string(text) {
	case "any":
		e.Expected = eventstore.Any
		return nil
	case "none":
		e.Expected = eventstore.NoStream
		return nil
	case "exists":
		e.Expected = eventstore.StreamExists
		return nil
	}
	n, err := parseNumber(string(text))
	if err != nil {
		return errors.New("want any, none, exists or a version such as 3")
	}
	e.Expected = eventstore.Exact(eventstore.Version(n))
	return nil
}
