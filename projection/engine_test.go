package projection_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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

// A small shop: orders of a customer with lines of goods.
type (
	placed struct {
		Customer string
		SKUs     []string
	}
	paid   struct{ Cents int64 }
	closed struct{}
)

var events = codec.New(
	codec.Type[placed]("order.placed"),
	codec.Type[paid]("order.paid"),
	codec.Type[closed]("order.closed"),
)

type summary struct {
	Customer string
	Cents    int64
	Events   int
	Version  uint64
}

func (s summary) placed(e placed, m projection.Meta) (summary, error) {
	return summary{Customer: e.Customer, Events: s.Events + 1, Version: uint64(m.Version)}, nil
}

func (s summary) paid(e paid, m projection.Meta) (summary, error) {
	if uint64(m.Version) != s.Version+1 {
		return s, fmt.Errorf("version %d after %d", m.Version, s.Version)
	}
	s.Cents += e.Cents
	s.Events++
	s.Version = uint64(m.Version)
	return s, nil
}

func (s summary) closed(closed, projection.Meta) (summary, error) {
	return s, projection.ErrDeleteDocument
}

// shop is one view of all kinds over a store.
type shop struct {
	store     eventstore.Store
	views     projection.ViewStore
	summaries *projection.Collection[summary]
	customers *projection.Index
	sales     *projection.Counters
}

func newShop(store eventstore.Store, views projection.ViewStore) *shop {
	in := &projection.TargetOptions{View: "shop"}
	return &shop{
		store: store, views: views,
		summaries: projection.NewCollection[summary](views, "summary", codec.Msgpack, in),
		customers: projection.NewIndex(views, "by-customer", in),
		sales:     projection.NewCounters(views, "sales", in),
	}
}

func (s *shop) projection(more ...projection.Part) *projection.Projection {
	return projection.New("shop", events, append([]projection.Part{
		projection.On(s.summaries, summary.placed),
		projection.On(s.summaries, summary.paid),
		projection.On(s.summaries, summary.closed),
		projection.OnIndex(s.customers, func(e placed, m projection.Meta) []projection.Entry {
			return []projection.Entry{{Key: e.Customer, Member: m.ID, Score: float64(m.Position)}}
		}),
		projection.OnCount(s.sales, func(e placed, _ projection.Meta) []projection.Delta {
			deltas := make([]projection.Delta, len(e.SKUs))
			for i, sku := range e.SKUs {
				deltas[i] = projection.Delta{Key: sku, By: 1}
			}
			return deltas
		}),
	}, more...)...)
}

func put(t testing.TB, store eventstore.Store, stream string, values ...any) eventstore.Receipt {
	t.Helper()
	batch := make([]eventstore.Event, len(values))
	for i, v := range values {
		e, err := events.Encode(v)
		require.NoError(t, err)
		batch[i] = e
	}
	r, err := store.Append(t.Context(), stream, eventstore.Any, batch...)
	require.NoError(t, err)
	return r
}

// fill appends n orders with two payments each.
func fill(t testing.TB, store eventstore.Store, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		put(t, store, "order-"+strconv.Itoa(i), placed{Customer: "c" + strconv.Itoa(i%7), SKUs: []string{"tea", "s" + strconv.Itoa(i%5)}})
		put(t, store, "order-"+strconv.Itoa(i), paid{Cents: 5}, paid{Cents: int64(i)})
	}
}

// check compares the view with what fill appended.
func (s *shop) check(t testing.TB, n int) {
	t.Helper()
	ctx := t.Context()
	perCustomer := map[string]int{}
	for i := range n {
		got, err := s.summaries.Get(ctx, strconv.Itoa(i))
		require.NoError(t, err)
		require.Equal(t, summary{Customer: "c" + strconv.Itoa(i%7), Cents: int64(5 + i), Events: 3, Version: 3}, got)
		perCustomer["c"+strconv.Itoa(i%7)]++
	}
	for c, want := range perCustomer {
		got, err := s.customers.Range(ctx, c, projection.Range{})
		require.NoError(t, err)
		require.Len(t, got, want)
	}
	tea, err := s.sales.Get(ctx, "tea")
	require.NoError(t, err)
	require.Equal(t, int64(n), tea)
	top, err := s.sales.Top(ctx, 1)
	require.NoError(t, err)
	require.Equal(t, []projection.Count{{Key: "tea", Value: int64(n)}}, top)
}

