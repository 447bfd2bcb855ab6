package redistest_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/redistest"
)

func TestAReplicaThatIsCutOffMissesWrites(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t)
	rdb := master.Client(t)
	require.NoError(t, rdb.Set(t.Context(), "k", "before", 0).Err())
	replica := redistest.StartReplica(t, master)
	require.Equal(t, "before", replica.Client(t).Get(t.Context(), "k").Val())
	replica.StopReplication()
	require.NoError(t, rdb.Set(t.Context(), "k", "after", 0).Err())
	require.ErrorContains(t, replica.Client(t).Set(t.Context(), "k", "mine", 0).Err(), "READONLY", "it stays a replica")
	require.Equal(t, "before", replica.Client(t).Get(t.Context(), "k").Val())

	replica.Replicate(master)
	require.Equal(t, "after", replica.Client(t).Get(t.Context(), "k").Val())
	replica.Promote()
	require.NoError(t, replica.Client(t).Set(t.Context(), "k", "mine", 0).Err())
	require.Equal(t, "after", rdb.Get(t.Context(), "k").Val())
}

func TestSentinelsMakeAReplicaTheMaster(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			master := redistest.Start(t)
			replica := redistest.StartReplica(t, master)
			sentinels := redistest.StartSentinels(t, n, master)
			rdb := sentinels.Client(t)
			require.NoError(t, rdb.Set(t.Context(), "k", "v", 0).Err())
			sentinels.AwaitMaster(master)
			require.Eventually(t, func() bool { return replica.Client(t).Get(t.Context(), "k").Val() == "v" }, 20*time.Second, time.Millisecond)
			replica.StopReplication()
			master.Kill()
			sentinels.AwaitMaster(replica)
			require.Eventually(t, func() bool { return rdb.Set(t.Context(), "k", "w", 0).Err() == nil }, 20*time.Second, 10*time.Millisecond)
			require.Equal(t, "w", replica.Client(t).Get(t.Context(), "k").Val())
		})
	}
}

func TestTLSIsSpokenWithClientsThatHaveACertificate(t *testing.T) {
	t.Parallel()
	srv := redistest.StartTLS(t)
	require.NoError(t, srv.Client(t).Set(t.Context(), "k", "v", 0).Err())
	require.NoError(t, srv.User(t, "ada", "secret", "~*", "+get").Get(t.Context(), "k").Err())
	plain := redis.NewClient(&redis.Options{Addr: srv.Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = plain.Close() })
	require.Error(t, plain.Ping(t.Context()).Err())
	opts := srv.Options()
	opts.TLSConfig, opts.MaxRetries = opts.TLSConfig.Clone(), -1
	opts.TLSConfig.Certificates = nil
	stranger := redis.NewClient(opts)
	t.Cleanup(func() { _ = stranger.Close() })
	require.Error(t, stranger.Ping(t.Context()).Err())
}

func TestASlotMovesWithItsKeys(t *testing.T) {
	t.Parallel()
	c := redistest.StartClusterNodes(t, 3)
	rdb := c.Client(t)
	for i := range 10 {
		require.NoError(t, rdb.Set(t.Context(), "{tag}:"+strconv.Itoa(i), i, 0).Err())
	}
	slot := c.Slot("{tag}")
	from := c.Owner(slot)
	to, during := (from+1)%3, 0
	c.MoveSlot(slot, to, func() {
		during++
		require.Equal(t, from, c.Owner(slot))
		require.Equal(t, "7", rdb.Get(t.Context(), "{tag}:7").Val(), "wherever it is")
	})
	require.Equal(t, 1, during)
	require.Equal(t, to, c.Owner(slot))
	for i := range 10 {
		require.Equal(t, strconv.Itoa(i), rdb.Get(t.Context(), "{tag}:"+strconv.Itoa(i)).Val())
	}
}
