package redisview_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/internal/proxytest"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/projectiontest"
	"github.com/foldstream/foldstream/projection/redisview"
)

func TestAClientCacheThatLostItsConnectionKeepsNothing(t *testing.T) {
	t.Parallel()
	h, proxy := proxiedHot(t, nil)
	h.put(t, "a", 1)
	h.run(t)
	h.keep(t, "a", 1)
	links := h.cache.Stats().Connections
	h.put(t, "b", 1)
	h.keep(t, "b", 1)
	proxy.Point("") // no connection is to be had
	require.Eventually(t, func() bool { return !h.cache.Stats().Connected }, 10*time.Second, time.Millisecond)
	require.Zero(t, h.cache.Stats().Documents)
	_, err := h.docs.Get(t.Context(), "a")
	require.Error(t, err, "there is nothing to answer from")
	h.put(t, "a", 2)
	rdb, _ := redistest.Shared(t)
	proxy.Point(rdb.Options().Addr)
	require.Equal(t, 2, h.get(t, t.Context(), "a"))
	h.awaitLink(t, links)
	h.keep(t, "a", 2)
}

// Nothing comes over the connection, and nobody is told. What is kept grows
// older than it may.
func TestAClientCacheIsNeverOlderThanMaxStaleness(t *testing.T) {
	t.Parallel()
	h, proxy := proxiedHot(t, &redisview.ClientCacheOptions{MaxStaleness: 200 * time.Millisecond})
	h.put(t, "a", 1)
	h.run(t)
	h.keep(t, "a", 1)
	links := h.cache.Stats().Connections
	proxy.Swallow(true)
	h.put(t, "a", 2)
	written := time.Now()
	for hits := 0; ; hits++ {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		began := time.Now()
		n, err := h.docs.Get(ctx, "a")
		cancel()
		if err != nil {
			require.Positive(t, hits)
			break
		}
		require.Equal(t, 1, n)
		require.LessOrEqual(t, began.Sub(written), 200*time.Millisecond)
	}
	require.Eventually(t, func() bool { return !h.cache.Stats().Connected }, 10*time.Second, time.Millisecond)
	proxy.Swallow(false)
	proxy.Cut()
	h.awaitLink(t, links)
	h.keep(t, "a", 2)
}

// The news of a change comes while the answer to an earlier read of the same
// document is still under way. Nothing changes afterwards, so what was kept
// wrongly would stay.
func TestAnAnswerThatIsOvertakenByAChangeIsNotKept(t *testing.T) {
	t.Parallel()
	h, proxy := proxiedHot(t, nil)
	h.run(t)
	for i := range 50 {
		proxy.Delay(5 * time.Millisecond)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = h.docs.Get(context.Background(), "a") // it is its trace in the cache that counts
		}()
		for n := range 1 + i%10 {
			h.put(t, "a", 100*i+n)
		}
		<-done
		proxy.Delay(0)
		h.await(t, "a", lastOf(t, h))
		h.keep(t, "a", lastOf(t, h))
	}
}

// lastOf reads what Redis holds, without the cache.
func lastOf(t *testing.T, h *hot) int {
	t.Helper()
	rdb, _ := redistest.Shared(t)
	n, err := rdb.Get(t.Context(), h.prefix+"{hot:p00}:v1:x:hot:a").Int()
	require.NoError(t, err)
	return n
}

func TestManyReadersOfOneDocumentAskOnce(t *testing.T) {
	t.Parallel()
	h, proxy := proxiedHot(t, nil)
	h.put(t, "a", 1)
	h.put(t, "b", 2)
	h.run(t)
	h.keep(t, "b", 2) // so that the pointer is known
	var asked sync.Map
	proxy.At(func(request []byte) proxytest.Fault {
		asked.Store(len(request), bytes.Count(request, []byte("MGET")))
		return proxytest.None
	})
	proxy.Delay(200 * time.Millisecond)
	before := h.cache.Stats().Misses
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			n, err := h.docs.Get(context.Background(), "a")
			if n != 1 || err != nil {
				t.Errorf("read %d, %v", n, err)
			}
		})
	}
	wg.Wait()
	proxy.Delay(0)
	require.Equal(t, before+50, h.cache.Stats().Misses)
	total := 0
	asked.Range(func(_, n any) bool { total += n.(int); return true })
	require.Equal(t, 1, total)
}

