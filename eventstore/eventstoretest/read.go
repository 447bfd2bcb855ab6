package eventstoretest

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

var readClauses = []clause{
	{"AMissingStreamIsNotFound", func(_ *testing.T, f *fixture) {
		f.readFails(eventstore.ErrStreamNotFound, f.stream("1"))
	}},
	{"ReadsForwardsFromAVersion", func(t *testing.T, f *fixture) {
		s := f.filled(9)
		assert.Equal(t, span(1, 9), f.versions(s, eventstore.ReadOptions{}))
		assert.Equal(t, span(1, 9), f.versions(s, eventstore.ReadOptions{From: 1}))
		assert.Equal(t, span(4, 9), f.versions(s, eventstore.ReadOptions{From: 4}))
		assert.Equal(t, span(9, 9), f.versions(s, eventstore.ReadOptions{From: 9}))
		assert.Empty(t, f.versions(s, eventstore.ReadOptions{From: 10}))
	}},
	{"ReadsBackwardsFromAVersion", func(t *testing.T, f *fixture) {
		s := f.filled(9)
		assert.Equal(t, span(9, 1), f.versions(s, eventstore.ReadOptions{Backwards: true}))
		assert.Equal(t, span(4, 1), f.versions(s, eventstore.ReadOptions{Backwards: true, From: 4}))
		assert.Equal(t, span(1, 1), f.versions(s, eventstore.ReadOptions{Backwards: true, From: 1}))
		assert.Equal(t, span(9, 1), f.versions(s, eventstore.ReadOptions{Backwards: true, From: 99}))
	}},
	{"ReadsAtMostLimitEvents", func(t *testing.T, f *fixture) {
		s := f.filled(9)
		assert.Equal(t, span(1, 3), f.versions(s, eventstore.ReadOptions{Limit: 3}))
		assert.Equal(t, span(8, 9), f.versions(s, eventstore.ReadOptions{From: 8, Limit: 3}))
		assert.Equal(t, span(9, 8), f.versions(s, eventstore.ReadOptions{Backwards: true, Limit: 2}))
		assert.Equal(t, span(1, 9), f.versions(s, eventstore.ReadOptions{Limit: 9}))
	}},
	{"ReadingMayStopEarlyAndBeginAgain", func(t *testing.T, f *fixture) {
		s := f.filled(9)
		seq := f.store.Read(f.ctx, s, eventstore.ReadOptions{})
		for range 2 {
			var got []eventstore.Version
			for r, err := range seq {
				require.NoError(t, err)
				if got = append(got, r.Version); r.Version == 3 {
					break
				}
			}
			assert.Equal(t, span(1, 3), got)
		}
		f.append(s, eventstore.Exact(9), event(10))
	}},
	{"AppendingWhileReadingIsAllowed", func(t *testing.T, f *fixture) {
		s := f.filled(3)
		seen := 0
		for r, err := range f.store.Read(f.ctx, s, eventstore.ReadOptions{}) {
			require.NoError(t, err)
			seen++
			f.append(f.stream("other"), eventstore.Any, event(int(r.Version)))
		}
		assert.Equal(t, 3, seen)
	}},
	{"TruncateBeforeHidesOlderEvents", func(t *testing.T, f *fixture) {
		s := f.filled(9)
		f.setMetadata(s, eventstore.StreamMetadata{TruncateBefore: 4})
		assert.Equal(t, span(4, 9), f.versions(s, eventstore.ReadOptions{}))
		assert.Equal(t, span(4, 9), f.versions(s, eventstore.ReadOptions{From: 2}))
		assert.Equal(t, span(9, 4), f.versions(s, eventstore.ReadOptions{Backwards: true}))
		assert.Empty(t, f.versions(s, eventstore.ReadOptions{Backwards: true, From: 3}))
		f.setMetadata(s, eventstore.StreamMetadata{})
		assert.Equal(t, span(1, 9), f.versions(s, eventstore.ReadOptions{}))
	}},
	{"AStreamTruncatedWholeYieldsNothing", func(t *testing.T, f *fixture) {
		s := f.filled(3)
		f.setMetadata(s, eventstore.StreamMetadata{TruncateBefore: 4})
		assert.Empty(t, f.versions(s, eventstore.ReadOptions{}))
		assert.Empty(t, f.versions(s, eventstore.ReadOptions{Backwards: true}))
		assert.EqualValues(t, 4, f.append(s, eventstore.Exact(3), event(4)).Version)
		assert.Equal(t, span(4, 4), f.versions(s, eventstore.ReadOptions{}))
	}},
	{"MaxCountKeepsTheLastEvents", func(t *testing.T, f *fixture) {
		s := f.filled(5)
		f.setMetadata(s, eventstore.StreamMetadata{MaxCount: 2})
		assert.Equal(t, span(4, 5), f.versions(s, eventstore.ReadOptions{}))
		f.append(s, eventstore.Exact(5), events(6, 8)...)
		assert.Equal(t, span(7, 8), f.versions(s, eventstore.ReadOptions{}))
		assert.Equal(t, span(8, 7), f.versions(s, eventstore.ReadOptions{Backwards: true}))
		f.setMetadata(s, eventstore.StreamMetadata{MaxCount: 99, TruncateBefore: 6})
		assert.Equal(t, span(6, 8), f.versions(s, eventstore.ReadOptions{}))
	}},
	{"MaxAgeHidesOldEvents", func(t *testing.T, f *fixture) {
		s := f.filled(2)
		f.setMetadata(s, eventstore.StreamMetadata{MaxAge: time.Hour})
		assert.Equal(t, span(1, 2), f.versions(s, eventstore.ReadOptions{}))
		f.setMetadata(s, eventstore.StreamMetadata{MaxAge: time.Second})
		require.Eventually(t, func() bool {
			return len(f.read(s, eventstore.ReadOptions{})) == 0
		}, patience, 20*time.Millisecond)
		f.setMetadata(s, eventstore.StreamMetadata{MaxAge: time.Hour})
		assert.Equal(t, span(1, 2), f.versions(s, eventstore.ReadOptions{}), "hidden, not gone")
	}},
}

