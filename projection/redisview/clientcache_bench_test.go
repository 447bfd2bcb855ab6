package redisview_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

type hotDocument struct {
	Customer, Status, Address string
	Total                     int64
	Items                     []string
}

// BenchmarkHotReads reads 1000 documents of about 140 bytes again and again
// with Get, from a Redis on loopback: plainly and from a client cache, by one
// caller and by 16, alone and while documents are written, one in each commit.
func BenchmarkHotReads(b *testing.B) {
	for _, cached := range []bool{false, true} {
		for _, callers := range []int{1, 16} {
			for _, writes := range []int{0, 100, 1000, 10_000} {
				name := fmt.Sprintf("cached=%v/callers=%d/writes=%d", cached, callers, writes)
				b.Run(name, func(b *testing.B) { hotReads(b, cached, callers, writes) })
			}
		}
	}
}

func hotReads(b *testing.B, cached bool, callers, writes int) {
	const documents = 1000
	rdb := redistest.Start(b).Client(b)
	opts := &redisview.CollectionOptions{PerKey: true}
	var cache *redisview.ClientCache
	if cached {
		cache = redisview.NewClientCache(rdb, nil)
		opts.ClientCache = cache
		h := hot{cache: cache}
		h.run(b)
	}
	docs := redisview.NewCollection[hotDocument](rdb, "hot", opts)
	keys := make([]string, documents)
	for i := range keys {
		keys[i] = fmt.Sprintf("order-%08d", i)
	}
	store := redisview.New(rdb, nil)
	require.NoError(b, store.CreateVersion(b.Context(), "hot", projection.VersionInfo{Number: 1, Partitions: 1, PerKey: []string{"hot"}}))
	session, err := store.Acquire(b.Context(), "hot", 1, 0)
	require.NoError(b, err)
	defer func() { _ = session.Close() }()
	require.NoError(b, store.Activate(b.Context(), "hot", 1))
	doc := hotDocument{Customer: "ada lovelace", Status: "placed", Address: "12 St James's Square, London", Total: 1815, Items: []string{"tea", "gears", "cards"}}
	data, err := codec.Msgpack.Append(nil, &doc)
	require.NoError(b, err)
	var position eventstore.Position
	write := func(keys ...string) error {
		position++
		changes := projection.DocumentChanges{Collection: "hot"}
		for _, key := range keys {
			changes.Put = append(changes.Put, projection.KeyValue{Key: key, Value: data})
		}
		return session.Commit(context.Background(), &projection.Batch{Position: position, Documents: []projection.DocumentChanges{changes}})
	}
	require.NoError(b, write(keys...))
	_, err = docs.GetMany(b.Context(), keys...)
	require.NoError(b, err)

	stop := make(chan struct{})
	var wg sync.WaitGroup
	if writes > 0 {
		wg.Go(func() {
			began := time.Now()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if ahead := time.Duration(n)*time.Second/time.Duration(writes) - time.Since(began); ahead > time.Millisecond {
					time.Sleep(ahead)
				}
				if err := write(keys[rand.IntN(documents)]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	b.SetParallelism(max(1, callers/2)) // on two cores
	b.ReportAllocs()
	b.ResetTimer()
	read := func() {
		if _, err := docs.Get(context.Background(), keys[rand.IntN(documents)]); err != nil {
			b.Error(err)
		}
	}
	if callers == 1 {
		for range b.N {
			read()
		}
	} else {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				read()
			}
		})
	}
	b.StopTimer()
	close(stop)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
	if cache != nil {
		s := cache.Stats()
		b.ReportMetric(100*float64(s.Hits)/float64(max(1, s.Hits+s.Misses)), "%hit")
	}
}