func TestAClientCacheAfterAFlushOrARestart(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.AOF())
	rdb := srv.Client(t)
	h := newHot(t, rdb, rdb, "", nil)
	h.put(t, "a", 1)
	h.run(t)
	h.keep(t, "a", 1)
	links := h.cache.Stats().Connections
	srv.Kill()
	srv.Restart()
	h.acquire(t, 1)
	h.put(t, "a", 2)
	h.await(t, "a", 2)
	h.awaitLink(t, links)
	h.keep(t, "a", 2)
	require.NoError(t, rdb.FlushAll(t.Context()).Err())
	require.Eventually(t, func() bool {
		_, err := h.docs.Get(t.Context(), "a")
		return err != nil
	}, 10*time.Second, time.Millisecond)
	_, err := h.docs.Get(t.Context(), "a")
	require.ErrorIs(t, err, projection.ErrNotBuilt)
}

// The master hangs, a replica becomes the master, and what is written there is
// read.
func TestAClientCacheFollowsAFailOver(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t)
	replica := redistest.StartReplica(t, master)
	sentinels := redistest.StartSentinels(t, 1, master)
	rdb := sentinels.Client(t)
	h := newHot(t, rdb, rdb, "", &redisview.ClientCacheOptions{MaxStaleness: 500 * time.Millisecond})
	h.put(t, "a", 1)
	h.run(t)
	h.keep(t, "a", 1)
	links := h.cache.Stats().Connections
	replica.CatchUp(master)
	master.Pause()
	t.Cleanup(master.Resume)
	sentinels.AwaitMaster(replica)
	writer := redisview.New(replica.Client(t), nil)
	session, err := writer.Acquire(t.Context(), "hot", 1, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = session.Close() })
	h.session = session
	h.put(t, "a", 2)
	h.awaitLink(t, links)
	h.keep(t, "a", 2)
	h.put(t, "a", 3)
	h.await(t, "a", 3)
}

// New connections lead to another server, as they do when Sentinels have named a
// new master, while the old one still answers.
func TestAClientCacheLeavesAMasterThatIsNoLonger(t *testing.T) {
	t.Parallel()
	first, second := redistest.Start(t), redistest.Start(t)
	var master atomic.Pointer[string]
	to := func(srv *redistest.Server) { addr := srv.Addr(); master.Store(&addr) }
	to(first)
	reader := redis.NewClient(&redis.Options{
		Addr: "FailoverClient", // as go-redis has it for Sentinels
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", *master.Load())
		},
	})
	t.Cleanup(func() { _ = reader.Close() })
	newHot(t, second.Client(t), reader, "", nil).put(t, "a", 2)
	h := newHot(t, first.Client(t), reader, "", &redisview.ClientCacheOptions{MaxStaleness: 100 * time.Millisecond})
	h.put(t, "a", 1)
	h.run(t)
	h.keep(t, "a", 1)
	links := h.cache.Stats().Connections
	to(second)
	h.awaitLink(t, links)
	h.keep(t, "a", 2)
}

// TestConformanceThroughAClientCache reads all documents over the connection of
// a cache, with the rights that the guide says are needed.
func TestConformanceThroughAClientCache(t *testing.T) {
	t.Parallel()
	rights, _ := documentedRights(t)
	rdb := redistest.Start(t).User(t, "foldstream", "secret", append(rights, cacheRights(t)...)...)
	cache := redisview.NewClientCache(rdb, nil)
	h := hot{cache: cache}
	h.run(t)
	t.Cleanup(func() { // when all has been tried
		s := cache.Stats()
		assert.Positive(t, s.Misses)
		assert.EqualValues(t, 1, s.Connections)
	})
	var used atomic.Int64
	projectiontest.RunViewStore(t, func(t *testing.T) projection.ViewStore {
		s := redisview.New(rdb, &redisview.Options{Prefix: fmt.Sprint("shop:t", used.Add(1), ":")})
		require.NoError(t, redisview.ReadThrough(s, cache))
		return upToDate{s}
	})
}

// upToDate reads documents as if after a position.
type upToDate struct{ *redisview.Store }

func (u upToDate) Documents(ctx context.Context, view, collection string, keys []string) ([][]byte, error) {
	return u.Store.Documents(eventstore.ContextAfter(ctx, 1), view, collection, keys)
}

func (u upToDate) SamePlace(other projection.ViewStore) bool {
	o, ok := other.(upToDate)
	return ok && u.Store.SamePlace(o.Store)
}

// cacheRights returns the rules that the guide says a client cache needs
// besides.
func cacheRights(t *testing.T) []string {
	t.Helper()
	return documentedRules(t, "A client cache needs `", "`")
}

func TestAServerThatCannotTrackIsRefused(t *testing.T) {
	t.Parallel()
	srv := miniredis.RunT(t)
	rdb := redis.NewClient(&redis.Options{Addr: srv.Addr()})
	t.Cleanup(func() { _ = rdb.Close() })
	err := redisview.NewClientCache(rdb, nil).Run(t.Context())
	require.Error(t, err)
	require.True(t, strings.HasPrefix(err.Error(), "redisview: client cache: "), err.Error())
}
