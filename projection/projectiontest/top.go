package projectiontest

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/projection"
)

var topClauses = []clause{
	{"TopIsHighestFirstEqualOnesByKey", topOrder},
	{"TopIsExactBeyondThePrecisionOfFloats", topExact},
	{"TopFollowsCountersThatFall", topFalls},
	{"ADeletedCounterWasNeverCounted", topDeleted},
}

func (s *suite) top(t *testing.T, n int) []projection.Count {
	t.Helper()
	top, err := s.store.Top(t.Context(), view, counts, n)
	require.NoError(t, err)
	return top
}

func (s *suite) count(t *testing.T, key string, value int64) {
	t.Helper()
	s.commit(t, 1, partitionOf(key), batch(0, counter(key, value)))
}

func topOrder(t *testing.T, s *suite) {
	s.activate(t, 1)
	require.Empty(t, s.top(t, 3))
	for i := range 20 {
		s.count(t, fmt.Sprintf("k%02d", i), 5)
	}
	s.count(t, "zero", 0)
	s.count(t, "low", -3)
	s.count(t, "high", 9)
	require.Equal(t, []projection.Count{{Key: "high", Value: 9}, {Key: "k00", Value: 5}, {Key: "k01", Value: 5}}, s.top(t, 3))
	all := s.top(t, 100)
	require.Len(t, all, 23)
	require.Equal(t, projection.Count{Key: "k19", Value: 5}, all[20])
	require.Equal(t, []projection.Count{{Key: "zero", Value: 0}, {Key: "low", Value: -3}}, all[21:])
	require.Empty(t, s.top(t, 0))
	require.Empty(t, s.top(t, -1))
}

// topExact has many neighbours that are one number as floats. The highest are
// those whose keys come last.
func topExact(t *testing.T, s *suite) {
	s.activate(t, 1)
	for i := range int64(20) {
		s.count(t, fmt.Sprintf("high%02d", i), math.MaxInt64-20+i)
		s.count(t, fmt.Sprintf("low%02d", i), math.MinInt64+i)
	}
	require.Equal(t, []projection.Count{
		{Key: "high19", Value: math.MaxInt64 - 1}, {Key: "high18", Value: math.MaxInt64 - 2}, {Key: "high17", Value: math.MaxInt64 - 3},
	}, s.top(t, 3))
	all := s.top(t, 40)
	require.Len(t, all, 40)
	require.Equal(t, projection.Count{Key: "low19", Value: math.MinInt64 + 19}, all[20])
	require.Equal(t, projection.Count{Key: "low00", Value: math.MinInt64}, all[39])
}

func topFalls(t *testing.T, s *suite) {
	s.activate(t, 1)
	s.count(t, "a", 10)
	s.count(t, "b", 5)
	s.count(t, "a", 1)
	require.Equal(t, []projection.Count{{Key: "b", Value: 5}, {Key: "a", Value: 1}}, s.top(t, 2))
}

func topDeleted(t *testing.T, s *suite) {
	s.activate(t, 1)
	s.count(t, "a", 10)
	s.count(t, "b", 5)
	s.count(t, "zero", 0)
	for _, key := range []string{"a", "zero", "never"} {
		b := projection.Batch{Counters: []projection.CounterChanges{{Collection: counts, Delete: []string{key}}}}
		s.commit(t, 1, partitionOf(key), b)
	}
	require.Equal(t, []projection.Count{{Key: "b", Value: 5}}, s.top(t, 9))
	got, err := s.store.Counts(t.Context(), view, counts, []string{"a", "zero", "b"})
	require.NoError(t, err)
	require.Equal(t, []int64{0, 0, 5}, got)
	require.Len(t, s.dump(t, 1), 1)
}
