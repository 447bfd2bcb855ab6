package streamrules

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

// It must agree with a map, through growth, generations and ids used again:
// the last are known, what is known is right, and what is old is forgotten.
func TestRecentAgreesWithAMap(t *testing.T) {
	t.Parallel()
	var r Recent
	rnd := rand.New(rand.NewPCG(1, 2))
	last := make(map[eventstore.ID]eventstore.Position)
	var order []eventstore.ID
	for p := eventstore.Position(1); p <= 5*RecentLimit; p++ {
		id := eventstore.ID{byte(rnd.Uint32()), byte(rnd.Uint32()), byte(rnd.Uint32() % 8)}
		last[id] = p
		order = append(order, id)
		r.Add(id, p)
		oldest := order[max(0, len(order)-RecentLimit)]
		if got := r.Find(oldest); got != last[oldest] {
			require.Equal(t, last[oldest], got)
		}
		probe := order[rnd.IntN(len(order))]
		if got := r.Find(probe); got != last[probe] && (got != 0 || p-last[probe] < RecentLimit) {
			require.Equal(t, last[probe], got)
		}
	}
}

func TestRecentForgets(t *testing.T) {
	t.Parallel()
	var r Recent
	id := func(i int) eventstore.ID { return eventstore.ID{byte(i >> 16), byte(i >> 8), byte(i)} }
	for i := range 3 * RecentLimit {
		r.Add(id(i), eventstore.Position(i+1))
	}
	for i := range RecentLimit {
		if r.Find(id(i)) != 0 || r.Find(id(2*RecentLimit+i)) == 0 {
			require.Zero(t, r.Find(id(i)))
			require.NotZero(t, r.Find(id(2*RecentLimit+i)))
		}
	}
	require.LessOrEqual(t, len(r.young.marks)+len(r.old.marks), 2*RecentLimit)
}

// Ids may be numbers counted up in any of their bytes. A hash that does not see
// some bytes makes every append slower than the one before.
func TestCountedIDsDoNotCollide(t *testing.T) {
	t.Parallel()
	for at := range 14 {
		var r Recent
		for i := range 20_000 {
			var id eventstore.ID
			id[at], id[at+1], id[at+2] = byte(i>>16), byte(i>>8), byte(i)
			r.Add(id, eventstore.Position(i+1))
		}
		longest, run := 0, 0
		for _, i := range r.young.table {
			if run++; i == 0 {
				run = 0
			}
			longest = max(longest, run)
		}
		require.Less(t, longest, 500, "a run of so many taken places makes searching slow; byte %d", at)
	}
}
