package projection_test

import (
	"context"
	"errors"
	"math"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/memview"
)

func TestAPoisonEventParksItsStreamAndOthersGoOn(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		var mended atomic.Bool
		bad := projection.On(s.summaries, func(sum summary, e paid, m projection.Meta) (summary, error) {
			if e.Cents == 13 && !mended.Load() {
				return sum, errBroken
			}
			return sum, nil
		})
		r := projection.NewRunner(s.store, nil, s.projection(bad))
		stop := start(t, r)
		put(t, s.store, "order-a", placed{Customer: "ada"}, paid{Cents: 1}, paid{Cents: 13}, paid{Cents: 2})
		put(t, s.store, "order-b", placed{Customer: "bob"}, paid{Cents: 7})
		put(t, s.store, "order-a", paid{Cents: 3})
		require.NoError(t, r.WaitLevel(t.Context()))

		a, err := s.summaries.Get(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, summary{Customer: "ada", Cents: 1, Events: 2, Version: 2}, a, "what the poison event did before it failed must be undone")
		b, err := s.summaries.Get(t.Context(), "b")
		require.NoError(t, err)
		assert.Equal(t, int64(7), b.Cents)

		parked, err := r.Parked(t.Context(), "shop")
		require.NoError(t, err)
		require.Len(t, parked, 1)
		assert.Equal(t, "order-a", parked[0].Stream)
		assert.Equal(t, errBroken.Error(), parked[0].Error)
		require.Len(t, parked[0].Events, 3)
		assert.Equal(t, eventstore.Version(3), parked[0].Events[0].Version)
		assert.Equal(t, int64(3), status(t, r).Parked)

		err = r.RetryParked(t.Context(), "shop", "order-a")
		require.ErrorIs(t, err, errBroken)
		require.NoError(t, stop()) // what is parked outlives the process

		r = projection.NewRunner(s.store, nil, s.projection(bad))
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		put(t, s.store, "order-a", paid{Cents: 4})
		require.NoError(t, r.WaitLevel(t.Context()))
		mended.Store(true)
		require.NoError(t, r.RetryParked(t.Context(), "shop", "order-a"))
		put(t, s.store, "order-a", paid{Cents: 5})
		require.NoError(t, r.WaitLevel(t.Context()))
		a, err = s.summaries.Get(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, summary{Customer: "ada", Cents: 1 + 13 + 2 + 3 + 4 + 5, Events: 7, Version: 7}, a, "retried in order, before newer events")
		parked, err = r.Parked(t.Context(), "shop")
		require.NoError(t, err)
		assert.Empty(t, parked)
		assert.Zero(t, status(t, r).Parked)
	})
}

func TestDroppingGivesUpTheFirstParkedEventOnly(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		bad := projection.On(s.summaries, func(sum summary, e paid, _ projection.Meta) (summary, error) {
			if e.Cents == 13 {
				panic("unlucky")
			}
			return sum, nil
		})
		loose := projection.New("shop", events, projection.On(s.summaries, summary.placed), bad,
			projection.On(s.summaries, func(sum summary, e paid, _ projection.Meta) (summary, error) {
				sum.Cents += e.Cents
				return sum, nil
			}))
		r := projection.NewRunner(s.store, nil, loose)
		start(t, r)
		put(t, s.store, "order-a", placed{Customer: "ada"}, paid{Cents: 13}, paid{Cents: 2}, paid{Cents: 13}, paid{Cents: 4})
		require.NoError(t, r.WaitLevel(t.Context()))
		parked, err := r.Parked(t.Context(), "shop")
		require.NoError(t, err)
		require.Len(t, parked, 1)
		assert.Contains(t, parked[0].Error, "unlucky", "a panic is poison, not a crash")

		require.ErrorContains(t, r.DropParked(t.Context(), "shop", "order-a"), "unlucky") // the second one
		a, err := s.summaries.Get(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, int64(2), a.Cents)
		require.NoError(t, r.DropParked(t.Context(), "shop", "order-a"))
		a, err = s.summaries.Get(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, int64(6), a.Cents)
	})
}

