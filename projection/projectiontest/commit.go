package projectiontest

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/projection"
)

var commitClauses = []clause{
	{"CommitAndCheckpointMoveTogether", commitTogether},
	{"AnEmptyBatchMovesTheCheckpointOnly", emptyBatch},
	{"ACheckpointNeverMovesBack", neverBack},
	{"ABatchWithoutANumberAsScoreChangesNothing", notANumber},
	{"ASessionReadsWhatItCommitted", sessionReads},
	{"DocumentsAreReplacedAndDeleted", documentsReplaced},
	{"KeysAndValuesAreBinarySafe", binarySafe},
	{"CountersAreExactNearTheLimitsOfInt64", countersExact},
	{"IndexEntriesApplyInTheirOrder", entriesInOrder},
	{"ParkedStreamsAreReplacedAndRemoved", parkedReplaced},
	{"CommitKeepsNothingOfTheBatch", keepsNothing},
	{"ALargeBatchIsOneStep", largeBatch},
	{"CollectionsDoNotTouchEachOther", collectionsApart},
}

func commitTogether(t *testing.T, s *suite) {
	s.activate(t, 1)
	part := partitionOf("a")
	session := s.acquire(t, 1, part)
	require.EqualValues(t, 0, session.Checkpoint().Position)
	for i := 1; i <= 3; i++ {
		b := batch(session.Checkpoint().Position+10, document("a", fmt.Sprint(i)))
		require.NoError(t, session.Commit(t.Context(), &b))
		require.Equal(t, b.Position, session.Checkpoint().Position)
		require.Equal(t, session.Checkpoint(), s.checkpoint(t, 1, part))
		require.Equal(t, []string{fmt.Sprint(i)}, s.read(t, "a"))
		ck, err := s.store.Checkpoint(t.Context(), view, "a")
		require.NoError(t, err)
		require.Equal(t, session.Checkpoint(), ck)
	}
}

func emptyBatch(t *testing.T, s *suite) {
	s.put(t, 1, "a", "v")
	part := partitionOf("a")
	session := s.acquire(t, 1, part)
	b := batch(100)
	require.NoError(t, session.Commit(t.Context(), &b))
	require.EqualValues(t, 100, s.checkpoint(t, 1, part).Position)
	require.NoError(t, session.Commit(t.Context(), &b), "the same position again")
	require.Len(t, s.dump(t, 1), 1)
}

func neverBack(t *testing.T, s *suite) {
	session := s.acquire(t, 1, 0)
	b := batch(100)
	require.NoError(t, session.Commit(t.Context(), &b))
	b = batch(99, document("a", "v"))
	require.Error(t, session.Commit(t.Context(), &b))
	require.EqualValues(t, 100, s.checkpoint(t, 1, 0).Position)
	require.Empty(t, s.dump(t, 1))
}

func notANumber(t *testing.T, s *suite) {
	session := s.acquire(t, 1, 0)
	b := batch(1, document("a", "v"), member("k", "m", math.NaN()))
	require.Error(t, session.Commit(t.Context(), &b))
	require.EqualValues(t, 0, s.checkpoint(t, 1, 0).Position)
	require.Empty(t, s.dump(t, 1))
}

func sessionReads(t *testing.T, s *suite) {
	session := s.acquire(t, 1, 2)
	b := batch(1, document("a", "v"), document("empty", ""), counter("c", 3), parked("s", []byte("p")))
	require.NoError(t, session.Commit(t.Context(), &b))
	again := s.acquire(t, 1, 2)
	values, err := again.Documents(t.Context(), docs, []string{"a", "b", "empty"})
	require.NoError(t, err)
	require.Equal(t, []string{"v", "<nil>", ""}, texts(values))
	values, err = again.Documents(t.Context(), docs, nil)
	require.NoError(t, err)
	require.Empty(t, values)
	numbers, err := again.Counts(t.Context(), counts, []string{"b", "c"})
	require.NoError(t, err)
	require.Equal(t, []int64{0, 3}, numbers)
	streams, err := again.Parked(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string][]byte{"s": []byte("p")}, streams)
}

