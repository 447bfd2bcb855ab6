package redisview_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

// A hot is a collection of numbers that is read through a cache, and a session
// that writes its active version without one.
type hot struct {
	prefix  string
	store   *redisview.Store // of the writer
	cache   *redisview.ClientCache
	docs    *projection.Collection[int]
	mu      sync.Mutex
	session projection.Session
	at      eventstore.Position
}

type decimal struct{}

func (decimal) Append(b []byte, v any) ([]byte, error) {
	return strconv.AppendInt(b, int64(*v.(*int)), 10), nil
}

func (decimal) Unmarshal(data []byte, v any) (err error) {
	*v.(*int), err = strconv.Atoi(string(data))
	return err
}

// newHot returns one with version 1 active, written with one client and read
// with another.
func newHot(t testing.TB, writer, reader *redis.Client, prefix string, opts *redisview.ClientCacheOptions) *hot {
	t.Helper()
	in := redisview.Options{Prefix: prefix}
	h := &hot{prefix: prefix, store: redisview.New(writer, &in), cache: redisview.NewClientCache(reader, opts)}
	h.docs = redisview.NewCollection[int](reader, "hot", &redisview.CollectionOptions{Options: in, PerKey: true, ClientCache: h.cache, Encoding: decimal{}})
	h.version(t, 1, "hot")
	return h
}

// sharedHot returns one on the package's Redis.
func sharedHot(t testing.TB, opts *redisview.ClientCacheOptions) *hot {
	t.Helper()
	rdb, prefix := redistest.Shared(t)
	return newHot(t, rdb, rdb, prefix, opts)
}

// version makes a version the one that is read and written.
func (h *hot) version(t testing.TB, n int, perKey ...string) {
	t.Helper()
	require.NoError(t, h.store.CreateVersion(t.Context(), "hot", projection.VersionInfo{Number: n, Partitions: 1, PerKey: perKey}))
	h.acquire(t, n)
	require.NoError(t, h.store.Activate(t.Context(), "hot", n))
}

func (h *hot) acquire(t testing.TB, version int) {
	t.Helper()
	session, err := h.store.Acquire(t.Context(), "hot", version, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = session.Close() })
	h.session = session
}

// run runs the cache until the test ends, or the returned function is called.
func (h *hot) run(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.cache.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		assert.NoError(t, <-done)
	})
	t.Cleanup(stop)
	h.awaitLink(t, 0)
	return stop
}

// awaitLink waits until the cache is connected, and not for the first time.
func (h *hot) awaitLink(t testing.TB, after int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		s := h.cache.Stats()
		return s.Connected && s.Connections > after
	}, 10*time.Second, time.Millisecond)
}

func (h *hot) put(t testing.TB, key string, value int) { h.putFor(t, key, value, 0) }

func (h *hot) putFor(t testing.TB, key string, value int, ttl time.Duration) {
	t.Helper()
	require.NoError(t, h.commit(value, ttl, key))
}

func (h *hot) commit(value int, ttl time.Duration, keys ...string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at++
	docs := projection.DocumentChanges{Collection: "hot", TTL: ttl}
	for _, key := range keys {
		docs.Put = append(docs.Put, projection.KeyValue{Key: key, Value: strconv.AppendInt(nil, int64(value), 10)})
	}
	return h.session.Commit(context.Background(), &projection.Batch{Position: h.at, Documents: []projection.DocumentChanges{docs}})
}

// get returns a document, -1 if there is none.
func (h *hot) get(t testing.TB, ctx context.Context, key string) int {
	t.Helper()
	n, err := h.docs.Get(ctx, key)
	if errors.Is(err, projection.ErrNotFound) {
		return -1
	}
	require.NoError(t, err)
	return n
}

// await reads until a document is what it should be: news may take its time.
func (h *hot) await(t testing.TB, key string, want int) {
	t.Helper()
	require.Eventually(t, func() bool { return h.get(t, t.Context(), key) == want }, 10*time.Second, 100*time.Microsecond)
}

// keep reads until a document is answered from memory.
func (h *hot) keep(t testing.TB, key string, want int) {
	t.Helper()
	require.Eventually(t, func() bool {
		before := h.cache.Stats().Hits
		return h.get(t, t.Context(), key) == want && h.cache.Stats().Hits > before
	}, 10*time.Second, 100*time.Microsecond)
}

