package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// QueueOptions configure a [Queue]. The zero value is ready to use. All
// processes of a queue should agree on them, but for Concurrency, Worker, the
// hooks and the logger.
type QueueOptions struct {
	// Concurrency is how many commands one Run carries out at a time; default 16.
	Concurrency int
	// Timeout is what the context of one try allows; default 30 s.
	Timeout time.Duration
	// MaxAttempts is how often a command is tried that meets passing trouble, see
	// [Outcome.Again], or whose worker dies; default 20.
	MaxAttempts int
	// MaxFaults is how often a command is tried that panics, has no handler, cannot
	// be decoded or fails with an error that nobody knows; default 3.
	MaxFaults int
	// Backoff is the wait after the first try, less a random part of up to the
	// half; it doubles with each further one up to MaxBackoff. Default 100 ms, 1 min.
	Backoff, MaxBackoff time.Duration
	// HoldKeys has later commands of a key wait for one that is dead-lettered, until
	// that is retried or dropped. By default they go on.
	HoldKeys bool
	// Lease is how long others wait for a worker that has gone silent, and a third
	// more, before they take over its commands; default 15 s. A worker that lives
	// renews it.
	Lease time.Duration
	// Worker names this process to those who look at the queue. If it is set, no
	// other running process may have the same name, and a process that begins
	// takes over at once what its predecessor of that name has left. By default
	// host, process id and a random part.
	Worker string
	// StopTimeout is how long Run, when it is told to stop, lets commands under way
	// come to their end before their contexts are canceled; default 10 s.
	StopTimeout time.Duration
	// Retention is how long finished commands can be looked at and a repeated
	// Enqueue is sure to be recognized, which it nearly always is for ever. Then
	// their streams are ended with a tombstone, and scavenging frees the space.
	// Default 24 h; negative keeps them.
	Retention time.Duration
	// CheckpointEvery is after how many events of the queue a worker writes down
	// which commands are not finished, so that the next one need not read what was
	// before; default 10,000.
	CheckpointEvery int
	// MaxHeld is how many bytes of commands that wait are kept in memory; others are
	// read when their turn comes. Default 64 MiB.
	MaxHeld int
	// Annotate may add to the origin of a command that is enqueued, such as the
	// trace context of ctx.
	Annotate func(ctx context.Context, o *eventstore.Origin)
	// Changed is told of each change that a worker of this process has made to a
	// command. It is called by several goroutines at once and must be quick. The
	// status has no Data.
	Changed func(Status)
	// Logger tells of retries, dead letters, take-overs and trouble with the store;
	// default discards.
	Logger *slog.Logger
}

func (o *QueueOptions) withDefaults() QueueOptions {
	var d QueueOptions
	if o != nil {
		d = *o
	}
	positive(&d.Concurrency, 16)
	positive(&d.Timeout, 30*time.Second)
	positive(&d.MaxAttempts, 20)
	positive(&d.MaxFaults, 3)
	positive(&d.Backoff, 100*time.Millisecond)
	positive(&d.MaxBackoff, time.Minute)
	positive(&d.Lease, 15*time.Second)
	positive(&d.StopTimeout, 10*time.Second)
	positive(&d.CheckpointEvery, 10_000)
	positive(&d.MaxHeld, 64<<20)
	if d.Retention == 0 {
		d.Retention = 24 * time.Hour
	}
	if d.Worker == "" {
		host, _ := os.Hostname()
		d.Worker = fmt.Sprintf("%s/%d/%s", host, os.Getpid(), eventstore.NewID().String()[:8])
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	return d
}

func positive[T int | time.Duration](v *T, or T) {
	if *v <= 0 {
		*v = or
	}
}

// A Queue keeps commands in an event store until a worker has carried them
// out: each command is a stream, and its events say what became of it. Queues of
// the same name on the same store, in any processes, are one queue. A Queue is
// safe for concurrent use.
type Queue struct {
	name  string
	store eventstore.Store
	codec eventstore.Codec
	bus   *Bus
	opts  QueueOptions

	running atomic.Bool
	crew    atomic.Pointer[crew] // of the Run under way, once it has a board
}

// NewQueue returns the queue of a name, which becomes the category of its
// streams. codec knows the types of the commands; bus carries them out. A process
// that only looks and mends may give nil for both, one that only enqueues for
// bus. A nil opts means the defaults. NewQueue panics if name is empty, has a
// dash or begins with a dollar sign.
func NewQueue(name string, store eventstore.Store, codec eventstore.Codec, bus *Bus, opts *QueueOptions) *Queue {
	if name == "" || strings.Contains(name, "-") || eventstore.IsSystemStream(name) {
		panic(fmt.Sprintf("command: queue %q: its name must not be empty, contain a dash or start with a dollar sign", name))
	}
	return &Queue{name: name, store: store, codec: codec, bus: bus, opts: opts.withDefaults()}
}

// Name returns the name of the queue.
func (q *Queue) Name() string { return q.name }

// Check returns an error for each of the given commands, of which only the
// types count, that cannot be enqueued because the codec does not know it, or,
// if the queue has a bus, that nobody would handle. Call it at start-up.
func (q *Queue) Check(commands ...any) error {
	var errs []error
	for _, c := range commands {
		errs = append(errs, q.registered(c))
	}
	if q.bus != nil {
		errs = append(errs, q.bus.Check(commands...))
	}
	return errors.Join(errs...)
}

func (q *Queue) stream(id string) string { return eventstore.StreamName(q.name, id) }

// filter matches the streams of the queue's commands.
func (q *Queue) filter(types ...string) eventstore.Filter {
	return eventstore.Filter{Categories: []string{q.name}, Types: types}
}