// start runs r until the test, or the returned function, ends it.
func start(t testing.TB, r *projection.Runner) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	var result error
	var stopped bool
	stop = func() error {
		cancel()
		if !stopped {
			result, stopped = <-done, true
		}
		return result
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

// bubble runs a test in virtual time. memview and memstore are all it needs.
func bubble(t *testing.T, f func(t *testing.T, s *shop)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { f(t, newShop(memstore.New(nil), memview.New())) })
}

func TestViewsFollowAndStopCleanly(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		fill(t, s.store, 0, 50)
		r := projection.NewRunner(s.store, nil, s.projection())
		stop := start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		s.check(t, 50)
		fill(t, s.store, 50, 50)
		require.NoError(t, r.WaitLevel(t.Context(), "shop"))
		s.check(t, 100)

		head, err := s.store.Head(t.Context())
		require.NoError(t, err)
		st := status(t, r)
		assert.Equal(t, projection.StateLive, st.State)
		assert.Equal(t, head, st.Position)
		assert.Zero(t, st.Lag)
		assert.Equal(t, int64(300), st.Events, "an event that touches several partitions is one event")

		require.NoError(t, stop())
		assert.Equal(t, projection.StateStopped, status(t, r).State)
		checkpoints, err := s.views.Checkpoints(t.Context(), "shop", 1)
		require.NoError(t, err)
		for _, ck := range checkpoints {
			assert.Equal(t, head, ck.Position, "a clean stop leaves nothing to be read again")
		}
	})
}

func status(t testing.TB, r *projection.Runner) projection.Status {
	t.Helper()
	all, err := r.Status(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 1)
	return all[0]
}

func TestRestartGoesOnWhereItStopped(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		for i := range 10 {
			fill(t, s.store, i*10, 10)
			r := projection.NewRunner(s.store, nil, s.projection())
			stop := start(t, r)
			require.NoError(t, r.WaitLevel(t.Context()))
			require.NoError(t, stop())
			s.check(t, (i+1)*10)
		}
	})
}

func TestQuietPartitionsMoveTheirCheckpointOn(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		r := projection.NewRunner(s.store, &projection.Options{CheckpointInterval: time.Minute}, s.projection())
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		put(t, s.store, "order-1", placed{Customer: "ada"})
		put(t, s.store, "other-1", closed{}, closed{})
		head, err := s.store.Head(t.Context())
		require.NoError(t, err)
		synctest.Wait()
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		checkpoints, err := s.views.Checkpoints(t.Context(), "shop", 1)
		require.NoError(t, err)
		for i, ck := range checkpoints {
			assert.Equal(t, head, ck.Position, "partition %d", i)
		}
	})
}

func TestOneOfTwoRunnersWorksAndTheOtherTakesOver(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		fill(t, s.store, 0, 20)
		a := projection.NewRunner(s.store, nil, s.projection())
		b := projection.NewRunner(s.store, nil, newShop(s.store, s.views).projection())
		stopA := start(t, a)
		require.NoError(t, a.WaitLevel(t.Context()))
		start(t, b)
		synctest.Wait()
		assert.Equal(t, projection.StateLive, status(t, a).State)
		assert.Equal(t, projection.StateStandby, status(t, b).State)
		fill(t, s.store, 20, 20)
		require.NoError(t, b.WaitLevel(t.Context())) // by the stored checkpoint
		s.check(t, 40)
		require.NoError(t, stopA())
		fill(t, s.store, 40, 20)
		require.NoError(t, b.WaitLevel(t.Context()))
		assert.Equal(t, projection.StateLive, status(t, b).State)
		s.check(t, 60)
	})
}

