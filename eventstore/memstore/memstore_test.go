package memstore_test

import (
	"context"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/eventstoretest"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	eventstoretest.Suite{
		Open:           func(*testing.T) eventstore.Store { return memstore.New(nil) },
		DensePositions: true,
		Conditional:    true,
		ContentTypes:   true,
	}.Run(t)
}

func BenchmarkStore(b *testing.B) {
	eventstoretest.Benchmark(b, func(*testing.B) eventstore.Store { return memstore.New(nil) })
}

// A waiting subscription counts as idle in a synctest bubble, and the store's
// clock is that of the bubble.
func TestWorksInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New(nil)
		ctx, cancel := context.WithCancel(t.Context())
		var one, all []eventstore.Version
		var wg sync.WaitGroup
		wg.Go(func() { follow(t, &one, s.Subscribe(ctx, "a-1", eventstore.SubscribeOptions{})) })
		wg.Go(func() { follow(t, &all, s.SubscribeAll(ctx, eventstore.SubscribeAllOptions{})) })
		for v := eventstore.Version(1); v <= 3; v++ {
			synctest.Wait()
			require.Len(t, one, int(v)-1)
			require.Len(t, all, int(v)-1)
			_, err := s.Append(ctx, "a-1", eventstore.Exact(v-1), eventstore.Event{Type: "t"})
			require.NoError(t, err)
		}
		_, err := s.SetStreamMetadata(ctx, "a-1", eventstore.Any, eventstore.StreamMetadata{MaxAge: time.Minute})
		require.NoError(t, err)
		time.Sleep(2 * time.Minute) // fake
		for range s.Read(ctx, "a-1", eventstore.ReadOptions{}) {
			t.Error("every event has expired")
		}
		cancel()
		wg.Wait()
	})
}

func follow(t *testing.T, seen *[]eventstore.Version, seq iter.Seq2[eventstore.Message, error]) {
	for m, err := range seq {
		if err != nil {
			assert.ErrorIs(t, err, context.Canceled)
			return
		}
		if m.Kind == eventstore.MessageEvent {
			*seen = append(*seen, m.Event.Version)
		}
	}
}
