package projectiontest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

var setClauses = []clause{
	{"SetMembersAreThereOnceAndSorted", setOnce},
	{"TheLastChangeOfASetMemberInABatchWins", setLastWins},
	{"ASetThatWasEmptiedIsLikeOneThatNeverWas", setEmptied},
	{"SetContainsAnswersInTheOrderOfTheQuestion", setContains},
	{"ASessionReadsTheSetsOfItsPartition", setSession},
}

func (s *suite) setMembers(t *testing.T, key string) []string {
	t.Helper()
	members, err := s.store.SetMembers(t.Context(), view, sets, key)
	require.NoError(t, err)
	return members
}

func (s *suite) setSize(t *testing.T, key string) int64 {
	t.Helper()
	n, err := s.store.SetSize(t.Context(), view, sets, key)
	require.NoError(t, err)
	return n
}

func setOnce(t *testing.T, s *suite) {
	s.activate(t, 1)
	part := partitionOf("k")
	s.commit(t, 1, part, batch(0, inSet("k", "b"), inSet("k", "a"), inSet("k", "b"), inSet("k", "B"), inSet("other", "x")))
	s.commit(t, 1, part, batch(0, inSet("k", "a"), inSet("k", "10"), inSet("k", "9")))
	require.Equal(t, []string{"10", "9", "B", "a", "b"}, s.setMembers(t, "k"))
	require.EqualValues(t, 5, s.setSize(t, "k"))
}

func setLastWins(t *testing.T, s *suite) {
	s.activate(t, 1)
	part := partitionOf("k")
	s.commit(t, 1, part, batch(0, inSet("k", "there")))
	s.commit(t, 1, part, batch(0,
		inSet("k", "in"), notInSet("k", "in"), inSet("k", "in"),
		inSet("k", "out"), inSet("other", "out"), notInSet("k", "out"),
		notInSet("k", "there"), inSet("k", "there"), notInSet("k", "never"),
	))
	require.Equal(t, []string{"in", "there"}, s.setMembers(t, "k"))
}

func setEmptied(t *testing.T, s *suite) {
	s.activate(t, 1)
	part := partitionOf("k")
	s.commit(t, 1, part, batch(0, inSet("k", "a"), inSet("k", "b")))
	s.commit(t, 1, part, batch(0, notInSet("k", "b"), notInSet("k", "a")))
	for _, key := range []string{"k", "never"} {
		require.Empty(t, s.setMembers(t, key))
		require.EqualValues(t, 0, s.setSize(t, key))
	}
	require.Empty(t, s.dump(t, 1))
}

func setContains(t *testing.T, s *suite) {
	s.activate(t, 1)
	var changes []change
	for i := range 10 {
		changes = append(changes, inSet("k", fmt.Sprint("m", 2*i)))
	}
	s.commit(t, 1, partitionOf("k"), batch(0, changes...))
	got, err := s.store.SetContains(t.Context(), view, sets, "k", []string{"m4", "m3", "m0", "m18", "m20", "m4", ""})
	require.NoError(t, err)
	require.Equal(t, []bool{true, false, true, true, false, true, false}, got)
	got, err = s.store.SetContains(t.Context(), view, sets, "never", []string{"m0"})
	require.NoError(t, err)
	require.Equal(t, []bool{false}, got)
	got, err = s.store.SetContains(t.Context(), view, sets, "k", nil)
	require.NoError(t, err)
	require.Empty(t, got)
}

func setSession(t *testing.T, s *suite) {
	s.create(t, 2)
	s.commit(t, 1, 2, batch(0, inSet("k", "b"), inSet("k", "a")))
	s.commit(t, 1, 3, batch(0, inSet("k", "elsewhere")))
	s.commit(t, 2, 2, batch(0, inSet("k", "another version")))
	session := s.acquire(t, 1, 2)
	got, err := session.SetMembers(t.Context(), sets, "k")
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, got)
	b := batch(session.Checkpoint().Position+1, notInSet("k", "b"), notInSet("k", "a"))
	require.NoError(t, session.Commit(t.Context(), &b))
	got, err = session.SetMembers(t.Context(), sets, "k")
	require.NoError(t, err)
	require.Empty(t, got)
}