func documentsReplaced(t *testing.T, s *suite) {
	s.activate(t, 1)
	part := partitionOf("a")
	s.commit(t, 1, part, batch(0, document("a", "1"), document("b", "1")))
	s.commit(t, 1, part, batch(0, document("a", "2"), noDocument("b"), noDocument("never")))
	require.Equal(t, []string{"2"}, s.read(t, "a"))
	require.Len(t, s.dump(t, 1), 1)
}

// odd are keys and values that a careless encoding breaks.
var odd = []string{
	"a b", "line\nbreak\r\n", "{braces}", "{", "}", "{}", "tab\t", "nul\x00nul", "äöü 日本 🙂", "\xff\xfe not utf-8",
	":", "%3A", "*", "$5\r\nhello\r\n", strings.Repeat("long", 1000), "",
}

func binarySafe(t *testing.T, s *suite) {
	s.activate(t, 1)
	for i, key := range odd {
		value := odd[len(odd)-1-i]
		s.commit(t, 1, partitionOf(key), batch(0, document(key, value), counter(key, int64(i)), member(key, value, 1), inSet(key, value), parked(key, []byte(value))))
	}
	for i, key := range odd {
		value := odd[len(odd)-1-i]
		require.Equal(t, []string{value}, s.read(t, key), "key %q", key)
		n, err := s.store.Counts(t.Context(), view, counts, []string{key})
		require.NoError(t, err)
		require.Equal(t, []int64{int64(i)}, n, "key %q", key)
		members, err := s.store.Range(t.Context(), view, index, key, projection.Range{})
		require.NoError(t, err)
		require.Equal(t, []projection.Member{{Member: value, Score: 1}}, members, "key %q", key)
		require.Equal(t, []string{value}, s.setMembers(t, key), "key %q", key)
		streams, err := s.store.Parked(t.Context(), view, 1, partitionOf(key))
		require.NoError(t, err)
		require.Equal(t, value, string(streams[key]), "stream %q", key)
	}
	require.Len(t, s.dump(t, 1), 5*len(odd))
}

func countersExact(t *testing.T, s *suite) {
	s.activate(t, 1)
	values := []int64{math.MaxInt64, math.MaxInt64 - 1, math.MinInt64, math.MinInt64 + 1, 1<<53 + 1, -(1<<53 + 1), 0, -1}
	keys := make([]string, len(values))
	for i, v := range values {
		keys[i] = fmt.Sprint("c", i)
		s.commit(t, 1, partitionOf(keys[i]), batch(0, counter(keys[i], v)))
	}
	got, err := s.store.Counts(t.Context(), view, counts, append(keys, "never"))
	require.NoError(t, err)
	require.Equal(t, append(values, 0), got)
}

func entriesInOrder(t *testing.T, s *suite) {
	s.activate(t, 1)
	s.commit(t, 1, partitionOf("k"), batch(0,
		member("k", "twice", 1), member("k", "twice", 2),
		member("k", "gone", 1), noMember("k", "gone"),
		noMember("k", "back"), member("k", "back", 3),
		member("k", "moved", 1), noMember("k", "moved"), member("k", "moved", 4), member("other", "m", 1),
	))
	got, err := s.store.Range(t.Context(), view, index, "k", projection.Range{})
	require.NoError(t, err)
	require.Equal(t, []projection.Member{{Member: "twice", Score: 2}, {Member: "back", Score: 3}, {Member: "moved", Score: 4}}, got)
}

func parkedReplaced(t *testing.T, s *suite) {
	s.commit(t, 1, 3, batch(0, parked("a", []byte("1")), parked("b", []byte("1")), parked("c", []byte{})))
	s.commit(t, 1, 3, batch(0, parked("a", []byte("2")), parked("b", nil), parked("never", nil)))
	want := map[string][]byte{"a": []byte("2"), "c": {}}
	got, err := s.store.Parked(t.Context(), view, 1, 3)
	require.NoError(t, err)
	require.Equal(t, want, got)
	got, err = s.acquire(t, 1, 3).Parked(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got)
	got, err = s.store.Parked(t.Context(), view, 1, 0)
	require.NoError(t, err)
	require.Empty(t, got)
}

