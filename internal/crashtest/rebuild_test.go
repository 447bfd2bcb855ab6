package crashtest

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/redistest"
)

// Processes that fill a new version beside the one that they share are killed
// again and again. The filling goes on where it stopped; the old version is
// followed all the time, and kept.
func TestProjectorsThatAreKilledDuringARebuildEndExactlyRight(t *testing.T) {
	t.Parallel()
	const begin, kills, few = 6_000, 8, 4
	server := redistest.Start(t)
	log := newTape(emptyFile(t))
	require.NoError(t, log.grow(begin))
	j := job{Redis: server.Addr(), Tape: log.path}
	first := spawn(t, j)
	w := watch(t, server.Client(t), "", nil)
	w.done(begin)
	first.leave()
	stop := log.load(t, 300)
	j.Rebuild = true
	procs := []*process{spawn(t, j), spawn(t, j)}
	killed := 0
	for killed < kills {
		_, had := w.version(view, 2)
		target, active := had+uint64(rand.IntN(500)+1)*partitions, 0
		waitFor(t, "a new version that is filled", func() bool {
			var filled uint64
			active, filled = w.version(view, 2)
			return active > 1 || filled >= target
		})
		if active > 1 {
			break
		}
		victim := killed % 2
		procs[victim].kill()
		procs[victim] = spawn(t, j)
		killed++
	}
	require.GreaterOrEqual(t, killed, few, "the kills must come while it is filled")
	waitFor(t, "the new version", func() bool {
		active, _ := w.version(view, 2)
		return active > 1
	})
	total := stop()
	w.done(total)
	for _, p := range procs {
		p.leave()
	}
	w.end()
	v := newViews(server.Client(t), "")
	v.exact(t, log)
	versions, err := v.store.Versions(t.Context(), view)
	require.NoError(t, err)
	require.Len(t, versions, 2, "one to go back to")
	v.consistent(t, log)
}
