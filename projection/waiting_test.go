package projection_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/memview"
)

// looks counts how often the checkpoints of all partitions are asked for.
type looks struct {
	projection.ViewStore
	n atomic.Int64
}

func (l *looks) Checkpoints(ctx context.Context, view string, version int) ([]projection.Checkpoint, error) {
	l.n.Add(1)
	return l.ViewStore.Checkpoints(ctx, view, version)
}

// In the process that follows the view a waiter is woken by its commit; in
// others one of all waiters asks for all of them.
func TestTenThousandWaitersAreCheap(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"here", "elsewhere"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store, views := memstore.New(nil), memview.New()
				s, reader := newShop(store, views), &looks{ViewStore: views}
				summaries := s.summaries
				if where == "elsewhere" {
					summaries = newShop(store, reader).summaries
				}
				r := projection.NewRunner(store, nil, s.projection())
				start(t, r)
				require.NoError(t, r.WaitLevel(t.Context()))
				const waiters = 10_000
				var wg sync.WaitGroup
				var early, failed atomic.Int64
				for i := range waiters {
					wg.Go(func() {
						id := i / 2
						ctx, cancel := context.WithTimeout(eventstore.ContextAfter(t.Context(), eventstore.Position(i+1)), time.Minute)
						defer cancel()
						doc, err := summaries.Get(ctx, strconv.Itoa(id))
						if err != nil {
							failed.Add(1)
						} else if doc.Version < uint64(1+i%2) {
							early.Add(1)
						}
					})
				}
				synctest.Wait()
				began := time.Now()
				for i := range waiters / 2 {
					put(t, store, "order-"+strconv.Itoa(i), placed{})
					put(t, store, "order-"+strconv.Itoa(i), paid{Cents: 1})
					if i%100 == 0 {
						time.Sleep(time.Millisecond)
					}
				}
				wg.Wait()
				assert.Zero(t, early.Load())
				assert.Zero(t, failed.Load())
				assert.Less(t, time.Since(began), time.Second)
				assert.Less(t, reader.n.Load(), int64(100), "one asks for all")
			})
		})
	}
}

func TestADocumentIsJudgedByTheVersionOfItsStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		views := memview.New()
		docs := projection.NewCollection[summary](views, "docs", codec.Msgpack, nil).
			VersionBy("order", func(s summary) eventstore.Version { return eventstore.Version(s.Version) })
		require.NoError(t, views.CreateVersion(t.Context(), "docs", projection.VersionInfo{Number: 1, Partitions: 1}))
		require.NoError(t, views.Activate(t.Context(), "docs", 1))
		session, err := views.Acquire(t.Context(), "docs", 1, 0)
		require.NoError(t, err)
		data, err := codec.Msgpack.Append(nil, &summary{Version: 3})
		require.NoError(t, err)
		require.NoError(t, session.Commit(t.Context(), &projection.Batch{Position: 5, Documents: []projection.DocumentChanges{
			{Collection: "docs", Put: []projection.KeyValue{{Key: "1", Value: data}, {Key: "odd", Value: []byte{0xC1}}}},
		}}))

		get := func(key string, receipts ...eventstore.Receipt) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := docs.Get(afterAll(ctx, receipts), key)
			return err
		}
		late := func(err error) bool { return errors.Is(err, eventstore.ErrNotCaughtUp) }
		require.NoError(t, get("1", eventstore.Receipt{Stream: "order-1", Version: 3, Position: 9}), "it has the event, whatever the checkpoint says")
		require.NoError(t, get("1", eventstore.Receipt{Stream: "order-1", Version: 2, Position: 9}))
		require.NoError(t, get("1", eventstore.Receipt{Stream: "x-2", Position: 8}, eventstore.Receipt{Stream: "order-1", Version: 3, Position: 9}), "what came before under the key is there")
		require.NoError(t, get("1", eventstore.Receipt{Stream: "order-1", Version: 4, Position: 5}), "the position is reached: the event was none for it")
		for name, receipts := range map[string][]eventstore.Receipt{
			"not there yet":    {{Stream: "order-1", Version: 4, Position: 9}},
			"another category": {{Stream: "cart-1", Version: 3, Position: 9}},
			"another id":       {{Stream: "order-2", Version: 3, Position: 9}},
			"position only":    {{Position: 9}},
			"a later event":    {{Stream: "order-1", Version: 3, Position: 9}, {Stream: "x-2", Version: 1, Position: 10}},
		} {
			assert.True(t, late(get("1", receipts...)), name)
		}
		assert.True(t, late(get("none", eventstore.Receipt{Stream: "order-none", Version: 1, Position: 9})))
		assert.True(t, late(get("odd", eventstore.Receipt{Stream: "order-odd", Version: 1, Position: 9})))
	})
}

func afterAll(ctx context.Context, receipts []eventstore.Receipt) context.Context {
	if len(receipts) == 0 {
		return ctx
	}
	return afterAll(eventstore.ContextAfterReceipt(ctx, receipts[0]), receipts[1:])
}