func TestFirstBuildIsReadOnlyWhenLevel(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		fill(t, s.store, 0, 10)
		gate := make(chan struct{})
		slow := projection.OnIndex(s.customers, func(paid, projection.Meta) []projection.Entry {
			<-gate
			return nil
		})
		r := projection.NewRunner(s.store, nil, s.projection(slow))
		start(t, r)
		synctest.Wait()
		_, err := s.summaries.Get(t.Context(), "0")
		require.ErrorIs(t, err, projection.ErrNotBuilt)
		assert.Equal(t, projection.StateBuilding, status(t, r).State)
		close(gate)
		require.NoError(t, r.WaitLevel(t.Context()))
		s.check(t, 10)
	})
}

func TestReadAfterAReceiptSeesTheWrite(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		r := projection.NewRunner(s.store, nil, s.projection())
		start(t, r)
		for i := range 100 {
			id := strconv.Itoa(i)
			receipt := put(t, s.store, "order-"+id, placed{Customer: "ada", SKUs: []string{"tea"}})
			ctx := eventstore.ContextAfter(t.Context(), receipt.Position)
			got, err := s.summaries.Get(ctx, id)
			require.NoError(t, err)
			require.Equal(t, "ada", got.Customer)
			members, err := s.customers.Range(ctx, "ada", projection.Range{})
			require.NoError(t, err)
			require.Len(t, members, i+1)
			top, err := s.sales.Top(ctx, 3)
			require.NoError(t, err)
			require.Equal(t, []projection.Count{{Key: "tea", Value: int64(i + 1)}}, top)
		}
	})
}

func TestAnotherProcessWaitsByTheStoredCheckpoint(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		start(t, projection.NewRunner(s.store, nil, s.projection()))
		reader := newShop(s.store, s.views) // no runner in its process
		receipt := put(t, s.store, "order-1", placed{Customer: "ada"})
		got, err := reader.summaries.Get(eventstore.ContextAfter(t.Context(), receipt.Position), "1")
		require.NoError(t, err)
		assert.Equal(t, "ada", got.Customer)
	})
}

func TestLateViewIsATypedError(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		r := projection.NewRunner(s.store, nil, s.projection())
		stop := start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.NoError(t, stop())
		receipt := put(t, s.store, "order-1", placed{Customer: "ada"})
		ctx, cancel := context.WithTimeout(eventstore.ContextAfter(t.Context(), receipt.Position), time.Second)
		defer cancel()
		_, err := s.summaries.Get(ctx, "1")
		require.ErrorIs(t, err, eventstore.ErrNotCaughtUp)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var late *eventstore.NotCaughtUpError
		require.ErrorAs(t, err, &late)
		assert.Equal(t, late.Want, receipt.Position)
		assert.Equal(t, "shop", late.View)
		_, err = s.summaries.Get(t.Context(), "1")
		require.ErrorIs(t, err, projection.ErrNotFound)
		assert.ErrorContains(t, err, `"1"`)
	})
}

func TestDocumentsCanBeDeletedAndMadeAgain(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		r := projection.NewRunner(s.store, nil, s.projection())
		start(t, r)
		put(t, s.store, "order-1", placed{Customer: "ada"}, closed{})
		require.NoError(t, r.WaitLevel(t.Context()))
		_, err := s.summaries.Get(t.Context(), "1")
		require.ErrorIs(t, err, projection.ErrNotFound)
		put(t, s.store, "order-1", placed{Customer: "bob"})
		require.NoError(t, r.WaitLevel(t.Context()))
		got, err := s.summaries.Get(t.Context(), "1")
		require.NoError(t, err)
		assert.Equal(t, summary{Customer: "bob", Events: 1, Version: 3}, got)
	})
}

func TestASmallCacheChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		for i := range 3 { // later rounds find evicted documents
			fill(t, s.store, i*300, 300)
			r := projection.NewRunner(s.store, &projection.Options{CacheDocuments: 1, BatchEvents: 7}, s.projection())
			stop := start(t, r)
			require.NoError(t, r.WaitLevel(t.Context()))
			require.NoError(t, stop())
			s.check(t, (i+1)*300)
		}
	})
}