func TestAnEventThatCannotBeDecodedIsParkedAndRetried(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		r := projection.NewRunner(s.store, nil, s.projection())
		start(t, r)
		_, err := s.store.Append(t.Context(), "order-x", eventstore.Any, eventstore.Event{Type: "order.placed", ContentType: eventstore.ContentTypeMsgpack, Data: []byte{0xC1}})
		require.NoError(t, err)
		put(t, s.store, "order-y", placed{Customer: "yves", SKUs: []string{"tea"}})
		require.NoError(t, r.WaitLevel(t.Context()))
		_, err = s.summaries.Get(t.Context(), "y")
		require.NoError(t, err)
		parked, err := r.Parked(t.Context(), "shop")
		require.NoError(t, err)
		assert.Len(t, parked, 16, "which keys it touches is unknown, so it is parked in every partition")
		require.Error(t, r.RetryParked(t.Context(), "shop", "order-x"))
		require.NoError(t, r.DropParked(t.Context(), "shop", "order-x"))
		parked, err = r.Parked(t.Context(), "shop")
		require.NoError(t, err)
		assert.Empty(t, parked)
	})
}

func TestAnEventChangesAllOrNothingOfAPartition(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		one := &projection.Options{Partitions: 1}
		r := projection.NewRunner(s.store, one, s.projection(
			projection.OnCount(s.sales, func(e paid, _ projection.Meta) []projection.Delta {
				return []projection.Delta{{Key: "cents", By: e.Cents}, {Key: "payments", By: 1}, {Key: "cents", By: e.Cents}}
			}),
			projection.OnIndex(s.customers, func(e paid, m projection.Meta) []projection.Entry {
				entries := []projection.Entry{{Key: "payments", Member: strconv.FormatUint(uint64(m.Version), 10), Score: 1}}
				if e.Cents == 666 {
					entries = append(entries, projection.Entry{Key: "payments", Member: "2", Score: 5}, projection.Entry{Key: "payments", Member: "bad", Score: math.NaN()})
				}
				return entries
			})))
		start(t, r)
		put(t, s.store, "order-a", placed{Customer: "ada"}, paid{Cents: math.MaxInt64 / 2})
		put(t, s.store, "order-b", placed{Customer: "bob"}, paid{Cents: 1}) // would overflow
		put(t, s.store, "order-c", placed{Customer: "eve"}, paid{Cents: 666})
		require.NoError(t, r.WaitLevel(t.Context()))
		cents, err := s.sales.Get(t.Context(), "cents")
		require.NoError(t, err)
		assert.Equal(t, int64(math.MaxInt64-1), cents)
		payments, err := s.sales.Get(t.Context(), "payments")
		require.NoError(t, err)
		assert.Equal(t, int64(1), payments, "a counter that was raised before the event failed must go back")
		members, err := s.customers.Range(t.Context(), "payments", projection.Range{})
		require.NoError(t, err)
		assert.Equal(t, []projection.Member{{Member: "2", Score: 1}}, members)
		b, err := s.summaries.Get(t.Context(), "b")
		require.NoError(t, err)
		assert.Zero(t, b.Cents)
		assert.Equal(t, int64(2), status(t, r).Parked)
	})
}

func TestTooManyParkedEventsStopTheProjectionButNotOthers(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		sick := projection.NewCounters(s.views, "sick", nil)
		p := projection.New("sick", events, projection.OnCount(sick, func(placed, projection.Meta) []projection.Delta { panic("no") }))
		r := projection.NewRunner(s.store, &projection.Options{MaxParked: 20}, p, s.projection())
		stop := start(t, r)
		fill(t, s.store, 0, 30)
		require.NoError(t, r.WaitLevel(t.Context(), "shop"))
		s.check(t, 30)
		synctest.Wait()
		all, err := r.Status(t.Context())
		require.NoError(t, err)
		assert.Equal(t, projection.StateFailed, all[0].State)
		require.ErrorIs(t, all[0].Err, projection.ErrTooManyParked)
		assert.NotZero(t, all[0].Lag)
		assert.Equal(t, projection.StateLive, all[1].State)
		require.ErrorIs(t, r.WaitLevel(t.Context(), "sick"), projection.ErrTooManyParked)
		require.ErrorIs(t, stop(), projection.ErrTooManyParked)
	})
}