func TestAClientCacheAnswersFromMemoryUntilADocumentChanges(t *testing.T) {
	t.Parallel()
	h := sharedHot(t, nil)
	h.put(t, "a", 1)
	require.Equal(t, 1, h.get(t, t.Context(), "a"))
	require.Zero(t, h.cache.Stats().Documents, "it does not run")
	require.EqualValues(t, 1, h.cache.Stats().Bypassed)
	h.run(t)
	h.keep(t, "a", 1)
	h.keep(t, "none", -1)
	before := h.cache.Stats()
	for range 100 {
		require.Equal(t, 1, h.get(t, t.Context(), "a"))
		require.Equal(t, -1, h.get(t, t.Context(), "none"))
	}
	after := h.cache.Stats()
	require.Equal(t, before.Hits+200, after.Hits)
	require.Equal(t, before.Misses, after.Misses)
	require.Equal(t, 2, after.Documents)
	require.Positive(t, after.Bytes)

	h.put(t, "a", 2)
	h.put(t, "none", 3)
	h.await(t, "a", 2)
	h.await(t, "none", 3)
	h.keep(t, "a", 2)
	require.GreaterOrEqual(t, h.cache.Stats().Invalidations, int64(2))
}

func TestAClientCacheAsksOnlyForWhatItHasNot(t *testing.T) {
	t.Parallel()
	h := sharedHot(t, nil)
	var keys []string
	for i := range 600 { // more than are asked for at once
		keys = append(keys, fmt.Sprint("k", i))
	}
	require.NoError(t, h.commit(7, 0, keys...))
	h.run(t)
	for _, want := range []int64{600, 0, 1} {
		before := h.cache.Stats()
		docs, err := h.docs.GetMany(t.Context(), append(keys, keys[0], "none")...)
		require.NoError(t, err)
		require.Len(t, docs, 600)
		require.Equal(t, 7, docs["k599"])
		after := h.cache.Stats()
		if want == 600 {
			want += 2
		}
		require.Equal(t, before.Misses+want, after.Misses)
		require.Equal(t, before.Hits+602-want, after.Hits)
		if want == 0 {
			h.put(t, "k17", 7)
			require.Eventually(t, func() bool { return h.cache.Stats().Invalidations > 0 }, 10*time.Second, time.Millisecond)
		}
	}
	docs, err := h.docs.GetMany(t.Context())
	require.NoError(t, err)
	require.Empty(t, docs)
}

func TestAClientCacheFollowsASwitchOfVersions(t *testing.T) {
	t.Parallel()
	h := sharedHot(t, nil)
	_, err := h.docs.Get(t.Context(), "a")
	require.ErrorIs(t, err, projection.ErrNotFound)
	h.put(t, "a", 1)
	h.run(t)
	h.keep(t, "a", 1)
	h.version(t, 2, "hot")
	h.await(t, "a", -1)
	h.put(t, "a", 2)
	h.await(t, "a", 2)
	h.keep(t, "a", 2)
	require.NoError(t, h.store.Activate(t.Context(), "hot", 1)) // back
	h.keep(t, "a", 1)
	require.NoError(t, h.store.DropVersion(t.Context(), "hot", 2))

	h.version(t, 3) // not stored per key
	h.put(t, "a", 3)
	h.await(t, "a", 3)
	before := h.cache.Stats().Hits
	for range 10 {
		require.Equal(t, 3, h.get(t, t.Context(), "a"))
	}
	require.Equal(t, before, h.cache.Stats().Hits, "a document in a hash is not kept")
	h.version(t, 4, "hot")
	h.put(t, "a", 4)
	h.keep(t, "a", 4)
}

func TestAClientCacheOfAViewThatIsNotBuilt(t *testing.T) {
	t.Parallel()
	rdb, prefix := redistest.Shared(t)
	h := newHot(t, rdb, rdb, prefix, nil)
	other := redisview.NewCollection[int](rdb, "other", &redisview.CollectionOptions{Options: redisview.Options{Prefix: prefix}, PerKey: true, ClientCache: h.cache})
	h.run(t)
	_, err := other.Get(t.Context(), "a")
	require.ErrorIs(t, err, projection.ErrNotBuilt)
	require.NoError(t, h.store.CreateVersion(t.Context(), "other", projection.VersionInfo{Number: 1, Partitions: 16, PerKey: []string{"other"}}))
	require.NoError(t, h.store.Activate(t.Context(), "other", 1))
	_, err = other.Get(t.Context(), "a")
	require.ErrorIs(t, err, projection.ErrNotFound)
}

// A read after a position must not be answered from before it, however late the
// news is: each round reads at once after the commit.
func TestAClientCacheNeverAnswersAReadAfterAPositionWithLess(t *testing.T) {
	t.Parallel()
	h := sharedHot(t, nil)
	h.put(t, "a", 0)
	h.run(t)
	for i := range 100 {
		h.get(t, t.Context(), "a") // is kept
		h.put(t, "a", 2*i+1)
		require.Equal(t, 2*i+1, h.get(t, eventstore.ContextAfter(t.Context(), h.at), "a"))
		require.Equal(t, 2*i+1, h.get(t, t.Context(), "a"), "a plain read after it")
		h.put(t, "a", 2*i+2)
		ctx := eventstore.ContextWithChanges(t.Context(), &eventstore.Changes{})
		require.Equal(t, 2*i+2, h.get(t, ctx, "a"), "a watched query is asked again only by the next change")
		require.Equal(t, 2*i+2, h.get(t, t.Context(), "a"))
	}
	require.Positive(t, h.cache.Stats().Hits)
}

