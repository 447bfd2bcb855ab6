package streamrules

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

// The table must agree with a map, through growth, eviction and ids used again.
func TestRecentAgreesWithAMap(t *testing.T) {
	t.Parallel()
	var r Recent
	rnd := rand.New(rand.NewPCG(1, 2))
	last := make(map[eventstore.ID]eventstore.Position)
	var order []eventstore.ID
	for p := eventstore.Position(1); p <= 3*RecentLimit; p++ {
		id := eventstore.ID{byte(rnd.Uint32()), byte(rnd.Uint32()), byte(rnd.Uint32() % 8)}
		last[id] = p
		order = append(order, id)
		r.Add(id, p)
		if p > RecentLimit {
			old := order[p-RecentLimit-1]
			want := last[old]
			if want <= p-RecentLimit {
				want = 0
			}
			require.Equal(t, want, r.Find(old))
		}
		probe := order[rnd.IntN(len(order))]
		want := last[probe]
		if want+RecentLimit <= p {
			want = 0
		}
		require.Equal(t, want, r.Find(probe))
	}
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
		for _, i := range r.table {
			if run++; i == 0 {
				run = 0
			}
			longest = max(longest, run)
		}
		require.Less(t, longest, 500, "a run of so many taken places makes searching slow; byte %d", at)
	}
}
