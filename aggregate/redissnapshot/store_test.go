package redissnapshot_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/aggregate/redissnapshot"
	"github.com/foldstream/foldstream/aggregate/snapshottest"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	snapshottest.Run(t, func(t *testing.T) aggregate.SnapshotStore {
		rdb, prefix := redistest.Shared(t)
		return redissnapshot.New(rdb, &redissnapshot.Options{Prefix: prefix, Timeout: 10 * time.Second})
	})
}

func TestConformanceCluster(t *testing.T) {
	t.Parallel()
	rdb := redistest.StartCluster(t, 3)
	snapshottest.Run(t, func(t *testing.T) aggregate.SnapshotStore {
		return redissnapshot.New(rdb, &redissnapshot.Options{Prefix: t.Name() + ":", Timeout: 10 * time.Second})
	})
}

func snapshot(stream string) aggregate.Snapshot {
	return aggregate.Snapshot{Stream: stream, Version: 7, Position: 42, Created: time.Now(), Schema: "1-a", Data: []byte("x")}
}

func TestSnapshotsExpire(t *testing.T) {
	t.Parallel()
	rdb, prefix := redistest.Shared(t)
	for ttl, want := range map[time.Duration]time.Duration{0: -1, time.Hour: time.Hour} {
		s := redissnapshot.New(rdb, &redissnapshot.Options{Prefix: prefix + ttl.String() + ":", TTL: ttl, Timeout: 10 * time.Second})
		require.NoError(t, s.SaveSnapshot(t.Context(), snapshot("order-1")))
		keys := rdb.Keys(t.Context(), prefix+ttl.String()+":*").Val()
		require.Equal(t, []string{prefix + ttl.String() + ":snapshot:order-1"}, keys)
		left := rdb.TTL(t.Context(), keys[0]).Val()
		if want < 0 {
			assert.Equal(t, want, left)
		} else {
			assert.InDelta(t, want, left, float64(time.Minute))
		}
	}
}

func TestADeadRedisIsAskedOnceInAWhile(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	s := redissnapshot.New(srv.Client(t), &redissnapshot.Options{Timeout: 100 * time.Millisecond, Pause: time.Hour})
	require.NoError(t, s.SaveSnapshot(t.Context(), snapshot("order-1")))
	srv.Pause() // it hangs, and its sockets are open
	defer srv.Resume()

	begun := time.Now()
	_, _, err := s.LoadSnapshot(t.Context(), "order-1")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(begun), 2*time.Second, "a client's own limit is three seconds, with retries nine")
	for range 1000 {
		_, _, err = s.LoadSnapshot(t.Context(), "order-1")
		require.ErrorIs(t, err, redissnapshot.ErrPaused)
	}
	require.ErrorIs(t, s.SaveSnapshot(t.Context(), snapshot("order-1")), redissnapshot.ErrPaused)
	require.ErrorIs(t, s.DeleteSnapshot(t.Context(), "order-1"), redissnapshot.ErrPaused)
}

func TestARedisThatIsBackIsUsed(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	opts := srv.Options()
	opts.MaxRetries = -1
	rdb := redis.NewClient(opts)
	defer func() { _ = rdb.Close() }()
	s := redissnapshot.New(rdb, &redissnapshot.Options{Timeout: 5 * time.Second, Pause: time.Millisecond})
	srv.Kill()
	require.Error(t, s.SaveSnapshot(t.Context(), snapshot("order-1")))
	srv.Restart()
	require.Eventually(t, func() bool { return s.SaveSnapshot(t.Context(), snapshot("order-1")) == nil }, 10*time.Second, time.Millisecond)
	for range 10 { // everybody, not one in a pause
		_, ok, err := s.LoadSnapshot(t.Context(), "order-1")
		require.NoError(t, err)
		require.True(t, ok)
	}
}

func TestAnAnswerThatIsAnErrorIsNoOutage(t *testing.T) {
	t.Parallel()
	rdb, prefix := redistest.Shared(t)
	s := redissnapshot.New(rdb, &redissnapshot.Options{Prefix: prefix, Pause: time.Hour, Timeout: 10 * time.Second})
	require.NoError(t, rdb.Set(t.Context(), prefix+"snapshot:order-1", "not a hash", 0).Err())
	_, _, err := s.LoadSnapshot(t.Context(), "order-1")
	require.ErrorContains(t, err, "WRONGTYPE")
	require.ErrorContains(t, s.SaveSnapshot(t.Context(), snapshot("order-1")), "WRONGTYPE")
	require.NoError(t, s.SaveSnapshot(t.Context(), snapshot("order-2")))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = s.LoadSnapshot(ctx, "order-2")
	require.ErrorIs(t, err, context.Canceled)
	_, ok, err := s.LoadSnapshot(t.Context(), "order-2")
	require.NoError(t, err, "a caller that went away is no outage")
	require.True(t, ok)
}

func TestWhatSomebodyElseWroteIsNoSnapshotToUse(t *testing.T) {
	t.Parallel()
	rdb, prefix := redistest.Shared(t)
	s := redissnapshot.New(rdb, &redissnapshot.Options{Prefix: prefix, Timeout: 10 * time.Second})
	require.NoError(t, rdb.HSet(t.Context(), prefix+"snapshot:order-1", "version", "many").Err())
	got, ok, err := s.LoadSnapshot(t.Context(), "order-1")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, aggregate.Snapshot{Stream: "order-1", Data: []byte{}}, got)
	require.NoError(t, s.SaveSnapshot(t.Context(), snapshot("order-1")))
	got, _, err = s.LoadSnapshot(t.Context(), "order-1")
	require.NoError(t, err)
	require.Equal(t, eventstore.Version(7), got.Version)
}