// The server is one that tells of nothing that expires until somebody asks for
// it.
func TestAClientCacheHeedsTheTimeToLive(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t, redistest.Args("--enable-debug-command", "yes")).Client(t)
	require.NoError(t, rdb.Do(t.Context(), "debug", "set-active-expire", "0").Err())
	h := newHot(t, rdb, rdb, "", nil)
	h.run(t)
	for _, ttl := range []time.Duration{time.Millisecond, 5 * time.Millisecond, 100 * time.Millisecond} {
		h.putFor(t, "a", 1, ttl)
		written := time.Now()
		require.Eventually(t, func() bool {
			at := time.Now()
			n := h.get(t, t.Context(), "a")
			if n == 1 && at.Sub(written) > ttl+2*time.Millisecond { // Redis counts milliseconds
				t.Errorf("read %v after it was written to live for %v", at.Sub(written), ttl)
			}
			return n == -1
		}, 10*time.Second, 100*time.Microsecond)
	}
	require.Positive(t, h.cache.Stats().Hits)
	h.putFor(t, "a", 2, time.Hour)
	h.keep(t, "a", 2)
	h.putFor(t, "a", 3, 0)
	h.keep(t, "a", 3)
}

func TestAClientCacheIsBounded(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]redisview.ClientCacheOptions{
		"documents": {MaxDocuments: 8},
		"bytes":     {MaxBytes: 8 * 328},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := sharedHot(t, &opts)
			h.put(t, "hot", 1)
			h.run(t)
			for i := range 100 {
				h.keep(t, "hot", 1)
				h.get(t, t.Context(), fmt.Sprint("cold", i))
				s := h.cache.Stats()
				if opts.MaxDocuments > 0 {
					require.LessOrEqual(t, s.Documents, opts.MaxDocuments)
				} else {
					require.LessOrEqual(t, s.Bytes, opts.MaxBytes)
				}
			}
			s := h.cache.Stats()
			require.Greater(t, s.Evictions, int64(80))
			require.LessOrEqual(t, s.Misses, int64(100+2), "what is used stays")
		})
	}
}

func TestClientCachesDoNotOutliveRun(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	rdb := srv.Client(t)
	h := newHot(t, rdb, rdb, "", nil)
	h.put(t, "a", 1)
	tracked := func() int64 {
		info, err := rdb.InfoMap(t.Context(), "clients").Result()
		require.NoError(t, err)
		n, err := strconv.ParseInt(info["Clients"]["tracking_clients"], 10, 64)
		require.NoError(t, err)
		return n
	}
	for range 3 {
		stop := h.run(t)
		h.keep(t, "a", 1)
		require.EqualValues(t, 1, tracked())
		require.ErrorIs(t, h.cache.Run(t.Context()), projection.ErrRunning)
		stop()
		require.False(t, h.cache.Stats().Connected)
		require.Zero(t, h.cache.Stats().Documents)
		require.Eventually(t, func() bool { return tracked() == 0 }, 10*time.Second, time.Millisecond)
		require.Equal(t, 1, h.get(t, t.Context(), "a"))
	}
}

func TestAClientCacheThatCannotBeSaysWhy(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	cache := redisview.NewClientCache(rdb, nil)
	read := func(rdb redis.UniversalClient, opts redisview.CollectionOptions) error {
		_, err := redisview.NewCollection[int](rdb, "hot", &opts).Get(t.Context(), "a")
		return err
	}
	require.ErrorContains(t, read(rdb, redisview.CollectionOptions{ClientCache: cache}), "needs PerKey")
	other := redis.NewClient(rdb.Options())
	t.Cleanup(func() { _ = other.Close() })
	require.ErrorContains(t, read(other, redisview.CollectionOptions{PerKey: true, ClientCache: cache}), "another Redis client")

	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{rdb.Options().Addr}})
	t.Cleanup(func() { _ = cluster.Close() })
	none := redisview.NewClientCache(cluster, nil)
	require.ErrorContains(t, none.Run(t.Context()), "*redis.ClusterClient: pass a *redis.Client")
	require.ErrorContains(t, read(cluster, redisview.CollectionOptions{PerKey: true, ClientCache: none}), "*redis.ClusterClient")

	require.NoError(t, rdb.Do(t.Context(), "acl", "setuser", "default", "-client|tracking").Err())
	require.ErrorContains(t, cache.Run(t.Context()), "client|tracking")
}
