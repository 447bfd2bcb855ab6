package projectiontest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/projection"
)

// A Scenario is what was given for a test of a projection: [For] begins one,
// [Scenario.Given] adds events, [Scenario.Then] builds the view and looks at
// it. It is used by one goroutine.
type Scenario struct {
	p      *projection.Projection
	store  *Store
	events []given
	err    error // of what was given
}

// given is an event and where it belongs.
type given struct {
	stream  string
	event   eventstore.Event
	created time.Time
}

// For begins a test of a projection whose targets are in a [Store] of this
// package. It panics if they are in another.
func For(p *projection.Projection) *Scenario {
	s, ok := p.ViewStore().(*Store)
	if !ok {
		panic(fmt.Sprintf("projectiontest: the targets of projection %q are in a %T; make them with projectiontest.NewStore()", p.Name(), p.ViewStore()))
	}
	return &Scenario{p: p, store: s}
}

// An Event is an event with more than its value. [Scenario.Given] takes it
// where a value would do without.
type Event struct {
	Value    any                 // of a type that the projection's codec knows
	Created  time.Time           // by default a second after the event before
	Metadata eventstore.Metadata // none by default
}

// epoch is when the first event was created, unless said otherwise.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Given adds events to the end of a stream. An event is a value of a type that
// the projection's codec knows, an [Event], or an [eventstore.Event], which is
// stored as it is. Positions are 1, 2, 3 … over all streams in the order in
// which events were given; versions count the events of each stream.
func (s *Scenario) Given(stream string, events ...any) *Scenario {
	if err := eventstore.CheckStream(stream); err != nil {
		s.err = errors.Join(s.err, err)
	}
	for _, e := range events {
		g, err := s.encode(e)
		if err != nil {
			s.err = errors.Join(s.err, fmt.Errorf("given for stream %q: %w", stream, err))
			continue
		}
		g.stream = stream
		if n := len(s.events); g.created.IsZero() && n > 0 {
			g.created = s.events[n-1].created.Add(time.Second)
		} else if g.created.IsZero() {
			g.created = epoch
		}
		g.event.ID = eventstore.DeriveID("projectiontest", stream, fmt.Sprint(len(s.events)))
		s.events = append(s.events, g)
	}
	return s
}

func (s *Scenario) encode(e any) (given, error) {
	switch e := e.(type) {
	case eventstore.Event:
		return given{event: e}, nil
	case Event:
		stored, err := s.p.Codec().Encode(e.Value)
		stored.Metadata = stored.Metadata.Merge(e.Metadata)
		return given{event: stored, created: e.Created}, err
	}
	stored, err := s.p.Codec().Encode(e)
	return given{event: stored}, err
}

// Then builds the view from the events and checks it. It also finds handlers
// that would not give the same view again, or not always: it calls them twice,
// builds the view in many ways (at once and in batches of 1, 2 and 3 events,
// from nothing and following, in one process and in one after another, on 1, 4
// and 16 partitions, by a rebuild) and compares the results. With [NewStore] it
// runs in a bubble of [testing/synctest], in which the ways lie more than a
// year apart and take no time.
//
// An event that is parked fails the test unless a [Parked] check expects it.
// The store keeps what was built last, for checks of your own.
func (s *Scenario) Then(t *testing.T, checks ...Check) {
	t.Helper()
	var err error
	if s.store.virtual {
		synctest.Test(t, func(t *testing.T) { err = s.verify(t.Context(), true, checks) })
	} else {
		err = s.verify(t.Context(), false, checks)
	}
	if err != nil {
		t.Error(err)
	}
}

// Verify is Then for tests that have a bubble, or want the error.
func (s *Scenario) Verify(ctx context.Context, checks ...Check) error {
	return s.verify(ctx, false, checks)
}

// patience bounds one way to build the view.
const patience = 30 * time.Second

// apart is how long virtual time goes on between two ways: another year, month,
// weekday, hour, minute and second.
const apart = 400*24*time.Hour + 5*time.Hour + 7*time.Minute + 11*time.Second

func (s *Scenario) verify(ctx context.Context, virtual bool, checks []Check) error {
	if s.err != nil {
		return s.err
	}
	first, impure, err := s.checked(ctx)
	if err != nil {
		return err
	}
	failed := first.check(ctx, checks)
	if err := errors.Join(append(impure, failed...)...); err != nil {
		return err
	}
	for _, w := range ways(first.parked != nil) {
		if virtual {
			time.Sleep(apart)
		}
		other, err := s.build(ctx, s.p, w)
		if err != nil {
			return fmt.Errorf("view %q, %s: %w", s.p.Name(), w, err)
		}
		if text := first.compare(other); text != "" {
			return fmt.Errorf("view %q is another when it is %s than when it is %s:\n%sa handler must depend on nothing but its arguments, and not on whether this is a replay", s.p.Name(), w, plain, text)
		}
	}
	return nil
}
