package aggregate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
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
}

const maxBackoff = 100 * time.Millisecond

// A Repository loads and changes the aggregates of one category. It is safe
// for concurrent use.
type Repository[S Evolver[S, E], E any] struct {
	store    eventstore.Store
	category string
	codec    eventstore.Codec
	opts     Options
	locks    keyedLock
}

// NewRepository returns a repository of the aggregates in a category. A nil
// opts means the defaults. It panics if category is empty or has a dash, which
// would make its streams ambiguous.
func NewRepository[S Evolver[S, E], E any](store eventstore.Store, category string, codec eventstore.Codec, opts *Options) *Repository[S, E] {
	if c, id := eventstore.SplitStream(category); category == "" || id != "" || c != category || eventstore.IsSystemStream(category) {
		panic(fmt.Sprintf("aggregate: category %q: must not be empty, contain a dash or start with a dollar sign", category))
	}
	r := &Repository[S, E]{store: store, category: category, codec: codec}
	if opts != nil {
		r.opts = *opts
	}
	if r.opts.Retries == 0 {
		r.opts.Retries = 10
	}
	if r.opts.Backoff <= 0 {
		r.opts.Backoff = 2 * time.Millisecond
	}
	return r
}

// Loaded is an aggregate as of one version.
type Loaded[S any] struct {
	State    S
	Stream   string
	Version  eventstore.Version  // 0 when there is no such aggregate
	Position eventstore.Position // of its last event
}

// Load returns the aggregate with an id. One that does not exist has the zero
// value of S and version 0. It returns an [*eventstore.UnknownEventError] for
// an event that the codec does not know, and what the store returns.
func (r *Repository[S, E]) Load(ctx context.Context, id string) (Loaded[S], error) {
	stream, err := r.stream(id)
	if err != nil {
		return Loaded[S]{}, err
	}
	l, _, err := r.load(ctx, stream, "")
	return l, err
}

// Execute loads the aggregate with an id, has decide return new events from
// its state, and appends them. On a conflict with another process it loads and
// decides again, up to Options.Retries times, and then returns the
// [*eventstore.ConflictError]. An error from decide comes back as a
// [*RefusedError], and nothing is appended.
//
// A command changes an aggregate once: a second Execute of the same aggregate
// in the same command is a repeat, and returns the receipt of the first. Let
// one decide return all the events, or send a command with an id of its own.
func (r *Repository[S, E]) Execute(ctx context.Context, id string, decide func(S) ([]E, error)) (eventstore.Receipt, error) {
	stream, err := r.stream(id)
	if err != nil {
		return eventstore.Receipt{}, err
	}
	unlock, err := r.locks.lock(ctx, stream)
	if err != nil {
		return eventstore.Receipt{}, fmt.Errorf("aggregate %s: wait for its turn: %w", stream, err)
	}
	defer unlock()
	origin := originOf(ctx)
	for attempt := 0; ; attempt++ {
		receipt, err := r.attempt(ctx, stream, origin, decide)
		if !errors.Is(err, eventstore.ErrConflict) || attempt >= r.opts.Retries {
			return receipt, err
		}
		if sleep(ctx, rand.N(min(r.opts.Backoff<<min(attempt, 10), maxBackoff)+1)) != nil {
			return receipt, err // the conflict says more than the deadline
		}
	}
}

func (r *Repository[S, E]) attempt(ctx context.Context, stream string, origin *eventstore.Origin, decide func(S) ([]E, error)) (eventstore.Receipt, error) {
	l, first, err := r.load(ctx, stream, origin.CommandID)
	if err != nil {
		return eventstore.Receipt{}, err
	}
	if first.Repeated {
		return first, nil
	}
	decided, err := decide(l.State)
	if err != nil {
		return eventstore.Receipt{}, &RefusedError{Stream: stream, Version: l.Version, Err: err}
	}
	if len(decided) == 0 {
		return eventstore.Receipt{Stream: stream, Version: l.Version, Position: l.Position}, nil
	}
	events, err := r.encode(stream, origin, decided)
	if err != nil {
		return eventstore.Receipt{}, err
	}
	receipt, err := r.store.Append(ctx, stream, eventstore.Exact(l.Version), events...)
	if err != nil {
		return eventstore.Receipt{}, fmt.Errorf("aggregate %s: append: %w", stream, err)
	}
	return receipt, nil
}

// load folds a stream. If one of its events came from the given command, the
// receipt of that command is returned as a repeat.
func (r *Repository[S, E]) load(ctx context.Context, stream, commandID string) (Loaded[S], eventstore.Receipt, error) {
	l := Loaded[S]{Stream: stream}
	var first eventstore.Receipt
	for rec, err := range r.store.Read(ctx, stream, eventstore.ReadOptions{}) {
		if errors.Is(err, eventstore.ErrStreamNotFound) {
			return l, first, nil
		}
		if err != nil {
			return l, first, fmt.Errorf("aggregate %s: load: %w", stream, err)
		}
		v, err := r.codec.Decode(rec)
		if err != nil {
			return l, first, fmt.Errorf("aggregate %s: load: %w", stream, err)
		}
		event, ok := v.(E)
		if !ok {
			return l, first, fmt.Errorf("aggregate %s: load: event %d of type %q is a %T, which is no %v", stream, rec.Version, rec.Type, v, reflect.TypeFor[E]())
		}
		l.State = l.State.Evolve(event)
		l.Version, l.Position = rec.Version, rec.Position
		if commandID != "" && rec.Metadata.Get(eventstore.KeyCommandID) == commandID {
			first = eventstore.Receipt{Stream: stream, Version: rec.Version, Position: rec.Position, Repeated: true}
		}
	}
	if l.Version == 0 {
		return l, first, fmt.Errorf("aggregate %s: load: all of its events are truncated, so there is no state to decide from", stream)
	}
	return l, first, nil
}

func (r *Repository[S, E]) encode(stream string, o *eventstore.Origin, decided []E) ([]eventstore.Event, error) {
	meta := metadataOf(o)
	events := make([]eventstore.Event, len(decided))
	for i, d := range decided {
		e, err := r.codec.Encode(d)
		if err != nil {
			return nil, fmt.Errorf("aggregate %s: %w", stream, err)
		}
		e.ID = eventID(stream, o.CommandID, i)
		e.Metadata = meta
		events[i] = e
	}
	return events, nil
}

func (r *Repository[S, E]) stream(id string) (string, error) {
	if id == "" {
		return "", &eventstore.InvalidError{What: "id of " + r.category, Value: id, Remedy: "an aggregate needs an id"}
	}
	stream := eventstore.StreamName(r.category, id)
	return stream, eventstore.CheckStream(stream)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
