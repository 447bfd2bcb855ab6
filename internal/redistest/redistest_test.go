package redistest_test

import (
	"testing"

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