func TestOneEventMayTouchSeveralDocuments(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		type stock struct{ Sold int }
		stocks := projection.NewCollection[stock](s.views, "stock", codec.Msgpack, nil)
		p := projection.New("stock", events, projection.On(stocks,
			func(s stock, _ placed, _ projection.Meta) (stock, error) { return stock{s.Sold + 1}, nil },
			projection.Keys(func(e placed, _ projection.Meta) []string { return e.SKUs })))
		r := projection.NewRunner(s.store, nil, p)
		start(t, r)
		skus := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
		for i := range 40 {
			put(t, s.store, "order-"+strconv.Itoa(i), placed{SKUs: skus[:1+i%len(skus)]})
		}
		require.NoError(t, r.WaitLevel(t.Context()))
		got, err := stocks.GetMany(t.Context(), append(skus, "none")...)
		require.NoError(t, err)
		assert.Len(t, got, len(skus))
		assert.Equal(t, stock{40}, got["a"])
		assert.Equal(t, stock{5}, got["h"])
	})
}

func TestASecondRunIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		r := projection.NewRunner(s.store, nil, s.projection())
		start(t, r)
		synctest.Wait()
		require.ErrorIs(t, r.Run(t.Context()), projection.ErrRunning)
		require.Error(t, projection.NewRunner(s.store, &projection.Options{Partitions: 65}).Run(t.Context()))
		_, err := r.Rebuild(t.Context(), "none", nil)
		require.ErrorIs(t, err, projection.ErrNoView)
	})
}

func TestAViewOfAnotherStoreIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		fill(t, s.store, 0, 5)
		r := projection.NewRunner(s.store, nil, s.projection())
		stop := start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.NoError(t, stop())
		other := projection.NewRunner(memstore.New(nil), nil, s.projection())
		err := other.Run(t.Context())
		require.ErrorIs(t, err, projection.ErrOtherStore)
		assert.Equal(t, projection.StateFailed, status(t, other).State)
		require.ErrorIs(t, other.WaitLevel(t.Context()), projection.ErrOtherStore)
	})
}

func TestAClosedStoreEndsRun(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		r := projection.NewRunner(s.store, nil, s.projection())
		done := make(chan error, 1)
		go func() { done <- r.Run(t.Context()) }()
		synctest.Wait()
		require.NoError(t, s.store.Close())
		require.ErrorIs(t, <-done, eventstore.ErrClosed)
	})
}

func TestProjectionsThatDoNotFitDoNotStart(t *testing.T) {
	t.Parallel()
	s := newShop(memstore.New(nil), memview.New())
	elsewhere := projection.NewCollection[summary](memview.New(), "x", codec.Msgpack, &projection.TargetOptions{View: "shop"})
	twin := projection.NewCollection[summary](s.views, "summary", codec.Msgpack, &projection.TargetOptions{View: "shop"})
	for says, parts := range map[string][]projection.Part{
		"handles no events":        nil,
		"not registered":           {projection.On(s.summaries, func(s summary, _ int, _ projection.Meta) (summary, error) { return s, nil })},
		"another view store":       {projection.On(s.summaries, summary.placed), projection.On(elsewhere, summary.placed)},
		"is there twice":           {projection.On(s.summaries, summary.placed), projection.On(twin, summary.paid)},
		"must be 1 or more":        {projection.On(s.summaries, summary.placed), projection.Definition(0)},
		"belongs to view \"shop\"": {projection.On(s.summaries, summary.placed)},
	} {
		name := "shop"
		if says == "belongs to view \"shop\"" {
			name = "other"
		}
		assert.PanicsWithError(t, panicOf(t, func() { projection.New(name, events, parts...) }, says), func() { projection.New(name, events, parts...) })
	}
}

// panicOf returns the text of the panic of f, which must contain says.
func panicOf(t *testing.T, f func(), says string) (text string) {
	t.Helper()
	defer func() {
		err, _ := recover().(error)
		require.ErrorContains(t, err, says)
		text = err.Error()
	}()
	f()
	return ""
}

var errBroken = errors.New("broken")
