package redisview_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/internal/proxytest"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

// A load has documents written that only grow, and read by many, of whom nobody
// may see one smaller than anybody had seen before the read began.
type load struct {
	h      *hot
	keys   []string
	floors []atomic.Int64 // the most that was ever seen, by key
	acked  []atomic.Int64 // the most that was ever written, by key
	stop   chan struct{}
	wg     sync.WaitGroup
	reads  atomic.Int64
	failed atomic.Int64
}

func newLoad(h *hot, keys int) *load {
	l := &load{h: h, floors: make([]atomic.Int64, keys), acked: make([]atomic.Int64, keys), stop: make(chan struct{})}
	for i := range keys {
		l.keys = append(l.keys, fmt.Sprint("k", i))
	}
	return l
}

func (l *load) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

func raise(a *atomic.Int64, n int64) {
	for {
		old := a.Load()
		if old >= n || a.CompareAndSwap(old, n) {
			return
		}
	}
}

// read reads until the load is stopped: one key or several, sometimes after a
// position. Errors count only if mayFail is not set.
func (l *load) read(t *testing.T, mayFail bool) {
	floors := make([]int64, len(l.keys))
	for n := 0; !l.stopped(); n++ {
		first := rand.IntN(len(l.keys))
		keys := l.keys[first : first+1]
		if n%8 == 0 {
			keys = l.keys[first:]
		}
		for i := range keys {
			floors[first+i] = l.floors[first+i].Load()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		if n%16 == 3 { // what was acknowledged must be there
			for i := range keys {
				floors[first+i] = max(floors[first+i], l.acked[first+i].Load())
			}
			ctx = eventstore.ContextWithChanges(ctx, &eventstore.Changes{})
		}
		docs, err := l.h.docs.GetMany(ctx, keys...)
		cancel()
		if err != nil {
			l.failed.Add(1)
			if !mayFail {
				t.Errorf("read of %v: %v", keys, err)
				return
			}
			continue
		}
		l.reads.Add(1)
		for i, key := range keys {
			got := int64(docs[key])
			if got < floors[first+i] {
				t.Errorf("read %d of %s after %d", got, key, floors[first+i])
				return
			}
			raise(&l.floors[first+i], got)
		}
	}
}

// run runs readers until write has returned.
func (l *load) run(t *testing.T, readers int, mayFail bool, write func()) {
	for range readers {
		l.wg.Go(func() { l.read(t, mayFail) })
	}
	write()
	close(l.stop)
	l.wg.Wait()
}

// write writes one key, or all of them in one step.
func (l *load) write(t *testing.T, value int) {
	first, n := value%len(l.keys), 1
	if value%5 == 0 {
		first, n = 0, len(l.keys)
	}
	require.NoError(t, l.h.commit(value, 0, l.keys[first:first+n]...))
	for i := range n {
		raise(&l.acked[first+i], int64(value))
	}
}

func (l *load) requireLast(t *testing.T) {
	t.Helper()
	for i, key := range l.keys {
		l.h.keep(t, key, int(l.acked[i].Load()))
	}
}

func TestNobodySeesAnOlderDocumentInAClientCacheUnderLoad(t *testing.T) {
	t.Parallel()
	for _, entries := range []int{0, 2} { // or so few that they are always replaced
		t.Run(fmt.Sprint(entries), func(t *testing.T) {
			t.Parallel()
			h := sharedHot(t, &redisview.ClientCacheOptions{MaxDocuments: entries})
			l := newLoad(h, 4)
			h.run(t)
			l.run(t, 8, false, func() {
				for i := range 2000 {
					l.write(t, i+1)
				}
			})
			l.requireLast(t)
			s := h.cache.Stats()
			require.Positive(t, s.Hits)
			require.Positive(t, s.Invalidations)
			require.Zero(t, s.Bypassed)
			require.EqualValues(t, 1, s.Connections)
		})
	}
}

func TestNobodySeesAnOlderDocumentWhenConnectionsAreCut(t *testing.T) {
	t.Parallel()
	h, proxy := proxiedHot(t, nil)
	l := newLoad(h, 4)
	h.run(t)
	l.run(t, 8, true, func() {
		for i := range 40 {
			for j := range 25 {
				l.write(t, i*25+j+1)
			}
			if i%2 == 0 {
				before := h.cache.Stats().Connections
				proxy.Cut()
				if i%4 == 0 {
					h.awaitLink(t, before)
				}
			}
		}
	})
	h.awaitLink(t, 10)
	l.requireLast(t)
	s := h.cache.Stats()
	require.Positive(t, s.Hits)
	require.Positive(t, s.Bypassed)
	require.Positive(t, l.reads.Load())
}

// A read that began without a connection of the cache ends when there is one,
// and has seen what the cache has not been told of yet.
func TestAReadPastTheCacheIsNotAheadOfIt(t *testing.T) {
	t.Parallel()
	h, proxy := proxiedHot(t, nil)
	h.put(t, "a", 1)
	require.Equal(t, 1, h.get(t, t.Context(), "a"))
	held, release := make(chan struct{}, 1), make(chan struct{})
	proxy.At(func(request []byte) proxytest.Fault {
		if bytes.Contains(request, []byte("mget")) { // the cache itself shouts
			held <- struct{}{}
			<-release
		}
		return proxytest.None
	})
	read := make(chan int, 1)
	go func() {
		n, _ := h.docs.Get(context.Background(), "a")
		read <- n
	}()
	<-held
	h.run(t)
	h.keep(t, "a", 1)
	proxy.Delay(300 * time.Millisecond)
	h.put(t, "a", 2)
	for range 20 { // by then the news is in the proxy
		require.Equal(t, 2, lastOf(t, h))
	}
	proxy.Delay(0)
	close(release)
	seen := <-read // either is right, if only it does not go back
	require.GreaterOrEqual(t, h.get(t, t.Context(), "a"), seen)
	require.Positive(t, seen)
}

// proxiedHot returns one that is read through a proxy, and written without.
func proxiedHot(t *testing.T, opts *redisview.ClientCacheOptions) (*hot, *proxytest.Proxy) {
	t.Helper()
	rdb, prefix := redistest.Shared(t)
	proxy := proxytest.Start(t, rdb.Options().Addr)
	reader := redis.NewClient(&redis.Options{Addr: proxy.Addr()})
	t.Cleanup(func() { _ = reader.Close() })
	return newHot(t, rdb, reader, prefix, opts), proxy
}

// News that comes late, and answers that come in pieces, change nothing but how
// old things are.
func TestNobodySeesAnOlderDocumentOnASlowConnection(t *testing.T) {
	t.Parallel()
	for name, slow := range map[string]func(*proxytest.Proxy){
		"late":      func(p *proxytest.Proxy) { p.Delay(2 * time.Millisecond) },
		"in pieces": func(p *proxytest.Proxy) { p.Trickle(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, proxy := proxiedHot(t, nil)
			l := newLoad(h, 4)
			h.run(t)
			slow(proxy)
			l.run(t, 4, false, func() {
				for i := range 500 {
					l.write(t, i+1)
				}
			})
			l.requireLast(t)
			require.Positive(t, h.cache.Stats().Hits)
		})
	}
}

// Versions are built beside the active one and switched to while documents are
// read. Each has larger numbers than the one before.
func TestNobodySeesAnOlderVersionThroughAClientCache(t *testing.T) {
	t.Parallel()
	h := sharedHot(t, nil)
	l := newLoad(h, 4)
	require.NoError(t, h.commit(0, 0, l.keys...))
	h.run(t)
	l.run(t, 8, false, func() {
		for version := 2; version <= 20; version++ {
			require.NoError(t, h.store.CreateVersion(t.Context(), "hot", projection.VersionInfo{Number: version, Partitions: 1, PerKey: []string{"hot"}}))
			h.acquire(t, version)
			require.NoError(t, h.commit(version*1000, 0, l.keys...))
			require.NoError(t, h.store.Activate(t.Context(), "hot", version))
			for i := range l.keys {
				raise(&l.acked[i], int64(version*1000))
			}
			require.NoError(t, h.store.DropVersion(t.Context(), "hot", version-1))
			for i := range 20 {
				l.write(t, version*1000+i)
			}
		}
	})
	l.requireLast(t)
}