// filled returns a stream of n events.
func (f *fixture) filled(n int) string {
	f.t.Helper()
	s := f.stream("filled")
	f.append(s, eventstore.NoStream, events(1, n)...)
	return s
}

func (f *fixture) setMetadata(stream string, m eventstore.StreamMetadata) {
	f.t.Helper()
	_, err := f.store.SetStreamMetadata(f.ctx, stream, eventstore.Any, m)
	require.NoError(f.t, err)
}

var readAllClauses = []clause{
	{"PositionsGrowInTheOrderOfAppends", func(t *testing.T, f *fixture) {
		var want []eventstore.Position
		for i := range 5 {
			want = append(want, f.append(f.stream("a"), eventstore.Any, event(i)).Position)
			want = append(want, f.append(f.stream("b"), eventstore.Any, event(i)).Position)
		}
		assert.True(t, slices.IsSorted(want))
		assert.Greater(t, want[0], f.start)
		assert.Equal(t, want, positionsOf(f.readAll(eventstore.ReadAllOptions{})))
		slices.Reverse(want)
		assert.Equal(t, want, positionsOf(f.readAll(eventstore.ReadAllOptions{Backwards: true})))
		assert.Equal(t, want[0], f.head())
	}},
	{"ReadsFromAPosition", func(t *testing.T, f *fixture) {
		f.filled(9)
		all := positionsOf(f.readAll(eventstore.ReadAllOptions{}))
		assert.Equal(t, all[3:], positionsOf(f.readAll(eventstore.ReadAllOptions{From: all[3]})))
		back := slices.Clone(all[:4])
		slices.Reverse(back)
		assert.Equal(t, back, positionsOf(f.readAll(eventstore.ReadAllOptions{From: all[3], Backwards: true})))
	}},
	{"LimitCountsMatches", func(t *testing.T, f *fixture) {
		f.filled(9)
		mine := eventstore.Filter{Categories: []string{f.category}}
		all := positionsOf(f.readAll(eventstore.ReadAllOptions{Filter: mine}))
		require.Len(t, all, 9)
		assert.Equal(t, all[:3], positionsOf(f.readAll(eventstore.ReadAllOptions{Filter: mine, Limit: 3})))
		got := f.readAll(eventstore.ReadAllOptions{Filter: mine, Limit: 2, Backwards: true})
		assert.Equal(t, []eventstore.Position{all[8], all[7]}, positionsOf(got))
	}},
	{"FiltersChoose", testFilters},
	{"ReadAllEndsWhereItBegan", func(t *testing.T, f *fixture) {
		f.filled(3)
		seen := 0
		for r, err := range f.store.ReadAll(f.ctx, eventstore.ReadAllOptions{Filter: eventstore.Filter{Categories: []string{f.category}}}) {
			require.NoError(t, err)
			f.append(f.stream("more"), eventstore.Any, event(int(r.Version)))
			seen++
		}
		assert.Equal(t, 3, seen)
	}},
	{"DeletedAndTruncatedEventsStay", func(t *testing.T, f *fixture) {
		s := f.filled(3)
		before := f.readAll(eventstore.ReadAllOptions{})
		f.setMetadata(s, eventstore.StreamMetadata{TruncateBefore: 3, MaxCount: 1})
		f.delete(s)
		got := f.readAll(eventstore.ReadAllOptions{})
		require.Len(t, got, 5)
		assert.Equal(t, before, got[:3])
		assert.Equal(t, eventstore.TypeStreamMetadata, got[3].Type)
		assert.Equal(t, eventstore.MetadataStream(s), got[4].Stream)
		_, err := f.store.Tombstone(f.ctx, s, eventstore.Any)
		require.NoError(t, err)
		got = f.readAll(eventstore.ReadAllOptions{})
		require.Len(t, got, 6)
		assert.Equal(t, eventstore.TypeTombstone, got[5].Type)
		assert.Equal(t, s, got[5].Stream)
	}},
}

func positionsOf(rs []eventstore.Recorded) []eventstore.Position {
	ps := []eventstore.Position{}
	for _, r := range rs {
		ps = append(ps, r.Position)
	}
	return ps
}
