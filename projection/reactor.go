package projection

import (
	"context"
	"errors"
	"fmt"

	"github.com/foldstream/foldstream/eventstore"
)

// NewReactor returns a projection that fills no view but causes effects, such
// as mails or calls of other services, with [React]. Its checkpoints and what
// it parks are kept under its name in a view store. Give it to a [Runner] like
// any projection; one runner may have both.
//
// Each event is reacted to at least once: the checkpoint is stored after the
// effect, at least every 100 ms of work, so a crash repeats the effects since. An
// effect that must not be repeated needs an idempotency key; the reactor's name
// with [Meta.EventID] is one. Events of one stream are reacted to one after
// another, in order; those of other partitions at the same time.
//
// A command that an effect sends, with the context it was given, has such an id
// by itself unless it is given another: it follows from the reactor's name, the
// event, the command's type and aggregate, and from how many of these the effect
// sent before, see [eventstore.DeriveCommandID]. So a repeated reaction changes
// no aggregate twice, as long as it sends the same commands to each. The command
// also has the event's correlation id (or the event's id where it has none), its
// tenant and trace context, the event as its cause and the reactor's name as its
// actor.
//
// A new reactor begins with the first event after it was first run, unless
// [StartAt] says otherwise, and is never replayed: a rebuild is refused, and a
// new [Definition] changes nothing. Where it begins is decided when [Runner.Run]
// first reads the head of the event store, and stored as soon as the view store
// answers: what is appended while that is away is not lost to it.
//
// An effect that returns an error is tried again, with growing pauses and
// nothing behind it in its partition being skipped, up to [MaxAttempts]; then,
// or at once if the error is marked with [Poison] or the effect panics, the
// event is parked with the later events of its stream, see [Runner.Parked].
//
// An effect must heed its context. One that does not holds up its partition,
// and what waits for it: Run, which returns after it, and [Runner.Pause] and
// [Runner.SkipTo], which end with their own context. Its partition is not handed
// over meanwhile, and the others go on; but when this runner stops, another may
// begin the same effect after [Options.LeaseTTL].
func NewReactor(name string, codec eventstore.Codec, store ViewStore, parts ...Part) *Projection {
	t := new(effects)
	t.init(store, name, nil)
	first := func(p *Projection) error {
		p.reactor = &reactor{effects: t, attempts: defaultAttempts}
		_, err := p.target(t, true)
		return err
	}
	return New(name, codec, append([]Part{first}, parts...)...)
}

const defaultAttempts = 10

// reactor is what a projection has that causes effects.
type reactor struct {
	effects  *effects
	attempts int
	fixed    bool // begins at from, not at the end of the event store
	from     eventstore.Position
}

// React causes an effect for each event of type E. Its context is done when the
// runner stops, is paused, or loses or hands over the partition; an effect that
// returns an error then counts as not done, and is done again by whoever goes on.
// It is for reactors only, see [NewReactor].
func React[E any](effect func(ctx context.Context, event E, m Meta) error) Part {
	b := &binding{effect: func(ctx context.Context, event any, m Meta) error { return effect(ctx, *event.(*E), m) }}
	return func(p *Projection) error {
		if p.reactor == nil {
			return errors.New("React is for reactors; use projection.NewReactor, or On for views")
		}
		return p.bind(eventOf[E](), p.reactor.effects, b)
	}
}

// StartAt has a new reactor begin with the events after a position, 0 for all
// that there are. With 0, the events that are there when it is first run have
// [Meta.Replay]; with another position none has. A reactor that has begun goes
// on where it is, also if the position or the [Definition] is another by then.
//
// A view store that has been emptied knows of no reactor that has begun; see the
// guide for what happens then.
func StartAt(after eventstore.Position) Part {
	return func(p *Projection) error {
		if p.reactor == nil {
			return errors.New("StartAt is for reactors")
		}
		p.reactor.fixed, p.reactor.from = true, after
		return nil
	}
}

// MaxAttempts is how often a reactor tries an effect before it parks the event;
// default 10, which with the pauses of [Options.Backoff] is about half a minute.
func MaxAttempts(n int) Part {
	return func(p *Projection) error {
		if p.reactor == nil {
			return errors.New("MaxAttempts is for reactors")
		}
		if n < 1 {
			return fmt.Errorf("MaxAttempts(%d): must be 1 or more", n)
		}
		p.reactor.attempts = n
		return nil
	}
}

// ErrReactor means that something was asked of a reactor that only views have.
var ErrReactor = errors.New("projection: it is a reactor, which has no view")

func (f *follower) refuseReactor(doing string) error {
	if f.p.reactor == nil {
		return nil
	}
	return fmt.Errorf("%s of %q: %w; to have all effects again use a new name with StartAt(0)", doing, f.p.name, ErrReactor)
}

// effects is the target of a reactor, which holds nothing.
type effects struct{ target }

func (e *effects) newTable(int, bool) table { return noTable{} }

// noTable is the table of what holds nothing.
type noTable struct{}

func (noTable) startEmpty()                                             {}
func (noTable) want(*op)                                                {}
func (noTable) load(context.Context, Session) error                     { return nil }
func (noTable) apply(*op, any, *Meta, bool) error                       { return nil }
func (noTable) undo(*op)                                                {}
func (noTable) settle()                                                 {}
func (noTable) changes() int                                            { return 0 }
func (noTable) flush(*Batch) error                                      { return nil }
func (noTable) flushed()                                                {}
func (noTable) replace(context.Context, Session, table, []string) error { return nil }
