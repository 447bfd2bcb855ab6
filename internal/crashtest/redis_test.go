package crashtest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/proxytest"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
)

// run keeps the view level until the test ends, and returns the runner. Several
// runners share it, as processes do.
func run(t *testing.T, log *tape, rdb redis.UniversalClient, prefix string) *projection.Runner {
	t.Helper()
	return follow(t, log, newViews(rdb, prefix).all...)
}

// connect returns a client that soon gives up on a server that hangs.
func connect(t *testing.T, addr string) *redis.Client {
	t.Helper()
	rdb := redis.NewClient(impatient(&redis.Options{Addr: addr}))
	t.Cleanup(func() { assert.NoError(t, rdb.Close()) })
	return rdb
}

func impatient(o *redis.Options) *redis.Options {
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = time.Second, 500*time.Millisecond, 500*time.Millisecond
	o.MaxRetries, o.DialerRetries = -1, 1
	return o
}

// A server is killed under load and started again with its files. Before
// anybody writes again, data and checkpoints are compared: what is lost is lost
// from both.
func TestARedisThatIsKilledAgainAndAgainEndsExactlyRight(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		opt    redistest.Option
		forget bool // the end of the file is cut off, as a power cut may do
	}{
		"SyncAlways":      {redistest.AOF(), false},
		"SyncEverySecond": {redistest.AOFEverySecond(), false},
		"TailIsLost":      {redistest.AOFEverySecond(), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const kills = 3
			forgot := 0
			dir := t.TempDir()
			server := redistest.Start(t, c.opt, redistest.Args("--dir", dir, "--aof-load-truncated", "yes"))
			proxy := proxytest.Start(t, server.Addr())
			log := newTape("")
			require.NoError(t, log.grow(1000))
			for range 2 {
				run(t, log, connect(t, proxy.Addr()), "")
			}
			w := watch(t, server.Client(t), "", nil)
			w.done(1000)
			stop := log.load(t, 500)
			for range kills {
				w.more(80)
				server.Kill()
				proxy.Point("")
				if c.forget {
					cutTail(t, dir)
				}
				was := w.end()
				server.Restart()
				if c.forget {
					server.RewriteAOF() // see the guide: what was cut off may be half of a batch
				}
				now := newViews(server.Client(t), "").snapshot(t)
				if now.at.sum() < was.sum() {
					forgot++
				}
				w = watch(t, server.Client(t), "", now.at)
				proxy.Point(server.Addr())
				now.consistent(t, log)
			}
			total := stop()
			w.done(total)
			w.end()
			newViews(server.Client(t), "").exact(t, log)
			switch {
			case c.forget:
				require.NotZero(t, forgot, "the cuts must take acknowledged writes away")
			case name == "SyncAlways":
				require.Zero(t, forgot, "nothing that was acknowledged is lost")
			}
		})
	}
}

// cutTail takes away the last part of what a server has written.
func cutTail(t *testing.T, dir string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	require.NoError(t, err)
	require.Len(t, logs, 1)
	info, err := os.Stat(logs[0])
	require.NoError(t, err)
	require.NoError(t, os.Truncate(logs[0], info.Size()-min(info.Size()/2, 100_000)))
}

// A server that hangs and comes back has batches in its sockets that their
// senders have given up.
func TestARedisThatHangsEndsExactlyRight(t *testing.T) {
	t.Parallel()
	const rounds = 3
	server := redistest.Start(t)
	log := newTape("")
	require.NoError(t, log.grow(1000))
	runners := []*projection.Runner{run(t, log, connect(t, server.Addr()), ""), run(t, log, connect(t, server.Addr()), "")}
	w := watch(t, server.Client(t), "", nil)
	w.done(1000)
	stop := log.load(t, 500)
	for range rounds {
		w.more(80)
		server.Pause()
		before := retries(t, runners)
		waitFor(t, "the runners to notice", func() bool { return retries(t, runners) > before })
		server.Resume()
	}
	total := stop()
	w.done(total)
	w.end()
	newViews(server.Client(t), "").exact(t, log)
}

// retries returns how often runners have tried again.
func retries(t *testing.T, runners []*projection.Runner) (n int) {
	t.Helper()
	for _, r := range runners {
		all, err := r.Status(t.Context())
		require.NoError(t, err)
		n += all[0].Retries
	}
	return n
}

// Somebody empties Redis while the view is followed.
func TestAnEmptiedRedisIsFilledAgain(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			rdb := server.Client(t)
			log := newTape("")
			require.NoError(t, log.grow(3000))
			for range n {
				run(t, log, connect(t, server.Addr()), "")
			}
			w := watch(t, rdb, "", nil)
			w.done(3000)
			w.end()
			require.NoError(t, rdb.FlushAll(t.Context()).Err())
			w = watch(t, rdb, "", nil)
			require.NoError(t, log.grow(4000)) // the next commit finds its checkpoint gone
			w.done(4000)
			w.end()
			newViews(rdb, "").exact(t, log)
		})
	}
}
