package eventstoretest

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

// unsupportedClauses are for stores that are no [eventstore.Conditional].
var unsupportedClauses = []clause{
	{"AStoreThatCannotIsNamed", func(t *testing.T, f *fixture) {
		_, err := eventstore.AsConditional(f.store)
		require.ErrorIs(t, err, eventstore.ErrUnsupported)
		require.ErrorContains(t, err, fmt.Sprintf("%T", f.store))
	}},
}

func (f *fixture) appendIf(stream string, c eventstore.Condition, es ...eventstore.Event) eventstore.Receipt {
	f.t.Helper()
	r, err := f.conditional().AppendIf(f.ctx, stream, c, es...)
	require.NoError(f.t, err)
	require.Equal(f.t, stream, r.Stream)
	return r
}

// refusedIf asserts that an append is refused because of the event at position
// p, and writes nothing.
func (f *fixture) refusedIf(stream string, c eventstore.Condition, p eventstore.Position, es ...eventstore.Event) {
	f.t.Helper()
	before := f.head()
	_, err := f.conditional().AppendIf(f.ctx, stream, c, es...)
	require.ErrorIs(f.t, err, eventstore.ErrConflict)
	var refused *eventstore.ConditionError
	require.ErrorAs(f.t, err, &refused)
	assert.Equal(f.t, eventstore.ConditionError{Stream: stream, Condition: c, Position: p}, *refused)
	assert.Equal(f.t, before, f.head(), "a refused append must write nothing")
}

var conditionClauses = []clause{
	{"AnAppendHappensWhenNothingMatches", func(t *testing.T, f *fixture) {
		f.append(f.stream("1"), eventstore.Any, f.tagged(1, "b"), event(2))
		r := f.appendIf(f.stream("1"), eventstore.Condition{Query: f.about("a")}, f.tagged(3, "a"), f.tagged(4, "b"))
		assert.Equal(t, eventstore.Receipt{Stream: f.stream("1"), Version: 4, Position: f.head()}, r)
		f.finds(append(f.about("a"), f.about("b")...), 1, 3, 4)
		assert.Equal(t, span(1, 4), f.versions(f.stream("1"), eventstore.ReadOptions{}))
	}},
	{"AMatchAfterThePositionRefuses", func(t *testing.T, f *fixture) {
		first := f.append(f.stream("1"), eventstore.Any, f.tagged(1, "a"))
		f.append(f.stream("2"), eventstore.Any, f.tagged(2, "b"))
		third := f.append(f.stream("3"), eventstore.Any, f.tagged(3, "a", "b"))
		f.append(f.stream("3"), eventstore.Any, f.tagged(4, "a"))
		f.refusedIf(f.stream("1"), eventstore.Condition{Query: f.about("a")}, first.Position, f.tagged(5, "a"))
		c := eventstore.Condition{Query: append(f.about("b", "a"), f.about("never")...), After: first.Position}
		f.refusedIf(f.stream("new"), c, third.Position, f.tagged(5, "x"))
		f.appendIf(f.stream("new"), eventstore.Condition{Query: f.about("a"), After: f.head()}, f.tagged(5, "a"))
		c = eventstore.Condition{Query: f.about("b"), After: third.Position}
		f.appendIf(f.stream("new"), c, f.tagged(6, "b"))
		f.refusedIf(f.stream("new"), c, f.head(), f.tagged(7, "b"))
	}},
	{"TypesRefuseToo", func(t *testing.T, f *fixture) {
		e := event(1)
		e.Type = f.category
		c := eventstore.Condition{Query: eventstore.Query{{Types: []string{f.category}}}}
		first := f.appendIf(f.stream("1"), c, e)
		f.append(f.stream("1"), eventstore.Any, events(1, 150)...)
		f.refusedIf(f.stream("2"), c, first.Position, event(2))
		c.After = first.Position
		f.appendIf(f.stream("2"), c, event(2))
		c.Query = append(c.Query, eventstore.QueryItem{})
		_, err := f.conditional().AppendIf(f.ctx, f.stream("2"), c, event(3))
		require.ErrorIs(t, err, eventstore.ErrConflict)
	}},
	{"AFutureConditionHolds", func(t *testing.T, f *fixture) {
		f.append(f.stream("1"), eventstore.Any, f.tagged(1, "a"))
		f.appendIf(f.stream("1"), eventstore.Condition{Query: f.about("a"), After: f.head() + 1000}, f.tagged(2, "a"))
	}},
	{"RepeatedAppendReturnsTheFirstReceipt", testRepeatedIf},
	{"ARepetitionMustBeWhole", func(t *testing.T, f *fixture) {
		c := eventstore.Condition{Query: f.about("a")}
		es := []eventstore.Event{f.tagged(1, "a"), f.tagged(2, "b"), f.tagged(3, "a")}
		f.appendIf(f.stream("1"), c, es...)
		p := f.query(f.about("a"), eventstore.ReadQueryOptions{})[0].Position
		other := f.tagged(4, "a")
		before := f.head()
		for _, es := range [][]eventstore.Event{{es[0], other, es[2]}, {other, es[1]}, {es[0], es[1], es[2], other}} {
			_, err := f.conditional().AppendIf(f.ctx, f.stream("1"), c, es...)
			require.ErrorIs(t, err, eventstore.ErrConflict)
		}
		f.refusedIf(f.stream("2"), c, p, es...)
		assert.Equal(t, before, f.head())
	}},
	{"StreamsKeepTheirRules", func(t *testing.T, f *fixture) {
		c := eventstore.Condition{Query: f.about("a")}
		f.append(f.stream("gone"), eventstore.Any, event(1))
		f.tombstone(f.stream("gone"))
		_, err := f.conditional().AppendIf(f.ctx, f.stream("gone"), c, event(2))
		require.ErrorIs(t, err, eventstore.ErrStreamDeleted)
		f.append(f.stream("deleted"), eventstore.Any, event(1))
		f.delete(f.stream("deleted"))
		f.appendIf(f.stream("deleted"), c, f.tagged(2, "a"))
		assert.Equal(t, span(2, 2), f.versions(f.stream("deleted"), eventstore.ReadOptions{}))
		_, err = f.conditional().AppendIf(f.ctx, "$all", c, event(2))
		require.ErrorIs(t, err, eventstore.ErrInvalid)
		large := event(1)
		large.Data = make([]byte, f.suite.MaxAppendSize)
		_, err = f.conditional().AppendIf(f.ctx, f.stream("1"), eventstore.Condition{Query: f.about("b")}, large)
		require.ErrorIs(t, err, eventstore.ErrTooLarge)
	}},
	{"NoEventsAreACheck", func(t *testing.T, f *fixture) {
		r := f.append(f.stream("1"), eventstore.Any, f.tagged(1, "a"))
		before := f.head()
		assert.EqualValues(t, 1, f.appendIf(f.stream("1"), eventstore.Condition{Query: f.about("b")}).Version)
		f.refusedIf(f.stream("2"), eventstore.Condition{Query: f.about("a")}, r.Position)
		assert.Equal(t, before, f.head())
	}},
	{"OfManyClaimsExactlyOneWins", testClaims},
	{"SeatsAreNeverOversold", testSeats},
}

