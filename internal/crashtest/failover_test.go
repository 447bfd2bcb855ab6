package crashtest

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/proxytest"
	"github.com/foldstream/foldstream/internal/redistest"
)

// A replica that was cut off becomes the master: what it misses was
// acknowledged. Checkpoints go back then, and so does the data with them.
func TestAFailOverByHandToAReplicaThatMissesBatchesEndsExactlyRight(t *testing.T) {
	t.Parallel()
	const rounds = 4
	master := redistest.Start(t)
	replica := redistest.StartReplica(t, master)
	proxies := []*proxytest.Proxy{proxytest.Start(t, master.Addr()), proxytest.Start(t, master.Addr())}
	log := newTape("")
	require.NoError(t, log.grow(1000))
	for _, p := range proxies {
		run(t, log, connect(t, p.Addr()), "")
	}
	w := watch(t, master.Client(t), "", nil)
	w.done(1000)
	stop := log.load(t, 500)
	for round := range rounds {
		w.more(80)
		replica.CatchUp(master)
		replica.StopReplication()
		had := newViews(replica.Client(t), "").snapshot(t)
		w.reaches(max(had.at.sum(), w.progress()) + 80*cells)
		if round%2 == 1 {
			proxies[0].Point("")
			proxies[1].Point("")
		}
		replica.Promote()
		next := watch(t, replica.Client(t), "", had.at)
		proxies[0].Point(replica.Addr())
		if round%2 == 0 { // one runner goes on with the old master, as if cut off from the new one
			next.more(50)
			w.more(50)
			proxies[1].Point("")
		}
		require.Greater(t, w.end().sum(), had.at.sum(), "the replica must miss acknowledged batches")
		had.consistent(t, log)
		proxies[1].Point(replica.Addr())
		w = next
		master.Replicate(replica)
		master, replica = replica, master
	}
	total := stop()
	w.done(total)
	w.end()
	newViews(master.Client(t), "").exact(t, log)
}

// Sentinels make a replica that misses batches the master, once because the
// master was killed and once because it hangs. Then it wakes up and still takes
// itself for the master, for as long as the Sentinels let it.
func TestAFailOverBySentinelsToAReplicaThatMissesBatchesEndsExactlyRight(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lose, back func(*redistest.Server)
	}{
		"Killed": {(*redistest.Server).Kill, (*redistest.Server).Restart},
		"Hangs":  {(*redistest.Server).Pause, (*redistest.Server).Resume},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			master := redistest.Start(t)
			replica := redistest.StartReplica(t, master)
			sentinels := redistest.StartSentinels(t, 3, master)
			log := newTape("")
			require.NoError(t, log.grow(1000))
			for range 2 {
				opts := sentinels.Options()
				opts.ReadTimeout, opts.MaxRetries = impatient(&redis.Options{}).ReadTimeout, -1
				rdb := redis.NewFailoverClient(opts)
				t.Cleanup(func() { assert.NoError(t, rdb.Close()) })
				run(t, log, rdb, "")
			}
			w := watch(t, connect(t, master.Addr()), "", nil)
			w.done(1000)
			stop := log.load(t, 500)
			w.more(80)
			replica.CatchUp(master)
			replica.StopReplication()
			had := newViews(replica.Client(t), "").snapshot(t)
			w.reaches(max(had.at.sum(), w.progress()) + 120*cells)
			require.Greater(t, w.progress(), had.at.sum(), "the replica must miss acknowledged batches")
			had.consistent(t, log)
			c.lose(master)
			sentinels.AwaitMaster(replica)
			next := watch(t, replica.Client(t), "", had.at)
			next.more(120)
			w.end()
			c.back(master)
			next.more(400)
			total := stop()
			next.done(total)
			next.end()
			newViews(sentinels.Client(t), "").exact(t, log)
			newViews(replica.Client(t), "").exact(t, log)
		})
	}
}
