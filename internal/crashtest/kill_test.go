package crashtest

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
)

// The kills of this file are more than fifty. Each comes after a random part of
// perKill more events.
const (
	killsOfOne  = 24
	killsOfMany = 14
	perKill     = 200
)

// A process that builds the view from a log on disk is killed again and again.
func TestAProjectorThatIsKilledWhileItBuildsEndsExactlyRight(t *testing.T) {
	t.Parallel()
	const total = 12_000
	server := redistest.Start(t)
	dir := t.TempDir()
	store, err := logstore.Open(dir, &logstore.Options{Sync: logstore.SyncNever})
	require.NoError(t, err)
	s := newScript()
	for range total / appendLength {
		require.NoError(t, s.next(store))
	}
	require.NoError(t, store.Close())

	w := watch(t, server.Client(t), "", nil)
	j := job{Redis: server.Addr(), Log: dir}
	for range killsOfOne {
		p := spawn(t, j)
		w.more(rand.IntN(perKill) + 1)
		p.kill()
	}
	require.Less(t, w.progress(), uint64(total*cells), "the kills must come while events are applied")
	p := spawn(t, j)
	w.done(total)
	p.leave()
	w.end()
	store, err = logstore.Open(dir, nil)
	require.NoError(t, err)
	defer func() { assert.NoError(t, store.Close()) }()
	newViews(server.Client(t), "").exact(t, store)
}

// Several processes share the view while events come, and are killed, told to
// leave, or stopped for a while.
func TestProjectorsThatAreKilledWhileTheyShareAViewEndExactlyRight(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			log := newTape(emptyFile(t))
			require.NoError(t, log.grow(1000))
			j := job{Redis: server.Addr(), Tape: log.path}
			var procs []*process
			for range n {
				procs = append(procs, spawn(t, j))
			}
			w := watch(t, server.Client(t), "", nil)
			w.done(1000)
			stop := log.load(t, 600)
			for i := range killsOfMany {
				w.more(rand.IntN(perKill) + 1)
				victim := rand.IntN(n)
				switch i % 6 {
				case 4:
					procs[victim].leave()
				case 5:
					p := procs[victim]
					p.signal(syscall.SIGSTOP)
					spare := spawn(t, j) // without it nobody may be left
					w.more(rand.IntN(perKill) + 1)
					p.signal(syscall.SIGCONT)
					w.more(rand.IntN(perKill) + 1)
					spare.kill()
					continue
				default:
					procs[victim].kill()
				}
				procs[victim] = spawn(t, j)
			}
			total := stop()
			w.done(total)
			w.end()
			newViews(server.Client(t), "").exact(t, log)
		})
	}
}

// A process that was stopped until others had all that was its wakes up with
// sessions, caches and batches of long ago. None of that may get into the view.
func TestAZombieThatWakesUpWritesNothing(t *testing.T) {
	t.Parallel()
	const rounds = 4
	server := redistest.Start(t)
	log := newTape(emptyFile(t))
	require.NoError(t, log.grow(1000))
	j := job{Redis: server.Addr(), Tape: log.path}
	zombie := spawn(t, j)
	w := watch(t, server.Client(t), "", nil)
	w.done(1000)
	for range rounds {
		stop := log.load(t, 600)
		w.more(120)
		zombie.signal(syscall.SIGSTOP) // in the middle of its work
		asleep := w.checkpoints()
		successor := spawn(t, j)
		waitFor(t, "a successor that has everything", func() bool { return len(successor.now().Partitions) == partitions })
		total := stop()
		w.done(total)
		for h, all := range w.checkpoints() {
			for p, ck := range all {
				require.Greater(t, ck.Epoch, asleep[h][p].Epoch, "partition %d of %v is taken over", p, h)
			}
		}

		before := newViews(server.Client(t), "").consistent(t, log)
		heard := zombie.heard()
		zombie.signal(syscall.SIGCONT)
		waitFor(t, "the zombie to see where it is", func() bool {
			s := zombie.now()
			return zombie.heard() > heard+5 && s.Position == s.Head && s.State != projection.StateRetrying && len(s.Partitions) < partitions
		})
		// By then it may have been given partitions anew, with higher epochs.
		for h, all := range newViews(server.Client(t), "").consistent(t, log) {
			for p, ck := range all {
				require.Equal(t, before[h][p].Position, ck.Position)
				require.GreaterOrEqual(t, ck.Epoch, before[h][p].Epoch)
			}
		}
		successor.kill()
	}
	w.done(log.len())
	w.end()
	newViews(server.Client(t), "").exact(t, log)
}
