package boundary

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/aggregate/internal/backoff"
	"github.com/foldstream/foldstream/eventstore"
)

// Options configure a [Boundary]. The zero value is ready to use.
type Options struct {
	// Retries is how often a command decides again after a conflict; default
	// 50, negative for never.
	Retries int
	// Backoff is the longest wait before the first retry; it doubles with each,
	// up to 100 ms, and the wait is a random part of it. Default 2 ms.
	Backoff time.Duration
}

// A Boundary reads and appends for models. It is safe for concurrent use.
type Boundary struct {
	store       eventstore.Store
	conditional eventstore.Conditional
	codec       eventstore.Codec
	opts        Options
}

// New returns a boundary on a store. A nil opts means the defaults. It returns
// an [*eventstore.UnsupportedError] for a store that cannot append on a
// condition.
func New(store eventstore.Store, codec eventstore.Codec, opts *Options) (*Boundary, error) {
	c, err := eventstore.AsConditional(store)
	if err != nil {
		return nil, fmt.Errorf("boundary: %w", err)
	}
	b := &Boundary{store: store, conditional: c, codec: codec}
	if opts != nil {
		b.opts = *opts
	}
	if b.opts.Retries == 0 {
		b.opts.Retries = 50
	}
	if b.opts.Backoff <= 0 {
		b.opts.Backoff = 2 * time.Millisecond
	}
	return b, nil
}

// Loaded is the state of a model as of one position.
type Loaded[S any] struct {
	State    S
	Position eventstore.Position // all events up to here were considered
}

// Load returns the state of a model. It returns what the store and the codec
// return, such as an [*eventstore.UnknownEventError].
func Load[S any](ctx context.Context, b *Boundary, m Model[S]) (Loaded[S], error) {
	e := execution[S]{b: b, m: m}
	if err := e.begin(ctx); err != nil {
		return Loaded[S]{}, err
	}
	err := e.read(ctx)
	return Loaded[S]{e.state, e.after}, err
}

// Execute folds a model, has decide return new events from its state, and
// appends them to a stream if no event that the model is about has come in
// between. Otherwise it reads what has come and decides again, up to
// Options.Retries times or until ctx is done, and then returns the
// [*eventstore.ConditionError], which matches [eventstore.ErrConflict]. An
// error from decide comes back as an [*aggregate.RefusedError] (whose Version
// is 0), and nothing is appended. When decide returns no events the receipt
// has the position that it decided from, and no version.
//
// The stream only says where the events are kept, such as course-c1: what
// binds them together are their tags, see [eventstore.Tagged].
func Execute[S, E any](ctx context.Context, b *Boundary, stream string, m Model[S], decide func(S) ([]E, error)) (eventstore.Receipt, error) {
	e := execution[S]{b: b, m: m, stream: stream, origin: eventstore.OriginFromContext(ctx)}
	if err := e.begin(ctx); err != nil {
		return eventstore.Receipt{}, err
	}
	for attempt := 0; ; attempt++ {
		receipt, err := attemptOnce(ctx, &e, decide)
		if !errors.Is(err, eventstore.ErrConflict) || attempt >= b.opts.Retries {
			return receipt, err
		}
		if backoff.Wait(ctx, b.opts.Backoff, attempt) != nil {
			return receipt, err // the conflict says more than the deadline
		}
	}
}

// Handle returns a command handler that is [Execute] with the stream and the
// model that about returns for the command. decide is usually a method
// expression of the state:
//
//	command.Register(bus, boundary.Handle(b, Enroll.about, enrolment.Enroll))
func Handle[C, S, E any](b *Boundary, about func(C) (stream string, m Model[S]), decide func(S, C) ([]E, error)) func(context.Context, C) (eventstore.Receipt, error) {
	return func(ctx context.Context, c C) (eventstore.Receipt, error) {
		stream, m := about(c)
		return Execute(ctx, b, stream, m, func(s S) ([]E, error) { return decide(s, c) })
	}
}

func attemptOnce[S, E any](ctx context.Context, e *execution[S], decide func(S) ([]E, error)) (eventstore.Receipt, error) {
	if err := e.read(ctx); err != nil || e.first.Repeated {
		return e.first, err
	}
	decided, err := decide(e.state)
	if err != nil {
		return eventstore.Receipt{}, &aggregate.RefusedError{Stream: e.stream, Err: err}
	}
	if len(decided) == 0 {
		return eventstore.Receipt{Stream: e.stream, Position: e.after}, nil
	}
	events := make([]eventstore.Event, len(decided))
	for i, d := range decided {
		if events[i], err = e.encode(d, i); err != nil {
			return eventstore.Receipt{}, err
		}
	}
	return e.append(ctx, events)
}

