package aggregate

import (
	"context"
	"sync"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// An Evolver is the state S of an aggregate whose events are of type E, which
// is usually a closed interface. Evolve returns the state after an event. It
// must not fail: the event has happened. It must not change what the receiver
// refers to, such as a map; clone before writing.
type Evolver[S, E any] interface {
	Evolve(event E) S
}

// Options configure a [Repository]. The zero value is ready to use.
type Options struct {
	// Retries is how often a command decides again after a conflict with
	// another process; default 10, negative for never.
	Retries int
	// Backoff is the longest wait before the first retry; it doubles with each,
	// up to 100 ms, and the wait is a random part of it. Default 2 ms.
	Backoff time.Duration
	// Cache is of how many aggregates the last state is kept in memory; the
	// least recently used go first. A kept state is where reading begins, never
	// an answer: what the stream has beyond it is always read. Default 4096,
	// negative for none.
	Cache int
	// Remember is how many of an aggregate's last commands are recognized at
	// least when they come again with the same id. Default 10,000, negative for
	// all.
	Remember int
	// Group is how many waiting commands of one aggregate are appended in one
	// step at most; default 256, 1 for each by itself.
	Group int
	// Snapshots are taken if it is set, so that an aggregate that is not in
	// memory need not be read from its beginning.
	Snapshots *SnapshotOptions
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Retries == 0 {
		out.Retries = 10
	}
	if out.Backoff <= 0 {
		out.Backoff = 2 * time.Millisecond
	}
	if out.Cache == 0 {
		out.Cache = 4096
	}
	if out.Remember == 0 {
		out.Remember = 10_000
	}
	if out.Group <= 0 {
		out.Group = 256
	}
	return out
}

// A Repository loads and changes the aggregates of one category. It is safe
// for concurrent use.
type Repository[S, E any] struct {
	store    eventstore.Store
	category string
	codec    eventstore.Codec
	initial  S
	evolve   func(S, E) S
	opts     Options
	dense    bool // positions within an append are consecutive
	cells    cells[S, E]
	loaders  sync.Pool     // of *loader[S, E]
	works    sync.Pool     // of *work[S, E]
	drafts   sync.Pool     // of *draft[S, E]
	snaps    *snapshots[S] // nil when none are taken
}

// NewRepository returns a repository of the aggregates in a category. A nil
// opts means the defaults. It panics if category is empty or has a dash, which
// would make its streams ambiguous.
func NewRepository[S Evolver[S, E], E any](store eventstore.Store, category string, codec eventstore.Codec, opts *Options) *Repository[S, E] {
	var initial S
	return newRepository(store, category, codec, initial, S.Evolve, opts)
}

func newRepository[S, E any](store eventstore.Store, category string, codec eventstore.Codec, initial S, evolve func(S, E) S, opts *Options) *Repository[S, E] {
	checkCategory(category)
	r := &Repository[S, E]{store: store, category: category, codec: codec, initial: initial, evolve: evolve, opts: opts.withDefaults()}
	if d, ok := store.(eventstore.Dense); ok {
		r.dense = d.Dense()
	}
	r.snaps = newSnapshots[S](r.opts.Snapshots)
	r.cells.init(r.opts.Cache)
	r.loaders.New = func() any { return newLoader(r) }
	r.works.New = func() any { return &work[S, E]{done: make(chan struct{}, 1)} }
	r.drafts.New = func() any { return new(draft[S, E]) }
	return r
}

// Loaded is an aggregate as of one version.
type Loaded[S any] struct {
	State    S
	Stream   string
	Version  eventstore.Version  // 0 when there is no such aggregate
	Position eventstore.Position // of its last event
}

// Load returns the aggregate with an id, with everything that was committed
// before the call. One that does not exist has the initial state and version
// 0. It returns an [*eventstore.UnknownEventError] for an event that the codec
// does not know, and what the store returns.
//
// The state may be shared with other callers: clone a map or slice in it
// before writing to it. Concurrent loads of an aggregate that is not in memory
// read its history once.
//
// [AtVersion] and [AtTime] ask for the past, which is not kept in memory.
func (r *Repository[S, E]) Load(ctx context.Context, id string, opts ...LoadOption) (Loaded[S], error) {
	stream, err := r.stream(id)
	if err != nil {
		return Loaded[S]{}, err
	}
	if len(opts) > 0 {
		return r.at(ctx, stream, momentOf(opts))
	}
	c := r.cells.acquire(stream)
	defer r.cells.release(c)
	b, err := r.fresh(ctx, c, nil)
	return b.loaded(stream), err
}

func (r *Repository[S, E]) stream(id string) (string, error) {
	if id == "" {
		return "", &eventstore.InvalidError{What: "id of " + r.category, Value: id, Remedy: "an aggregate needs an id"}
	}
	stream := eventstore.StreamName(r.category, id)
	return stream, eventstore.CheckStream(stream)
}
