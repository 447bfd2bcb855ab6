package projectiontest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/projection"
)

var readClauses = []clause{
	{"DocumentsComeInTheOrderOfTheirKeys", documentsInOrder},
	{"RangesAreByScoreThenMember", ranges},
	{"RangesKnowInfiniteAndNegativeScores", infiniteScores},
	{"DumpShowsExactlyEverything", dumpEverything},
}

func documentsInOrder(t *testing.T, s *suite) {
	s.activate(t, 1)
	var keys, want []string
	for i := range 50 {
		key := fmt.Sprint("k", i)
		keys, want = append(keys, key), append(want, "<nil>")
		if i%3 != 0 {
			s.put(t, 1, key, key)
			want[i] = key
		}
	}
	keys, want = append(keys, "k1"), append(want, "k1")
	require.Equal(t, want, s.read(t, keys...))
	require.Empty(t, s.read(t))
}

func ranges(t *testing.T, s *suite) {
	s.activate(t, 1)
	s.commit(t, 1, partitionOf("k"), batch(0, member("k", "d", 4), member("k", "b2", 2), member("k", "a", 1), member("k", "b1", 2), member("k", "c", 3)))
	at := func(f float64) *float64 { return &f }
	for _, c := range []struct {
		name string
		r    projection.Range
		want []string
	}{
		{"all", projection.Range{}, []string{"a", "b1", "b2", "c", "d"}},
		{"reverse is the exact reverse", projection.Range{Reverse: true}, []string{"d", "c", "b2", "b1", "a"}},
		{"min", projection.Range{Min: at(2)}, []string{"b1", "b2", "c", "d"}},
		{"max", projection.Range{Max: at(2)}, []string{"a", "b1", "b2"}},
		{"min and max", projection.Range{Min: at(2), Max: at(2)}, []string{"b1", "b2"}},
		{"min and max reverse", projection.Range{Min: at(2), Max: at(3), Reverse: true}, []string{"c", "b2", "b1"}},
		{"between", projection.Range{Min: at(2.5), Max: at(2.75)}, nil},
		{"limit", projection.Range{Limit: 2}, []string{"a", "b1"}},
		{"offset", projection.Range{Offset: 3}, []string{"c", "d"}},
		{"offset and limit", projection.Range{Offset: 1, Limit: 2}, []string{"b1", "b2"}},
		{"offset and limit reverse", projection.Range{Offset: 1, Limit: 2, Reverse: true}, []string{"c", "b2"}},
		{"offset within min", projection.Range{Min: at(2), Offset: 1, Limit: 2}, []string{"b2", "c"}},
		{"offset behind the end", projection.Range{Offset: 9}, nil},
		{"limit behind the end", projection.Range{Limit: 9}, []string{"a", "b1", "b2", "c", "d"}},
	} {
		got, err := s.store.Range(t.Context(), view, index, "k", c.r)
		require.NoError(t, err, c.name)
		var names []string
		for _, m := range got {
			names = append(names, m.Member)
		}
		require.Equal(t, c.want, names, c.name)
	}
	none, err := s.store.Range(t.Context(), view, index, "never", projection.Range{})
	require.NoError(t, err)
	require.Empty(t, none)
}

func infiniteScores(t *testing.T, s *suite) {
	s.activate(t, 1)
	want := []projection.Member{
		{Member: "lowest", Score: math.Inf(-1)}, {Member: "low", Score: -math.MaxFloat64}, {Member: "below", Score: -0.1},
		{Member: "zero", Score: 0}, {Member: "tiny", Score: math.SmallestNonzeroFloat64}, {Member: "third", Score: 1.0 / 3},
		{Member: "high", Score: math.MaxFloat64}, {Member: "highest", Score: math.Inf(1)},
	}
	var changes []change
	for _, m := range want {
		changes = append(changes, member("k", m.Member, m.Score))
	}
	slices.Reverse(changes)
	s.commit(t, 1, partitionOf("k"), batch(0, changes...))
	got, err := s.store.Range(t.Context(), view, index, "k", projection.Range{})
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func dumpEverything(t *testing.T, s *suite) {
	s.create(t, 2)
	s.commit(t, 2, 0, everything())
	var want []projection.Item
	for i := range 1000 {
		key := fmt.Sprint("k", i)
		part := i % partitions
		value := fmt.Append(nil, "v", i)
		want = append(want,
			projection.Item{Kind: projection.ItemDocument, Collection: docs, Key: key, Value: value},
			projection.Item{Kind: projection.ItemCounter, Collection: counts, Key: key, Count: int64(i)},
			projection.Item{Kind: projection.ItemIndex, Collection: index, Key: fmt.Sprint("i", i%20), Member: key, Score: float64(i) / 2},
			projection.Item{Kind: projection.ItemSet, Collection: sets, Key: fmt.Sprint("s", i%20), Member: key})
		if i < 200 {
			want = append(want, projection.Item{Kind: projection.ItemParked, Key: key, Value: value})
		}
		if i >= partitions {
			continue
		}
		s.commit(t, 1, part, dumped(part))
	}
	require.Equal(t, sorted(want), s.dump(t, 1))
	for _, err := range s.store.Dump(t.Context(), view, 1) {
		require.NoError(t, err)
		break // stopping early is allowed
	}
	for _, err := range s.store.Dump(t.Context(), view, 3) {
		require.ErrorIs(t, err, projection.ErrNoVersion)
	}
}

// dumped are the things that dumpEverything expects in a partition.
func dumped(part int) projection.Batch {
	var changes []change
	for i := part; i < 1000; i += partitions {
		key, value := fmt.Sprint("k", i), fmt.Sprint("v", i)
		changes = append(changes, document(key, value), counter(key, int64(i)), member(fmt.Sprint("i", i%20), key, float64(i)/2), inSet(fmt.Sprint("s", i%20), key))
		if i < 200 {
			changes = append(changes, parked(key, []byte(value)))
		}
	}
	return batch(0, changes...)
}