// flaky fails every nth commit, half of them after the commit has happened.
type flaky struct {
	projection.ViewStore
	every int64
	n     atomic.Int64
}

type flakySession struct {
	projection.Session
	f *flaky
}

func (f *flaky) Acquire(ctx context.Context, view string, version, partition int) (projection.Session, error) {
	s, err := f.ViewStore.Acquire(ctx, view, version, partition)
	return flakySession{s, f}, err
}

var errNetwork = errors.New("connection reset")

func (s flakySession) Commit(ctx context.Context, b *projection.Batch) error {
	n := s.f.n.Add(1)
	if n%s.f.every != 0 {
		return s.Session.Commit(ctx, b)
	}
	if n%(2*s.f.every) == 0 {
		if err := s.Session.Commit(ctx, b); err != nil {
			return err
		}
	}
	return errNetwork
}

func TestLostAnswersOfTheViewStoreNeitherLoseNorDouble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(nil)
		s := newShop(store, &flaky{ViewStore: memview.New(), every: 23})
		r := projection.NewRunner(store, &projection.Options{BatchEvents: 5}, s.projection())
		stop := start(t, r)
		for i := range 20 {
			fill(t, store, i*50, 50)
			synctest.Wait()
			time.Sleep(100 * time.Millisecond)
		}
		require.NoError(t, r.WaitLevel(t.Context()))
		s.check(t, 1000)
		st := status(t, r)
		assert.Greater(t, st.Retries, 10)
		require.ErrorIs(t, st.Err, errNetwork)
		require.NoError(t, stop())
	})
}

// thief takes every partition over without asking for a lease, as a process
// does whose clock or network is wrong.
func TestAStolenPartitionIsTakenBackWithoutLossOrDouble(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		r := projection.NewRunner(s.store, nil, s.projection())
		start(t, r)
		for i := range 10 {
			fill(t, s.store, i*20, 10)
			require.NoError(t, r.WaitLevel(t.Context()))
			for partition := range 16 {
				_, err := s.views.Acquire(t.Context(), "shop", 1, partition)
				require.NoError(t, err)
			}
			fill(t, s.store, i*20+10, 10)
			require.NoError(t, r.WaitLevel(t.Context()))
		}
		s.check(t, 200)
		require.ErrorIs(t, status(t, r).Err, projection.ErrFenced)
	})
}

func TestAPartitionBuiltFromNothingNeedsNoLoads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(nil)
		fill(t, store, 0, 100)
		views := &counting{ViewStore: memview.New()}
		s := newShop(store, views)
		r := projection.NewRunner(store, nil, s.projection())
		stop := start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.NoError(t, stop())
		s.check(t, 100)
		assert.Zero(t, views.loads.Load())
		r = projection.NewRunner(store, nil, s.projection())
		start(t, r)
		fill(t, store, 100, 100)
		require.NoError(t, r.WaitLevel(t.Context()))
		s.check(t, 200)
		assert.NotZero(t, views.loads.Load())
	})
}

type counting struct {
	projection.ViewStore
	loads atomic.Int64
}

type countingSession struct {
	projection.Session
	c *counting
}

func (c *counting) Acquire(ctx context.Context, view string, version, partition int) (projection.Session, error) {
	s, err := c.ViewStore.Acquire(ctx, view, version, partition)
	return countingSession{s, c}, err
}

func (s countingSession) Documents(ctx context.Context, collection string, keys []string) ([][]byte, error) {
	s.c.loads.Add(1)
	return s.Session.Documents(ctx, collection, keys)
}
