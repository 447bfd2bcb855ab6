package projectiontest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/projection"
)

var indexClauses = []clause{
	{"ARangeGoesOnAfterAMember", rangeAfter},
	{"ARangeGoesOnAfterAMemberThatIsGone", rangeAfterGone},
	{"MembersOfOneScoreAreComparedByBytes", rangeAfterBytes},
	{"PagesOfARangeThatGrowsMissAndRepeatNothing", rangePages},
	{"RangeAllMergesThePartitions", rangeAll},
	{"RangeAllGoesOnAfterAMemberOfAnyPartition", rangeAllPages},
	{"CountRangeCountsWhatRangeReturns", countRange},
	{"ScoresAndRanksOfMembersAndOfMissingOnes", scoresAndRanks},
	{"ASessionReadsTheIndexesOfItsPartition", indexSession},
}

func (s *suite) rangeOf(t *testing.T, key string, r projection.Range) []projection.Member {
	t.Helper()
	members, err := s.store.Range(t.Context(), view, index, key, r)
	require.NoError(t, err)
	return members
}

func (s *suite) rangeOfAll(t *testing.T, key string, r projection.Range) []projection.Member {
	t.Helper()
	members, err := s.store.RangeAll(t.Context(), view, index, key, r)
	require.NoError(t, err)
	return members
}

func namesOf(members []projection.Member) []string {
	var names []string
	for _, m := range members {
		names = append(names, m.Member)
	}
	return names
}

func after(member string, score float64) *projection.Member {
	return &projection.Member{Member: member, Score: score}
}

// afterCases are about the members a of score 1, b to e of 2, f of 3.
var afterCases = []struct {
	name string
	r    projection.Range
	want string
}{
	{"the first", projection.Range{After: after("a", 1)}, "bcdef"},
	{"one of many equal", projection.Range{After: after("c", 2)}, "def"},
	{"the last of equal ones", projection.Range{After: after("e", 2)}, "f"},
	{"the last", projection.Range{After: after("f", 3)}, ""},
	{"backwards", projection.Range{After: after("c", 2), Reverse: true}, "ba"},
	{"backwards from the last", projection.Range{After: after("f", 3), Reverse: true}, "edcba"},
	{"backwards from the first", projection.Range{After: after("a", 1), Reverse: true}, ""},
	{"limit", projection.Range{After: after("b", 2), Limit: 2}, "cd"},
	{"limit backwards", projection.Range{After: after("e", 2), Reverse: true, Limit: 2}, "dc"},
	{"offset and limit", projection.Range{After: after("b", 2), Offset: 1, Limit: 2}, "de"},
	{"offset and limit backwards", projection.Range{After: after("e", 2), Reverse: true, Offset: 1, Limit: 2}, "cb"},
	{"max", projection.Range{After: after("c", 2), Max: new(2.0)}, "de"},
	{"min behind it", projection.Range{After: after("a", 1), Min: new(2.5)}, "f"},
	{"max before it", projection.Range{After: after("f", 3), Max: new(2.0)}, ""},
	{"min backwards", projection.Range{After: after("d", 2), Reverse: true, Min: new(2.0)}, "cb"},
	{"max backwards", projection.Range{After: after("f", 3), Reverse: true, Max: new(1.0)}, "a"},
	{"min and max and limit", projection.Range{After: after("b", 2), Min: new(2.0), Max: new(2.0), Limit: 2}, "cd"},
	{"a member that is gone", projection.Range{After: after("bb", 2)}, "cdef"},
	{"a member that is gone, backwards", projection.Range{After: after("dd", 2), Reverse: true}, "dcba"},
	{"a score that is gone", projection.Range{After: after("x", 2.5)}, "f"},
	{"a score that is gone, backwards", projection.Range{After: after("x", 1.5), Reverse: true}, "a"},
	{"a member that has another score now", projection.Range{After: after("f", 1)}, "bcdef"},
	{"one that has another score now, backwards", projection.Range{After: after("b", 3), Reverse: true}, "edcba"},
	{"before all", projection.Range{After: after("", math.Inf(-1))}, "abcdef"},
	{"after all, backwards", projection.Range{After: after("z", math.Inf(1)), Reverse: true}, "fedcba"},
	{"before all, backwards", projection.Range{After: after("", math.Inf(-1)), Reverse: true}, ""},
}

func rangeAfter(t *testing.T, s *suite) {
	s.activate(t, 1)
	s.commit(t, 1, partitionOf("k"), batch(0, member("k", "d", 2), member("k", "f", 3), member("k", "b", 2),
		member("k", "a", 1), member("k", "e", 2), member("k", "c", 2)))
	for _, c := range afterCases {
		require.Equal(t, c.want, strings.Join(namesOf(s.rangeOf(t, "k", c.r)), ""), c.name)
	}
	require.Empty(t, s.rangeOf(t, "never", projection.Range{After: after("a", 1)}))
}

