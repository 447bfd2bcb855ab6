package redistest_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func TestARestartedServerKeepsWhatAOFHas(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.AOF())
	rdb := srv.Client(t)
	require.NoError(t, rdb.Set(t.Context(), "k", "v", 0).Err())
	srv.Kill()
	srv.Restart()
	got, err := rdb.Get(t.Context(), "k").Result()
	require.NoError(t, err)
	require.Equal(t, "v", got)
}

func TestARestartedServerWithoutAOFIsEmpty(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	rdb := srv.Client(t)
	require.NoError(t, rdb.Set(t.Context(), "k", "v", 0).Err())
	srv.Restart()
	require.ErrorIs(t, rdb.Get(t.Context(), "k").Err(), redis.Nil)
}

func TestArgumentsReachTheServer(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t, redistest.Args("--maxmemory", "64mb")).Client(t)
	got, err := rdb.ConfigGet(t.Context(), "maxmemory").Result()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"maxmemory": "67108864"}, got)
}

func TestSharedServersPrefixesDiffer(t *testing.T) {
	t.Parallel()
	a, p := redistest.Shared(t)
	_, q := redistest.Shared(t)
	require.NotEqual(t, p, q)
	require.NoError(t, a.Ping(t.Context()).Err())
}

func TestAServerThatIsPausedDoesNotAnswer(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	opts := srv.Options()
	opts.ReadTimeout, opts.MaxRetries = 50*time.Millisecond, -1
	rdb := redis.NewClient(opts)
	t.Cleanup(func() { _ = rdb.Close() })
	require.NoError(t, rdb.Ping(t.Context()).Err())
	srv.Pause()
	require.Error(t, rdb.Ping(t.Context()).Err())
	srv.Resume()
	require.Eventually(t, func() bool { return rdb.Ping(t.Context()).Err() == nil }, 20*time.Second, 5*time.Millisecond)
}

func TestAUserMayDoWhatItsRulesSay(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).User(t, "ada", "secret", "~a:*", "+get")
	require.ErrorIs(t, rdb.Get(t.Context(), "a:1").Err(), redis.Nil)
	require.ErrorContains(t, rdb.Get(t.Context(), "b:1").Err(), "NOPERM")
	require.ErrorContains(t, rdb.Set(t.Context(), "a:1", "v", 0).Err(), "NOPERM")
}
