package eventstoretest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

// conditional returns the clause's store, which must be one.
func (f *fixture) conditional() eventstore.Conditional {
	f.t.Helper()
	c, err := eventstore.AsConditional(f.store)
	require.NoError(f.t, err)
	return c
}

// tag returns a tag that nothing else has.
func (f *fixture) tag(name string) string { return eventstore.Tag(f.category, name) }

// about returns a query for the events with all of the tags.
func (f *fixture) about(names ...string) eventstore.Query {
	return eventstore.Query{{Tags: f.tags(names)}}
}

func (f *fixture) tags(names []string) []string {
	tags := make([]string, len(names))
	for i, name := range names {
		tags[i] = f.tag(name)
	}
	return tags
}

// tagged returns an event with tags whose data is n.
func (f *fixture) tagged(n int, names ...string) eventstore.Event {
	f.t.Helper()
	e := event(n)
	var err error
	e.Metadata, err = eventstore.NewMetadata("tenant", "käse").WithTags(f.tags(names)...)
	require.NoError(f.t, err)
	return e
}

func (f *fixture) query(q eventstore.Query, opts eventstore.ReadQueryOptions) []eventstore.Recorded {
	f.t.Helper()
	all, err := collect(f.t, f.conditional().ReadQuery(f.ctx, q, opts))
	require.NoError(f.t, err)
	return all
}

// finds asserts which events a query chooses, in both directions.
func (f *fixture) finds(q eventstore.Query, ns ...int) {
	f.t.Helper()
	want := []string(nil)
	for _, n := range ns {
		want = append(want, fmt.Sprintf(`{"n":%d}`, n))
	}
	assert.Equal(f.t, want, numbers(f.query(q, eventstore.ReadQueryOptions{})), "%v", q)
	back := numbers(f.query(q, eventstore.ReadQueryOptions{Backwards: true}))
	slices.Reverse(back)
	assert.Equal(f.t, want, back, "%v, backwards", q)
}

