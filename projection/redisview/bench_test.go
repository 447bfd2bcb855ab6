package redisview_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

// BenchmarkCommit commits batches of N documents of 140 bytes, out of 100,000,
// over one connection.
func BenchmarkCommit(b *testing.B) {
	const views = 100_000
	srv := redistest.Start(b)
	for _, network := range []string{"tcp", "unix"} {
		addr := map[string]string{"tcp": srv.Addr(), "unix": srv.Socket()}[network]
		rdb := redis.NewClient(&redis.Options{Addr: addr})
		b.Cleanup(func() { _ = rdb.Close() })
		store := redisview.New(rdb, &redisview.Options{Prefix: network})
		create(b, store)
		all := make([]projection.KeyValue, views)
		for i := range all {
			all[i] = projection.KeyValue{Key: fmt.Sprintf("order-%08d", i*7919%views), Value: bytes.Repeat([]byte{byte(i)}, 140)}
		}
		for _, n := range []int{1, 10, 100, 1000, 5000} {
			b.Run(fmt.Sprintf("%s/N=%d", network, n), func(b *testing.B) { commit(b, store, all, n) })
		}
	}
}

func commit(b *testing.B, store *redisview.Store, all []projection.KeyValue, n int) {
	session := acquire(b, store)
	at := session.Checkpoint().Position
	var batch projection.Batch
	batch.Documents = make([]projection.DocumentChanges, 1)
	b.ReportAllocs()
	offset := 0
	for b.Loop() {
		if offset+n > len(all) {
			offset = 0
		}
		at++
		batch.Position = at
		batch.Documents[0] = projection.DocumentChanges{Collection: "docs", Put: all[offset : offset+n]}
		offset += n
		if err := session.Commit(b.Context(), &batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "fields/s")
}

// BenchmarkDocuments reads single documents and many at once.
func BenchmarkDocuments(b *testing.B) {
	store := redisview.New(redistest.Start(b).Client(b), nil)
	create(b, store)
	session := acquire(b, store)
	var batch projection.Batch
	keys := make([]string, 1000)
	docs := projection.DocumentChanges{Collection: "docs"}
	for i := range keys {
		keys[i] = fmt.Sprintf("order-%08d", i)
		docs.Put = append(docs.Put, projection.KeyValue{Key: keys[i], Value: make([]byte, 140)})
	}
	batch.Position, batch.Documents = eventstore.Position(1), []projection.DocumentChanges{docs}
	require.NoError(b, session.Commit(b.Context(), &batch))
	require.NoError(b, store.Activate(b.Context(), view, 1))
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("N=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := store.Documents(b.Context(), view, "docs", keys[:n]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "docs/s")
		})
	}
}
