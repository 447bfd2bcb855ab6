package logstore_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

// loaded returns a store of events of 200 bytes that lie scattered over streams.
func loaded(b *testing.B, events, streams int) *logstore.Store {
	b.Helper()
	s := open(b, b.TempDir(), &logstore.Options{Sync: logstore.SyncNever, SegmentSize: 64 << 20})
	rnd := rand.New(rand.NewPCG(1, 2))
	meta := eventstore.NewMetadata("$correlationId", eventstore.NewID().String(), "$causationId", eventstore.NewID().String(), "command_id", eventstore.NewID().String())
	data := make([]byte, 200)
	for i := range events {
		e := eventstore.Event{Type: "order.placed", ContentType: eventstore.ContentTypeMsgpack, Metadata: meta, Data: data}
		_, err := s.Append(b.Context(), fmt.Sprintf("order-%08d", rnd.IntN(streams)), eventstore.Any, e)
		require.NoError(b, err)
		_ = i
	}
	s.Sealed()
	return s
}

func BenchmarkReadAll(b *testing.B) {
	const n = 400_000
	s := loaded(b, n, 20_000)
	b.SetBytes(s.Stats().Bytes)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		k := 0
		for _, err := range s.ReadAll(b.Context(), eventstore.ReadAllOptions{}) {
			if err != nil {
				b.Fatal(err)
			}
			k++
		}
		require.Equal(b, n, k)
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkReadStream(b *testing.B) {
	const streams = 20_000
	s := loaded(b, 20*streams, streams)
	rnd := rand.New(rand.NewPCG(3, 4))
	b.ReportAllocs()
	b.ResetTimer()
	events := 0
	for range b.N {
		for _, err := range s.Read(b.Context(), fmt.Sprintf("order-%08d", rnd.IntN(streams)), eventstore.ReadOptions{}) {
			if err != nil {
				b.Fatal(err)
			}
			events++
		}
	}
	b.ReportMetric(float64(events)/float64(b.N), "events/op")
}