var queryClauses = []clause{
	{"TypesAreAlternativesAndTagsAreAllNeeded", func(t *testing.T, f *fixture) {
		other := f.tagged(4, "a", "b")
		other.Type = "suite.other"
		f.append(f.stream("1"), eventstore.Any, f.tagged(1, "a"), f.tagged(2, "a", "b"), f.tagged(3, "b"))
		f.append(f.stream("2"), eventstore.Any, other, event(5))
		f.finds(f.about("a"), 1, 2, 4)
		f.finds(f.about("b"), 2, 3, 4)
		f.finds(f.about("a", "b"), 2, 4)
		f.finds(f.about("b", "a", "b"), 2, 4)
		f.finds(f.about("a", "b", "c"))
		f.finds(f.about("never"))
		f.finds(eventstore.Query{{Types: []string{"suite.other"}, Tags: f.tags([]string{"a"})}}, 4)
		f.finds(eventstore.Query{{Types: []string{"suite.counted", "suite.other"}, Tags: f.tags([]string{"b"})}}, 2, 3, 4)
		f.finds(eventstore.Query{{Types: []string{"suite.never"}, Tags: f.tags([]string{"a"})}})
	}},
	{"ItemsAreAlternativesAndAnEventComesOnce", func(t *testing.T, f *fixture) {
		for n := range 40 {
			f.append(f.stream(fmt.Sprint(n%3)), eventstore.Any, f.tagged(n, fmt.Sprint("two", n%2), fmt.Sprint("five", n%5)), event(100+n))
		}
		f.finds(append(f.about("five0"), f.about("five4", "two1")...), 0, 5, 9, 10, 15, 19, 20, 25, 29, 30, 35, 39)
		f.finds(append(f.about("five1"), append(f.about("five1", "two1"), f.about("never")...)...), 1, 6, 11, 16, 21, 26, 31, 36)
	}},
	{"TypesAloneFindEventsWithoutTags", func(t *testing.T, f *fixture) {
		for n := range 200 {
			e := event(n)
			if e.Type = "suite.common"; n%70 == 3 {
				e.Type = f.category // a type of its own
			}
			f.append(f.stream("1"), eventstore.Any, e)
		}
		f.append(f.stream("1"), eventstore.Any, f.tagged(200, "a"))
		rare := eventstore.Query{{Types: []string{f.category, "suite.never"}}}
		f.finds(rare, 3, 73, 143)
		f.finds(append(rare, f.about("a")...), 3, 73, 143, 200)
	}},
	{"EverythingMatchesTheZeroItem", func(t *testing.T, f *fixture) {
		f.append(f.stream("1"), eventstore.Any, event(1), f.tagged(2, "a"))
		f.setMetadata(f.stream("1"), eventstore.StreamMetadata{MaxCount: 1})
		all, err := collect(t, f.store.ReadAll(f.ctx, eventstore.ReadAllOptions{}))
		require.NoError(t, err)
		assert.Equal(t, all, f.query(eventstore.Query{{}}, eventstore.ReadQueryOptions{}))
	}},
	{"APartIsReadInEitherDirection", testQueryOptions},
	{"TagsAreComparedWhole", func(t *testing.T, f *fixture) {
		f.append(f.stream("1"), eventstore.Any, f.tagged(1, "ab"), f.tagged(2, "a"), f.tagged(3, "b", "a b", "größe-🙂"), f.tagged(4, "xa"))
		f.finds(f.about("a"), 2)
		f.finds(f.about("b"), 3)
		f.finds(f.about("größe-🙂"), 3)
		f.finds(f.about("A"))
	}},
	{"TagsThatOthersWroteAreFound", func(t *testing.T, f *fixture) {
		e := event(1)
		e.Metadata = eventstore.NewMetadata(eventstore.KeyTags, ","+f.tag("b")+",,"+f.tag("a")+","+f.tag("b"))
		f.append(f.stream("1"), eventstore.Any, e)
		f.finds(f.about("a", "b"), 1)
	}},
	{"WhatStreamsHideIsFound", func(t *testing.T, f *fixture) {
		for n, stream := range []string{f.stream("deleted"), f.stream("ended"), f.stream("limited")} {
			f.append(stream, eventstore.Any, f.tagged(2*n, "a"), f.tagged(2*n+1, "a"))
		}
		f.delete(f.stream("deleted"))
		f.tombstone(f.stream("ended"))
		f.setMetadata(f.stream("limited"), eventstore.StreamMetadata{MaxCount: 1})
		f.finds(f.about("a"), 0, 1, 2, 3, 4, 5)
	}},
	{"AReadEndsWhereItBeganToEnd", func(t *testing.T, f *fixture) {
		f.append(f.stream("1"), eventstore.Any, f.tagged(1, "a"), f.tagged(2, "a"))
		seen := 0
		for _, err := range f.conditional().ReadQuery(f.ctx, f.about("a"), eventstore.ReadQueryOptions{}) {
			require.NoError(t, err)
			seen++
			f.append(f.stream("1"), eventstore.Any, f.tagged(3, "a"))
		}
		assert.Equal(t, 2, seen)
	}},
	{"QueriesThatCanMatchNothingAreRefused", func(t *testing.T, f *fixture) {
		for _, q := range []eventstore.Query{nil, {}, {{Types: []string{""}}}, {{}, {Tags: []string{""}}}, {{Tags: []string{"a,b"}}}} {
			_, err := collect(t, f.conditional().ReadQuery(f.ctx, q, eventstore.ReadQueryOptions{}))
			require.ErrorIs(t, err, eventstore.ErrInvalid)
			_, err = f.conditional().AppendIf(f.ctx, f.stream("1"), eventstore.Condition{Query: q}, event(1))
			require.ErrorIs(t, err, eventstore.ErrInvalid)
		}
		assert.Empty(t, f.readAll(eventstore.ReadAllOptions{}))
	}},
}

func testQueryOptions(t *testing.T, f *fixture) {
	const n = 900
	for i := range n / 3 {
		f.append(f.stream(fmt.Sprint(i%7)), eventstore.Any, f.tagged(3*i, "all", "first"), f.tagged(3*i+1, "all"), f.tagged(3*i+2, "all"))
	}
	all := f.query(f.about("all"), eventstore.ReadQueryOptions{})
	require.Len(t, all, n)
	require.Equal(t, numbersFrom(0, n), numbers(all))
	for _, at := range []int{0, 1, 63, 64, 450, n - 2, n - 1} {
		from := all[at].Position
		assert.Equal(t, all[at:], f.query(f.about("all"), eventstore.ReadQueryOptions{From: from}))
		assert.Equal(t, all[at:min(n, at+5)], f.query(f.about("all"), eventstore.ReadQueryOptions{From: from, Limit: 5}))
		back := slices.Clone(all[:at+1])
		slices.Reverse(back)
		assert.Equal(t, back, f.query(f.about("all"), eventstore.ReadQueryOptions{From: from, Backwards: true}))
		assert.Equal(t, back[:min(len(back), 5)], f.query(f.about("all"), eventstore.ReadQueryOptions{From: from, Backwards: true, Limit: 5}))
		first := f.query(f.about("first", "all"), eventstore.ReadQueryOptions{From: from, Limit: 1})
		if at < n-2 {
			require.Len(t, first, 1)
			assert.Equal(t, all[(at+2)/3*3], first[0], "the place to begin need not match")
		} else {
			assert.Empty(t, first)
		}
	}
	assert.Empty(t, f.query(f.about("all"), eventstore.ReadQueryOptions{From: f.head() + 1}))
}
