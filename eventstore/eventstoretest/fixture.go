package eventstoretest

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

// patience is how long a clause waits for what must happen.
const patience = 30 * time.Second

// A fixture is one clause's store, with the questions that clauses ask.
type fixture struct {
	t        *testing.T
	ctx      context.Context
	suite    Suite
	store    eventstore.Store
	category string // fresh, so that nothing else writes to it
	start    eventstore.Position
}

func newFixture(t *testing.T, s Suite) *fixture {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	f := &fixture{t: t, ctx: ctx, suite: s, store: s.Open(t)}
	f.category = "c" + strings.ReplaceAll(eventstore.NewID().String(), "-", "")
	f.start = f.head()
	return f
}

// stream returns the name of a stream in the fixture's category.
func (f *fixture) stream(id string) string { return eventstore.StreamName(f.category, id) }

// event returns an event whose data is n.
func event(n int) eventstore.Event {
	return eventstore.Event{
		ID: eventstore.NewID(), Type: "suite.counted", ContentType: eventstore.ContentTypeJSON,
		Data: fmt.Appendf(nil, `{"n":%d}`, n),
	}
}

// events returns the events first to last.
func events(first, last int) []eventstore.Event {
	var es []eventstore.Event
	for n := first; n <= last; n++ {
		es = append(es, event(n))
	}
	return es
}

func (f *fixture) append(stream string, x eventstore.Expected, es ...eventstore.Event) eventstore.Receipt {
	f.t.Helper()
	r, err := f.store.Append(f.ctx, stream, x, es...)
	require.NoError(f.t, err)
	require.Equal(f.t, stream, r.Stream)
	return r
}

// refused asserts that an append fails with want and writes nothing.
func (f *fixture) refused(want error, stream string, x eventstore.Expected, es ...eventstore.Event) error {
	f.t.Helper()
	before := f.head()
	_, err := f.store.Append(f.ctx, stream, x, es...)
	require.ErrorIs(f.t, err, want)
	assert.Equal(f.t, before, f.head(), "a refused append must write nothing")
	return err
}

// conflict asserts that an append is refused because of the version.
func (f *fixture) conflict(stream string, x eventstore.Expected, actual eventstore.Version, es ...eventstore.Event) {
	f.t.Helper()
	err := f.refused(eventstore.ErrConflict, stream, x, es...)
	var c *eventstore.ConflictError
	require.ErrorAs(f.t, err, &c)
	assert.Equal(f.t, eventstore.ConflictError{Stream: stream, Expected: x, Actual: actual}, *c)
}

func (f *fixture) head() eventstore.Position {
	f.t.Helper()
	p, err := f.store.Head(f.ctx)
	require.NoError(f.t, err)
	return p
}

// collect returns what a sequence yields and the error that ended it. It
// asserts that nothing comes after an error.
func collect[T any](t *testing.T, seq iter.Seq2[T, error]) (all []T, err error) {
	t.Helper()
	for v, e := range seq {
		require.NoError(t, err, "nothing may be yielded after an error")
		if err = e; err == nil {
			all = append(all, v)
		}
	}
	return all, err
}

func (f *fixture) read(stream string, opts eventstore.ReadOptions) []eventstore.Recorded {
	f.t.Helper()
	all, err := collect(f.t, f.store.Read(f.ctx, stream, opts))
	require.NoError(f.t, err)
	return all
}

func (f *fixture) readFails(want error, stream string) {
	f.t.Helper()
	all, err := collect(f.t, f.store.Read(f.ctx, stream, eventstore.ReadOptions{}))
	require.ErrorIs(f.t, err, want)
	assert.Empty(f.t, all)
}

// readAll returns what the fixture's own streams hold, metastreams included.
func (f *fixture) readAll(opts eventstore.ReadAllOptions) []eventstore.Recorded {
	f.t.Helper()
	all, err := collect(f.t, f.store.ReadAll(f.ctx, opts))
	require.NoError(f.t, err)
	mine := all[:0]
	for _, r := range all {
		if strings.HasPrefix(strings.TrimPrefix(r.Stream, "$$"), f.category) {
			mine = append(mine, r)
		}
	}
	return mine
}

// versions returns the versions of what a read yields.
func (f *fixture) versions(stream string, opts eventstore.ReadOptions) []eventstore.Version {
	f.t.Helper()
	return versionsOf(f.read(stream, opts))
}

func versionsOf(rs []eventstore.Recorded) []eventstore.Version {
	vs := []eventstore.Version{}
	for _, r := range rs {
		vs = append(vs, r.Version)
	}
	return vs
}

// span returns the versions from one to another, in either direction.
func span(from, to eventstore.Version) []eventstore.Version {
	vs := []eventstore.Version{from}
	for v := from; v != to; {
		if v < to {
			v++
		} else {
			v--
		}
		vs = append(vs, v)
	}
	return vs
}

func numbers(rs []eventstore.Recorded) []string {
	var ns []string
	for _, r := range rs {
		ns = append(ns, string(r.Data))
	}
	return ns
}

// A subscriber pulls the messages of a subscription one by one.
type subscriber struct {
	t    *testing.T
	pull func() (eventstore.Message, error, bool)
}

func (f *fixture) subscribe(stream string, after eventstore.Version) *subscriber {
	return newSubscriber(f.t, f.store.Subscribe(f.ctx, stream, eventstore.SubscribeOptions{After: after}))
}

func (f *fixture) subscribeAll(after eventstore.Position) *subscriber {
	o := eventstore.SubscribeAllOptions{After: after, Filter: eventstore.Filter{Categories: []string{f.category}}}
	return newSubscriber(f.t, f.store.SubscribeAll(f.ctx, o))
}

func newSubscriber(t *testing.T, seq iter.Seq2[eventstore.Message, error]) *subscriber {
	pull, stop := iter.Pull2(seq)
	t.Cleanup(stop)
	return &subscriber{t, pull}
}

// event returns the next event.
func (s *subscriber) event() eventstore.Recorded {
	s.t.Helper()
	for {
		m, err, ok := s.pull()
		require.True(s.t, ok, "the subscription ended without an error")
		require.NoError(s.t, err)
		if m.Kind == eventstore.MessageEvent {
			require.Equal(s.t, m.Event.Position, m.Position)
			return m.Event
		}
	}
}

// untilCaughtUp returns the events that come before the next CaughtUp, and it.
func (s *subscriber) untilCaughtUp() ([]eventstore.Recorded, eventstore.Message) {
	s.t.Helper()
	var all []eventstore.Recorded
	for {
		m, err, ok := s.pull()
		require.True(s.t, ok, "the subscription ended without an error")
		require.NoError(s.t, err)
		switch m.Kind {
		case eventstore.MessageEvent:
			all = append(all, m.Event)
		case eventstore.MessageCaughtUp:
			return all, m
		}
	}
}

// fails returns the events that come before the error, which must be want.
func (s *subscriber) fails(want error) []eventstore.Recorded {
	s.t.Helper()
	var all []eventstore.Recorded
	for {
		m, err, ok := s.pull()
		require.True(s.t, ok, "the subscription ended without an error")
		if err != nil {
			require.ErrorIs(s.t, err, want)
			_, _, more := s.pull()
			require.False(s.t, more, "nothing may be yielded after an error")
			return all
		}
		if m.Kind == eventstore.MessageEvent {
			all = append(all, m.Event)
		}
	}
}
