package projection

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// Options configure a [Runner]. The zero value is ready to use.
type Options struct {
	// Partitions is how many partitions a new version of a view gets, at most
	// 64; default 16. Versions that exist keep theirs.
	Partitions int
	// BatchChanges and BatchBytes bound what one partition writes in one step,
	// by the number of documents, counters and members and by the size of the
	// documents; defaults 4096 and 1 MiB. BatchEvents bounds the events that are
	// folded for it; default 32,768. While a view is followed a batch takes what
	// is there and never waits to fill. While it is far behind a batch waits to
	// fill, and may have four times as many changes, as what is written once
	// for many events is gained; then two partitions commit at a time, so that
	// others who use the view store need not wait long.
	BatchChanges int
	BatchBytes   int
	BatchEvents  int
	// CacheDocuments bounds the documents and counters that are kept in memory
	// per target and process; default 500,000, negative for no bound.
	CacheDocuments int
	// CheckpointInterval is how long a partition without events waits before it
	// moves its stored checkpoint on; default 1 s.
	CheckpointInterval time.Duration
	// MaxParked is how many events one partition parks before the projection
	// stops with [ErrTooManyParked]; default 1000.
	MaxParked int
	// LeaseTTL is how long another process waits before it takes over from one
	// that has gone silent; default 5 s.
	LeaseTTL time.Duration
	// Backoff is the longest wait before the first new try after a transient
	// error; it doubles up to 5 s. Default 50 ms.
	Backoff time.Duration
	// StopOnNewDefinition has a projection stop with [ErrDefinitionChanged]
	// when the stored view was built by another definition. By default a new
	// version is built at once while the old one goes on to be read.
	StopOnNewDefinition bool
	// Classify says whether an error of a handler is transient or poison, where
	// the handler has not said so itself with [Transient] or [Poison].
	Classify func(error) ErrorClass
	// UnknownEvents says what to do with events of a type that no codec of the
	// runner's projections knows; default [UnknownSkip].
	UnknownEvents UnknownPolicy
	// Hooks are told of commits, parked events, states and errors.
	Hooks Hooks
	// Owner names this process in leases; by default host, process id and a
	// random part.
	Owner string
	// Logger tells of take-overs, rebuilds, errors and parked events; default
	// discards.
	Logger *slog.Logger
}

// An UnknownPolicy says what a runner does with events whose type no codec of
// its projections knows. Types that are registered and that no projection
// handles are always skipped, undecoded, and so are system events, whose types
// begin with "$".
type UnknownPolicy uint8

const (
	// UnknownSkip asks the event store only for the types that are handled, so
	// that others are not even read.
	UnknownSkip UnknownPolicy = iota
	// UnknownCount reads all events and counts, by type, those that are not
	// known, see [Status.Unknown].
	UnknownCount
	// UnknownStop reads all events and stops all views at the first that is not
	// known, with an error that matches [eventstore.ErrUnknownEvent].
	UnknownStop
)

// maxPartitions is what one word of bits can tell apart.
const maxPartitions = 64

func (o *Options) withDefaults() (Options, error) {
	var d Options
	if o != nil {
		d = *o
	}
	positive(&d.Partitions, 16)
	positive(&d.BatchChanges, 4096)
	positive(&d.BatchBytes, 1<<20)
	positive(&d.BatchEvents, 1<<15)
	positive(&d.MaxParked, 1000)
	positive(&d.CheckpointInterval, time.Second)
	positive(&d.LeaseTTL, 5*time.Second)
	positive(&d.Backoff, 50*time.Millisecond)
	if d.CacheDocuments == 0 {
		d.CacheDocuments = 500_000
	}
	if d.Partitions > maxPartitions {
		return d, fmt.Errorf("projection: %d partitions: at most %d", d.Partitions, maxPartitions)
	}
	if d.Owner == "" {
		host, _ := os.Hostname()
		d.Owner = fmt.Sprintf("%s/%d/%s", host, os.Getpid(), eventstore.NewID().String()[:8])
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	return d, nil
}

func positive[T int | time.Duration](v *T, or T) {
	if *v <= 0 {
		*v = or
	}
}

// cacheLimit is the bound for one partition's table.
func (o *Options) cacheLimit(partitions int) int {
	if o.CacheDocuments < 0 {
		return 0
	}
	return max(o.CacheDocuments/partitions, 16)
}
