package esdbstore

import (
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/foldstream/foldstream/eventstore"
)

// Options configure a [Store]. The zero value is ready to use.
type Options struct {
	// MaxAppendSize is the limit in bytes on one append that is checked before
	// anything is sent; default eventstore.DefaultMaxAppendSize. The server has
	// a limit of its own, and counts metadata as JSON.
	MaxAppendSize int

	// RetryFor is how long a call goes on trying when the server is away, and a
	// read from the last event it was given; default 10 s, negative means that
	// nothing is tried again. Subscriptions and consumers try for ever.
	RetryFor time.Duration

	// CallTimeout is how long one request that is not a stream may take;
	// default what the connection string says as defaultDeadline, or 10 s.
	CallTimeout time.Duration

	MinBackoff time.Duration // before the second try; default 50 ms
	MaxBackoff time.Duration // between later tries, each wait at random up to it; default 2 s

	Logger *slog.Logger // default slog.Default; what the client says goes there as debug messages
}

// A Store keeps events in EventStoreDB. It is safe for concurrent use, and one
// is enough for a process unless it has some 90 subscriptions at once, which is
// what a node takes on one connection.
type Store struct {
	opts Options
	log  *slog.Logger
	sup  *supervisor

	seen     atomic.Uint64 // the highest position known to be committed
	seenWith atomic.Uint64 // number of the client with which the head was asked for
}

var _ eventstore.Store = (*Store)(nil)

// Open returns a store for a connection string as EventStoreDB documents it,
// see the package's documentation. A nil opts means the defaults. It only reads the
// string: the first call connects, and no goroutine is started. An error names
// what is wrong in the string and never shows its password.
func Open(connection string, opts *Options) (*Store, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	o = o.withDefaults()
	conf, err := parse(connection, o.Logger)
	if err != nil {
		return nil, err
	}
	if o.CallTimeout > 0 {
		conf.DefaultDeadline = &o.CallTimeout
	}
	return &Store{opts: o, log: o.Logger, sup: newSupervisor(*conf, o.Logger)}, nil
}

func (o Options) withDefaults() Options {
	if o.MaxAppendSize <= 0 {
		o.MaxAppendSize = eventstore.DefaultMaxAppendSize
	}
	if o.RetryFor == 0 {
		o.RetryFor = 10 * time.Second
	}
	if o.MinBackoff <= 0 {
		o.MinBackoff = 50 * time.Millisecond
	}
	if o.MaxBackoff <= 0 {
		o.MaxBackoff = 2 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Close ends every call and sequence with ErrClosed and closes the connection.
// It waits for calls to end, which takes no longer than a node that does not
// answer is given, see gossipTimeout in the connection string.
func (s *Store) Close() error {
	s.sup.close()
	return nil
}

// ready returns why nothing can be done.
func (s *Store) ready(ctx context.Context) error {
	select {
	case <-s.sup.closing:
		return eventstore.ErrClosed
	default:
		return ctx.Err()
	}
}

// Head implements [eventstore.Store].
func (s *Store) Head(ctx context.Context) (eventstore.Position, error) {
	return s.head(ctx, s.patience("read the head"))
}

func (s *Store) head(ctx context.Context, p *patience) (eventstore.Position, error) {
	var head eventstore.Position
	q := query{
		what: "$all",
		open: func(ctx context.Context, c *esdb.Client) (*esdb.ReadStream, error) {
			return c.ReadAll(ctx, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
		},
		take: func(r *eventstore.Recorded) verdict {
			head = r.Position
			return last
		},
	}
	err := s.run(ctx, p, &q)
	if err == nil {
		s.saw(head)
	}
	return head, err
}

// saw notes that a position is committed.
func (s *Store) saw(p eventstore.Position) {
	for {
		old := s.seen.Load()
		if uint64(p) <= old || s.seen.CompareAndSwap(old, uint64(p)) {
			return
		}
	}
}

// expectation returns the client's form of what a write expects.
func expectation(x eventstore.Expected) (esdb.ExpectedRevision, error) {
	switch v, exact := x.Version(); {
	case x == eventstore.NoStream:
		return esdb.NoStream{}, nil
	case exact:
		return esdb.Revision(uint64(v) - 1), nil
	case x == eventstore.Any:
		return esdb.Any{}, nil
	case x == eventstore.StreamExists:
		return esdb.StreamExists{}, nil
	}
	return nil, &eventstore.InvalidError{What: "expected version", Value: strconv.FormatInt(int64(x), 10), Remedy: "use Any, NoStream, StreamExists or Exact"}
}