func testRepeatedIf(t *testing.T, f *fixture) {
	c := eventstore.Condition{Query: f.about("a"), After: f.append(f.stream("1"), eventstore.Any, f.tagged(0, "a")).Position}
	matching := []eventstore.Event{f.tagged(1, "b"), f.tagged(2, "a"), f.tagged(3, "a"), f.tagged(4, "c")}
	others := []eventstore.Event{f.tagged(5, "x"), f.tagged(6, "y")}
	none := eventstore.Condition{Query: f.about("z")}
	first, second := f.appendIf(f.stream("1"), c, matching...), f.appendIf(f.stream("1"), none, others...)
	f.append(f.stream("2"), eventstore.Any, f.tagged(7, "a"), f.tagged(8, "z")) // the conditions hold no more
	before := f.head()
	first.Repeated, second.Repeated = true, true
	again := func() {
		t.Helper()
		assert.Equal(t, first, f.appendIf(f.stream("1"), c, matching...))
		assert.Equal(t, second, f.appendIf(f.stream("1"), none, others...))
		assert.Equal(t, before, f.head())
	}
	again()
	if f.suite.Reopen != nil {
		f.store = f.suite.Reopen(t, f.store)
		again()
	}
}

func testClaims(t *testing.T, f *fixture) {
	const names, callers = 25, 8
	var won [names]atomic.Int32
	parallel(callers, func(caller int) {
		for n := range names {
			name := fmt.Sprint("name", (n+caller*3)%names)
			_, err := f.conditional().AppendIf(f.ctx, f.stream(fmt.Sprint(caller)), eventstore.Condition{Query: f.about(name)}, f.tagged(caller, name, "claimed"))
			if err == nil {
				won[(n+caller*3)%names].Add(1)
			} else if !errors.Is(err, eventstore.ErrConflict) {
				t.Error(err)
			}
		}
	})
	for n := range won {
		assert.EqualValues(t, 1, won[n].Load(), n)
	}
	assert.Len(t, f.query(f.about("claimed"), eventstore.ReadQueryOptions{}), names)
}

// testSeats has callers take the seats of a course, which has as many as the
// events with its tag say, while others write about something else.
func testSeats(t *testing.T, f *fixture) {
	const seats, callers = 20, 6
	q := f.about("course")
	parallel(callers, func(caller int) {
		for tries := 0; ; tries++ {
			head, err := f.store.Head(f.ctx)
			if !assert.NoError(t, err) {
				return
			}
			taken, err := collect(t, f.conditional().ReadQuery(f.ctx, q, eventstore.ReadQueryOptions{}))
			if !assert.NoError(t, err) || len(taken) == seats {
				return
			}
			c := eventstore.Condition{Query: q, After: head}
			if n := len(taken); n > 0 && tries%2 == 0 { // it may be either
				c.After = taken[n-1].Position
			}
			_, err = f.conditional().AppendIf(f.ctx, f.stream(fmt.Sprint(caller)), c, f.tagged(len(taken), "course"), f.tagged(100, "other"))
			if err != nil && !errors.Is(err, eventstore.ErrConflict) {
				assert.NoError(t, err)
				return
			}
			if _, err := f.store.Append(f.ctx, f.stream("other"), eventstore.Any, f.tagged(100, "other")); !assert.NoError(t, err) {
				return
			}
		}
	})
	assert.Equal(t, numbersFrom(0, seats), numbers(f.query(q, eventstore.ReadQueryOptions{})))
	assert.True(t, slices.IsSorted(positionsOf(f.query(f.about("other"), eventstore.ReadQueryOptions{}))))
}