func keepsNothing(t *testing.T, s *suite) {
	s.activate(t, 1)
	part := partitionOf("a")
	b := batch(1, document("a", "value"), counter("a", 1), member("a", "m", 1), inSet("a", "m"), parked("s", []byte("value")))
	session := s.acquire(t, 1, part)
	require.NoError(t, session.Commit(t.Context(), &b))
	copy(b.Documents[0].Put[0].Value, "XXXXX")
	copy(b.Parked[0].Data, "XXXXX")
	b.Documents[0].Put[0].Key, b.Counters[0].Set[0].Value, b.Indexes[0].Entries[0].Score = "X", 7, 7
	b.Sets[0].Changes[0].Member = "X"
	next := batch(2)
	require.NoError(t, session.Commit(t.Context(), &next))
	require.Equal(t, []string{"value"}, s.read(t, "a"))
	require.Equal(t, sorted([]projection.Item{
		{Kind: projection.ItemDocument, Collection: docs, Key: "a", Value: []byte("value")},
		{Kind: projection.ItemCounter, Collection: counts, Key: "a", Count: 1},
		{Kind: projection.ItemIndex, Collection: index, Key: "a", Member: "m", Score: 1},
		{Kind: projection.ItemSet, Collection: sets, Key: "a", Member: "m"},
		{Kind: projection.ItemParked, Key: "s", Value: []byte("value")},
	}), s.dump(t, 1))
}

func largeBatch(t *testing.T, s *suite) {
	const n = 5000
	var changes []change
	for i := range n {
		changes = append(changes, document(fmt.Sprint("d", i), strings.Repeat("v", i%300)), counter(fmt.Sprint("c", i), int64(i)),
			member(fmt.Sprint("i", i%10), fmt.Sprint("m", i), float64(i)), inSet(fmt.Sprint("s", i%3), fmt.Sprint("m", i)))
	}
	s.commit(t, 1, 1, batch(0, changes...))
	require.Len(t, s.dump(t, 1), 4*n)
	changes = nil
	for i := range n {
		changes = append(changes, noDocument(fmt.Sprint("d", i)), noMember(fmt.Sprint("i", i%10), fmt.Sprint("m", i)), notInSet(fmt.Sprint("s", i%3), fmt.Sprint("m", i)))
	}
	s.commit(t, 1, 1, batch(0, changes...))
	require.Len(t, s.dump(t, 1), n, "the counters only")
}

func collectionsApart(t *testing.T, s *suite) {
	s.activate(t, 1)
	one, other := "a", "a:b"
	b := projection.Batch{
		Documents: []projection.DocumentChanges{
			{Collection: one, Put: []projection.KeyValue{{Key: "k", Value: []byte("1")}}},
			{Collection: other, Put: []projection.KeyValue{{Key: "k", Value: []byte("2")}}},
		},
		Indexes: []projection.IndexChanges{
			{Collection: one, Entries: []projection.Entry{{Key: "b:k", Member: "1"}}},
			{Collection: other, Entries: []projection.Entry{{Key: "k", Member: "2"}}},
		},
		Sets: []projection.SetChanges{
			{Collection: one, Changes: []projection.SetChange{{Key: "b:k", Member: "1"}}},
			{Collection: other, Changes: []projection.SetChange{{Key: "k", Member: "2"}}},
		},
	}
	s.commit(t, 1, partitionOf("k"), b)
	got, err := s.store.Documents(t.Context(), view, one, []string{"k"})
	require.NoError(t, err)
	require.Equal(t, "1", string(got[0]))
	members, err := s.store.Range(t.Context(), view, other, "k", projection.Range{})
	require.NoError(t, err)
	require.Equal(t, []projection.Member{{Member: "2"}}, members)
	names, err := s.store.SetMembers(t.Context(), view, other, "k")
	require.NoError(t, err)
	require.Equal(t, []string{"2"}, names)
	require.Len(t, s.dump(t, 1), 6)
}