func rangeAfterGone(t *testing.T, s *suite) {
	s.activate(t, 1)
	var changes []change
	for i := range 100 {
		changes = append(changes, member("k", fmt.Sprintf("m%02d", i), 7))
	}
	s.commit(t, 1, partitionOf("k"), batch(0, changes...))
	for i := range 100 {
		gone := fmt.Sprintf("m%02d", i)
		s.commit(t, 1, partitionOf("k"), batch(0, noMember("k", gone)))
		rest := s.rangeOf(t, "k", projection.Range{After: after(gone, 7)})
		require.Len(t, rest, 99-i)
		if i < 99 {
			require.Equal(t, fmt.Sprintf("m%02d", i+1), rest[0].Member)
		}
		require.Empty(t, s.rangeOf(t, "k", projection.Range{After: after(gone, 7), Reverse: true}))
	}
}

// rangeAfterBytes goes through members that a comparison of text, rather than
// of bytes, puts in another order.
func rangeAfterBytes(t *testing.T, s *suite) {
	s.activate(t, 1)
	names := append([]string{"Z", "a", "A", "z", "ä", "Ä", "a\x00", "a\x00b", "aa", "\xff\xff", "~", "é", "e", "10", "9"}, odd...)
	var changes []change
	for _, name := range names {
		changes = append(changes, member("k", name, 1))
	}
	s.commit(t, 1, partitionOf("k"), batch(0, changes...))
	slices.Sort(names)
	for i, name := range names {
		require.Equal(t, names[i+1:], append([]string{}, namesOf(s.rangeOf(t, "k", projection.Range{After: after(name, 1)}))...), "after %q", name)
		for _, near := range []string{name + "\x00", name + "\xff"} {
			want, exact := slices.BinarySearch(names, near)
			if exact {
				want++
			}
			got := s.rangeOf(t, "k", projection.Range{After: after(near, 1)})
			require.Equal(t, names[want:], append([]string{}, namesOf(got)...), "after %q", near)
		}
	}
}

// rangePages reads pages while members come and go around them.
func rangePages(t *testing.T, s *suite) {
	for _, reverse := range []bool{false, true} {
		version := 2
		if reverse {
			version = 3
		}
		s.create(t, version)
		s.activate(t, version)
		part := partitionOf("k")
		var changes []change
		for i := range 60 {
			changes = append(changes, member("k", fmt.Sprintf("stays%02d", i), float64(i/20)))
		}
		s.commit(t, version, part, batch(0, changes...))
		var got []string
		r := projection.Range{Limit: 7, Reverse: reverse}
		for n := 0; ; n++ {
			page := s.rangeOf(t, "k", r)
			if len(page) == 0 {
				break
			}
			for _, m := range page {
				if strings.HasPrefix(m.Member, "stays") && !strings.HasSuffix(m.Member, "+") {
					got = append(got, m.Member)
				}
			}
			last := page[len(page)-1]
			r.After = &last
			require.Less(t, n, 100)
			if n >= 20 {
				continue
			}
			s.commit(t, version, part, batch(0,
				member("k", fmt.Sprint("a", n), 0), member("k", fmt.Sprint("t", n), 0),
				member("k", fmt.Sprint("a", n), 2), member("k", fmt.Sprint("t", n), 2),
				member("k", last.Member+"+", last.Score), noMember("k", fmt.Sprint("t", n-1))))
		}
		require.Len(t, got, 60)
		slices.Sort(got)
		require.Len(t, slices.Compact(got), 60)
	}
}

// spread puts n members of a key into the partitions of their own names.
func (s *suite) spread(t *testing.T, key string, n int, score func(int) float64) []projection.Member {
	t.Helper()
	changes := make([][]change, partitions)
	all := make([]projection.Member, n)
	for i := range all {
		all[i] = projection.Member{Member: fmt.Sprintf("m%03d", i), Score: score(i)}
		part := partitionOf(all[i].Member)
		changes[part] = append(changes[part], member(key, all[i].Member, all[i].Score))
	}
	for part := range changes {
		s.commit(t, 1, part, batch(0, changes[part]...))
	}
	return all
}

func rangeAll(t *testing.T, s *suite) {
	s.activate(t, 1)
	all := s.spread(t, "k", 90, func(i int) float64 { return float64(i / 10) })
	require.Equal(t, all, s.rangeOfAll(t, "k", projection.Range{}))
	require.Equal(t, all[5:25], s.rangeOfAll(t, "k", projection.Range{Offset: 5, Limit: 20}))
	require.Equal(t, all[20:40], s.rangeOfAll(t, "k", projection.Range{Min: new(2.0), Max: new(3.0)}))
	require.Equal(t, all[25:35], s.rangeOfAll(t, "k", projection.Range{Min: new(2.0), Max: new(3.0), Offset: 5, Limit: 10}))
	require.Empty(t, s.rangeOfAll(t, "k", projection.Range{Offset: 90}))
	require.Empty(t, s.rangeOfAll(t, "never", projection.Range{}))
	slices.Reverse(all)
	require.Equal(t, all, s.rangeOfAll(t, "k", projection.Range{Reverse: true}))
	require.Equal(t, all[7:9], s.rangeOfAll(t, "k", projection.Range{Reverse: true, Offset: 7, Limit: 2}))
	n, err := s.store.CountRangeAll(t.Context(), view, index, "k", new(2.0), new(3.0))
	require.NoError(t, err)
	require.EqualValues(t, 20, n)
	n, err = s.store.CountRangeAll(t.Context(), view, index, "k", nil, nil)
	require.NoError(t, err)
	require.EqualValues(t, 90, n)
}

