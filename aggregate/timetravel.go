package aggregate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// A LoadOption is an option of [Repository.Load] and [Repository.History].
type LoadOption func(*moment)

// A moment is how far a stream is read.
type moment struct {
	version *eventstore.Version
	at      *time.Time
}

// AtVersion asks for an aggregate as it was right after its event of that
// version; 0 is before the first. One that it has not reached is a
// [*VersionError].
func AtVersion(v eventstore.Version) LoadOption { return func(m *moment) { m.version = &v } }

// AtTime asks for an aggregate as it was at a time: with its events up to the
// first that the store accepted after t, by the store's clock. Before it was
// created it has the initial state and version 0.
func AtTime(t time.Time) LoadOption { return func(m *moment) { m.at = &t } }

func momentOf(opts []LoadOption) (m moment) {
	for _, opt := range opts {
		opt(&m)
	}
	return m
}

// before reports whether rec came after m.
func (m *moment) before(rec *eventstore.Recorded) bool {
	return m.version != nil && rec.Version > *m.version || m.at != nil && rec.Created.After(*m.at)
}

// ErrNoVersion is matched by [VersionError].
var ErrNoVersion = errors.New("aggregate: no such version yet")

// A VersionError says that an aggregate has not reached a version that was
// asked for. It matches [ErrNoVersion].
type VersionError struct {
	Stream string
	Want   eventstore.Version
	Last   eventstore.Version // that it has; 0 when there is no such aggregate
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("aggregate %s is at version %d and has no version %d yet", e.Stream, e.Last, e.Want)
}

// Is reports whether target is [ErrNoVersion].
func (e *VersionError) Is(target error) bool { return target == ErrNoVersion }

// A Step is one event of an aggregate with the state after it. An event that
// is upcast into several gives a step for each of them, and one that is upcast
// into none gives none.
type Step[S, E any] struct {
	Event    E
	State    S
	Recorded eventstore.Recorded // as it was stored: its version, when it was created, its metadata
}

// History yields the events of an aggregate in their order, each with the state
// after it, up to where opts say. It reads the stream as it is stored, and uses
// neither states in memory nor snapshots. An aggregate that does not exist has
// no history. After an error it yields no more; one whose first events are
// truncated is a [*TruncatedError].
func (r *Repository[S, E]) History(ctx context.Context, id string, opts ...LoadOption) iter.Seq2[Step[S, E], error] {
	return func(yield func(Step[S, E], error) bool) {
		stream, err := r.stream(id)
		if err == nil {
			err = r.history(ctx, stream, momentOf(opts), yield)
		}
		if err != nil {
			yield(Step[S, E]{}, err)
		}
	}
}

func (r *Repository[S, E]) history(ctx context.Context, stream string, m moment, yield func(Step[S, E], error) bool) error {
	step := Step[S, E]{State: r.initial}
	last, found := eventstore.Version(0), true
	for rec, err := range r.store.Read(ctx, stream, eventstore.ReadOptions{}) {
		if found = !errors.Is(err, eventstore.ErrStreamNotFound); !found {
			break
		}
		if err == nil && last == 0 {
			err = r.complete(ctx, stream, rec.Version, nil)
		}
		if err != nil {
			return fmt.Errorf("aggregate %s: history: %w", stream, err)
		}
		if last = rec.Version; m.before(&rec) {
			return nil
		}
		v, err := r.codec.Decode(rec)
		if err != nil {
			return fmt.Errorf("aggregate %s: history: %w", stream, err)
		}
		facts, err := r.facts(&rec, v)
		if err != nil {
			return fmt.Errorf("aggregate %s: history: %w", stream, err)
		}
		step.Recorded = rec
		for _, fact := range facts {
			step.Event, step.State = fact, r.evolve(step.State, fact)
			if !yield(step, nil) {
				return nil
			}
		}
	}
	if last == 0 && found {
		return fmt.Errorf("aggregate %s: history: %w", stream, &TruncatedError{Stream: stream})
	}
	return m.reached(stream, last)
}

// at returns an aggregate as it was at a moment.
func (r *Repository[S, E]) at(ctx context.Context, stream string, m moment) (Loaded[S], error) {
	if m.version != nil && *m.version == 0 {
		return Loaded[S]{State: r.initial, Stream: stream}, nil
	}
	l := r.loaders.Get().(*loader[S, E])
	defer l.free()
	l.until = &m
	err := r.readCold(ctx, stream, l, nil)
	if err == nil && l.version == 0 && l.mark.first > 1 {
		err = &TruncatedError{Stream: stream, First: l.mark.first}
	}
	if err != nil {
		return Loaded[S]{}, fmt.Errorf("aggregate %s: load: %w", stream, err)
	}
	if !l.late {
		err = m.reached(stream, l.version)
	}
	return l.loaded(stream), err
}

// Diff lists what two versions of an aggregate differ in, see [Diff]. 0 is the
// state before the first event.
func (r *Repository[S, E]) Diff(ctx context.Context, id string, from, to eventstore.Version) ([]Change, error) {
	before, err := r.Load(ctx, id, AtVersion(from))
	if err != nil {
		return nil, err
	}
	after, err := r.Load(ctx, id, AtVersion(to))
	if err != nil {
		return nil, err
	}
	return Diff(before.State, after.State), nil
}

// reached returns an error if a version was asked for and last is before it.
func (m *moment) reached(stream string, last eventstore.Version) error {
	if m.version != nil && last < *m.version {
		return &VersionError{Stream: stream, Want: *m.version, Last: last}
	}
	return nil
}