// An execution is one command at work.
type execution[S any] struct {
	b      *Boundary
	m      Model[S]
	stream string
	origin *eventstore.Origin

	query   eventstore.Query // of the model, and of the command if it may be a repeat
	command string           // id, made if none was given
	tag     string           // of the command; empty if it cannot be a repeat
	made    eventstore.ID
	state   S
	after   eventstore.Position // the state has all events up to here
	first   eventstore.Receipt  // of the first time, if this is a repeat
}

func (e *execution[S]) begin(ctx context.Context) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.query, err = e.m.query(e.b.codec); err != nil {
		return err
	}
	e.m.begin(&e.state)
	if e.origin == nil || e.origin.CommandID == "" {
		e.made = eventstore.NewID()
		e.command = e.made.String()
		return nil
	}
	e.command = e.origin.CommandID
	if e.tag = eventstore.Tag("command", e.command); eventstore.CheckTag(e.tag) != nil {
		e.tag = eventstore.Tag("command", eventstore.DeriveID(e.command).String())
	}
	e.query = append(e.query, eventstore.QueryItem{Tags: []string{e.tag}})
	return nil
}

// read folds what has come since the last time.
func (e *execution[S]) read(ctx context.Context) error {
	head, err := e.b.store.Head(ctx)
	if err != nil {
		return fmt.Errorf("boundary: load: %w", err)
	}
	for r, err := range e.b.conditional.ReadQuery(ctx, e.query, eventstore.ReadQueryOptions{From: e.after + 1}) {
		if err != nil {
			return fmt.Errorf("boundary: load: %w", err)
		}
		if e.tag != "" && r.Stream == e.stream && r.Metadata.Get(eventstore.KeyCommandID) == e.command {
			return e.repeated(ctx, &r)
		}
		if err := e.m.fold(&e.state, e.query, &r, e.b.codec); err != nil {
			return fmt.Errorf("boundary: load: %w", err)
		}
		e.after = r.Position
	}
	e.after = max(e.after, head)
	return nil
}

// repeated finds the receipt of the command when it came for the first time:
// where the last of its events is. found is one of them.
func (e *execution[S]) repeated(ctx context.Context, found *eventstore.Recorded) error {
	e.first = eventstore.Receipt{Stream: e.stream, Version: found.Version, Position: found.Position, Repeated: true}
	for r, err := range e.b.store.Read(ctx, e.stream, eventstore.ReadOptions{From: found.Version}) {
		switch {
		case errors.Is(err, eventstore.ErrStreamNotFound) || errors.Is(err, eventstore.ErrStreamDeleted):
			return nil // hidden since
		case err != nil:
			return fmt.Errorf("boundary: look for command %q: %w", e.command, err)
		case r.Metadata.Get(eventstore.KeyCommandID) != e.command:
			return nil
		}
		e.first.Version, e.first.Position = r.Version, r.Position
	}
	return nil
}

// encode returns the nth event of the command.
func (e *execution[S]) encode(fact any, n int) (eventstore.Event, error) {
	event, err := e.b.codec.Encode(fact)
	if err != nil {
		return event, fmt.Errorf("boundary: %w", err)
	}
	event.ID = eventstore.DeriveID(e.stream, e.command, strconv.Itoa(n))
	event.Metadata = event.Metadata.Merge(e.origin.EventMetadata(e.made))
	if t, ok := fact.(eventstore.Tagged); ok && !event.Metadata.MayHaveTags() { // of another codec than ours
		if event.Metadata, err = event.Metadata.WithTags(t.Tags()...); err != nil {
			return event, fmt.Errorf("boundary: tags of a %T: %w", fact, err)
		}
	}
	return event, nil
}

func (e *execution[S]) append(ctx context.Context, events []eventstore.Event) (eventstore.Receipt, error) {
	if e.tag != "" && !e.finds(events) {
		var err error
		if events[0].Metadata, err = events[0].Metadata.WithTags(e.tag); err != nil {
			return eventstore.Receipt{}, fmt.Errorf("boundary: %w", err)
		}
	}
	c := eventstore.Condition{Query: e.query, After: e.after}
	receipt, err := e.b.conditional.AppendIf(ctx, e.stream, c, events...)
	if err != nil {
		return eventstore.Receipt{}, fmt.Errorf("boundary: append to %s: %w", e.stream, err)
	}
	return receipt, nil
}

// finds reports whether one of the events will be found by the query, so that
// the command is recognized when it comes again.
func (e *execution[S]) finds(events []eventstore.Event) bool {
	for i := range events {
		if e.query.Matches(events[i].Type, events[i].Metadata) {
			return true
		}
	}
	return false
}