func rangeAllPages(t *testing.T, s *suite) {
	s.activate(t, 1)
	for _, score := range []func(int) float64{
		func(int) float64 { return 1 },
		func(i int) float64 { return float64(i / 7) },
	} {
		key := fmt.Sprint("k", score(100))
		all := s.spread(t, key, 60, score)
		for _, reverse := range []bool{false, true} {
			var got []projection.Member
			r := projection.Range{Limit: 7, Reverse: reverse}
			for range 20 {
				page := s.rangeOfAll(t, key, r)
				if got = append(got, page...); len(page) < r.Limit {
					break
				}
				r.After = &page[len(page)-1]
			}
			require.Equal(t, all, got)
			slices.Reverse(all)
		}
	}
}

func countRange(t *testing.T, s *suite) {
	s.activate(t, 1)
	s.commit(t, 1, partitionOf("k"), batch(0, member("k", "a", math.Inf(-1)), member("k", "b", 1), member("k", "c", 1), member("k", "d", 2.5), member("k", "e", math.Inf(1))))
	for _, c := range []struct {
		low, high *float64
		want      int64
	}{
		{nil, nil, 5}, {new(1.0), nil, 4}, {nil, new(1.0), 3}, {new(1.0), new(1.0), 2}, {new(1.1), new(2.5), 1}, {new(2.6), new(9.0), 0},
		{new(2.0), new(1.0), 0}, {new(math.Inf(1)), nil, 1}, {nil, new(math.Inf(-1)), 1},
	} {
		got, err := s.store.CountRange(t.Context(), view, index, "k", c.low, c.high)
		require.NoError(t, err)
		require.Equal(t, c.want, got)
		require.Len(t, s.rangeOf(t, "k", projection.Range{Min: c.low, Max: c.high}), int(c.want))
	}
	n, err := s.store.CountRange(t.Context(), view, index, "never", nil, nil)
	require.NoError(t, err)
	require.EqualValues(t, 0, n)
}

func scoresAndRanks(t *testing.T, s *suite) {
	s.activate(t, 1)
	s.commit(t, 1, partitionOf("k"), batch(0, member("k", "low", -1.5), member("k", "b", 0), member("k", "a", 0), member("k", "high", 1e300)))
	scores, err := s.store.Scores(t.Context(), view, index, "k", []string{"high", "never", "low", "a", "high"})
	require.NoError(t, err)
	require.True(t, math.IsNaN(scores[1]))
	scores[1] = 7
	require.Equal(t, []float64{1e300, 7, -1.5, 0, 1e300}, scores)
	scores, err = s.store.Scores(t.Context(), view, index, "never", []string{"a"})
	require.NoError(t, err)
	require.Len(t, scores, 1)
	require.True(t, math.IsNaN(scores[0]))
	scores, err = s.store.Scores(t.Context(), view, index, "k", nil)
	require.NoError(t, err)
	require.Empty(t, scores)
	for i, name := range []string{"low", "a", "b", "high"} {
		rank, err := s.store.Rank(t.Context(), view, index, "k", name, false)
		require.NoError(t, err)
		require.EqualValues(t, i, rank, name)
		rank, err = s.store.Rank(t.Context(), view, index, "k", name, true)
		require.NoError(t, err)
		require.EqualValues(t, 3-i, rank, name)
	}
	for _, key := range []string{"k", "never"} {
		for _, reverse := range []bool{false, true} {
			rank, err := s.store.Rank(t.Context(), view, index, key, "never", reverse)
			require.NoError(t, err)
			require.EqualValues(t, -1, rank)
		}
	}
}

func indexSession(t *testing.T, s *suite) {
	s.create(t, 2)
	s.commit(t, 1, 2, batch(0, member("k", "b", 2), member("k", "a", 2), member("k", "c", 1), member("other", "x", 1)))
	s.commit(t, 1, 3, batch(0, member("k", "elsewhere", 1)))
	s.commit(t, 2, 2, batch(0, member("k", "another version", 1)))
	session := s.acquire(t, 1, 2)
	got, err := session.Members(t.Context(), index, "k")
	require.NoError(t, err)
	require.Equal(t, []projection.Member{{Member: "c", Score: 1}, {Member: "a", Score: 2}, {Member: "b", Score: 2}}, got)
	b := batch(session.Checkpoint().Position+1, noMember("k", "c"), member("k", "a", 3))
	require.NoError(t, session.Commit(t.Context(), &b))
	got, err = session.Members(t.Context(), index, "k")
	require.NoError(t, err)
	require.Equal(t, []projection.Member{{Member: "b", Score: 2}, {Member: "a", Score: 3}}, got)
	got, err = session.Members(t.Context(), index, "never")
	require.NoError(t, err)
	require.Empty(t, got)
}
