package crashtest

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/redistest"
)

// Processes that join, leave and die have their fair share of the partitions
// again in little more than LeaseTTL, and each works at its share.
func TestPartitionsAreSharedFairlyByWhoeverIsThere(t *testing.T) {
	t.Parallel()
	const ttl = time.Second
	server := redistest.Start(t)
	log := newTape(emptyFile(t))
	require.NoError(t, log.grow(500))
	j := job{Redis: server.Addr(), Tape: log.path, LeaseTTL: ttl}
	procs := []*process{spawn(t, j)}
	w := watch(t, server.Client(t), "", nil)
	w.done(500)
	stop := log.load(t, 500)

	balanced := func(what string, within time.Duration) {
		t.Helper()
		began := time.Now()
		waitFor(t, what, func() bool { return fair(procs) })
		took := time.Since(began)
		t.Logf("%s: balanced after %v", what, took)
		require.LessOrEqual(t, took, within, what)
		counts := make([]int64, len(procs))
		for i, p := range procs {
			counts[i] = p.now().Events
		}
		waitFor(t, "each to work", func() bool {
			for i, p := range procs {
				if p.now().Events <= counts[i] {
					return false
				}
			}
			return true
		})
	}
	// A hand-over takes two looks, at most a third of LeaseTTL apart; what a
	// dead process had is free after LeaseTTL. The rest is for a busy machine.
	const slack = 2 * time.Second
	balanced("alone", slack)
	procs = append(procs, spawn(t, j))
	balanced("two", ttl+slack)
	procs = append(procs, spawn(t, j))
	balanced("three", ttl+slack)
	procs[0].kill()
	procs = procs[1:]
	balanced("one was killed", 2*ttl+slack)
	procs = append(procs, spawn(t, j))
	balanced("three again", ttl+slack)
	procs[1].leave()
	procs = slices.Delete(procs, 1, 2)
	balanced("one has left", ttl+slack)
	procs[1].kill()
	procs = procs[:1]
	balanced("alone again", 2*ttl+slack)

	total := stop()
	w.done(total)
	w.end()
	newViews(server.Client(t), "").exact(t, log)
}

// fair reports whether all partitions are worked at by exactly one of the
// processes, and by all of them the same number or one more.
func fair(procs []*process) bool {
	var all []int
	for _, p := range procs {
		mine := p.now().Partitions
		if n := len(mine); n < partitions/len(procs) || n > (partitions+len(procs)-1)/len(procs) {
			return false
		}
		all = append(all, mine...)
	}
	slices.Sort(all)
	return len(all) == partitions && len(slices.Compact(all)) == partitions
}
