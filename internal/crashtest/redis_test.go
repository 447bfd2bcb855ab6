package crashtest

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

// follow projects the store until the test ends.
func follow(t *testing.T, store *memstore.Store, rdb *redis.Client) *projection.Runner {
	t.Helper()
	opts := &projection.Options{BatchEvents: 20, LeaseTTL: 300 * time.Millisecond, Backoff: 5 * time.Millisecond}
	r := projection.NewRunner(store, opts, newViews(rdb).p)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
	})
	return r
}

func TestRedisKilledAgainAndAgainEndsExactlyRight(t *testing.T) {
	const total, kills = 20_000, 6
	server := redistest.Start(t, redistest.AOF())
	rdb := server.Client(t)
	store := memstore.New(nil)
	seed(t, store, total)
	follow(t, store, rdb)
	rv := redisview.New(rdb, nil)
	was := uint64(0)
	for range kills {
		waitFor(t, "progress", func() bool { return progress(t, rv) > was+total })
		server.Kill()
		server.Restart()
		now := progress(t, rv)
		require.GreaterOrEqual(t, now, was, "with appendfsync always nothing goes back")
		was = now
	}
	waitFor(t, "the end", func() bool { return done(t, rv, total) })
	newViews(rdb).check(t, store)
}

// A Redis that comes back with an older state, as after a fail-over to a
// replica that missed writes, is brought up to date from its own checkpoint.
func TestARedisThatForgotItsLastWritesEndsExactlyRight(t *testing.T) {
	const total = 20_000
	dir := t.TempDir()
	server := redistest.Start(t, redistest.AOF(), redistest.Args("--dir", dir, "--aof-load-truncated", "yes"))
	rdb := server.Client(t)
	store := memstore.New(nil)
	seed(t, store, total)
	follow(t, store, rdb)
	rv := redisview.New(rdb, nil)
	forgot := 0
	for i := range 4 {
		target := uint64(i+1) * total * 16 / 5
		waitFor(t, "progress", func() bool { return progress(t, rv) >= target })
		server.Kill()
		logs, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
		require.NoError(t, err)
		require.Len(t, logs, 1)
		info, err := os.Stat(logs[0])
		require.NoError(t, err)
		require.NoError(t, os.Truncate(logs[0], info.Size()-info.Size()/10))
		server.Restart()
		if progress(t, rv) < target {
			forgot++
		}
	}
	require.NotZero(t, forgot, "the cuts must take acknowledged writes away")
	waitFor(t, "the end", func() bool { return done(t, rv, total) })
	newViews(rdb).check(t, store)
}

// Somebody empties Redis while the view is followed.
func TestAnEmptiedRedisIsFilledAgain(t *testing.T) {
	const total = 5_000
	server := redistest.Start(t)
	rdb := server.Client(t)
	store := memstore.New(nil)
	seed(t, store, total)
	r := follow(t, store, rdb)
	require.NoError(t, r.WaitLevel(t.Context()))
	require.NoError(t, rdb.FlushAll(t.Context()).Err())
	seed(t, store, 1000) // the next commit finds its checkpoint gone
	rv := redisview.New(rdb, nil)
	waitFor(t, "the end", func() bool { return done(t, rv, total+1000) })
	newViews(rdb).check(t, store)
}
