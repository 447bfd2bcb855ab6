package projection_test

import (
	"context"
	"math"
	"runtime"
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
	"github.com/foldstream/foldstream/query"
)

// 1. After() is answered by the feed of v1 while v2 is read.
func TestAfterAcrossARebuildElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		fill(t, s.store, 0, 20)
		a := projection.NewRunner(s.store, nil, s.projection())
		start(t, a)
		require.NoError(t, a.WaitLevel(t.Context()))
		b := projection.NewRunner(s.store, nil, newShop(s.store, s.views).projection()) // say, the command line
		_, err := b.Rebuild(t.Context(), "shop", nil)
		require.NoError(t, err)
		receipt := put(t, s.store, "order-new", placed{Customer: "ada"})
		_, err = s.summaries.Get(eventstore.ContextAfter(t.Context(), receipt.Position), "new")
		require.NoError(t, err, "read-your-writes across a switch of versions")
	})
}

// 1b. the same when an operator goes back.
func TestAfterAcrossGoingBack(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		fill(t, s.store, 0, 20)
		a := projection.NewRunner(s.store, nil, s.projection())
		start(t, a)
		require.NoError(t, a.WaitLevel(t.Context()))
		_, err := a.Rebuild(t.Context(), "shop", nil)
		require.NoError(t, err)
		receipt := put(t, s.store, "order-new", placed{Customer: "ada"})
		require.NoError(t, a.WaitLevel(t.Context()))
		require.NoError(t, s.views.Activate(t.Context(), "shop", 1))
		_, err = s.summaries.Get(eventstore.ContextAfter(t.Context(), receipt.Position), "new")
		require.NoError(t, err)
	})
}

// 2. processes of two definitions replace each other's view for ever.
func TestTwoDefinitionsFight(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		fill(t, s.store, 0, 20)
		old := projection.NewRunner(s.store, nil, s.projection())
		start(t, old)
		require.NoError(t, old.WaitLevel(t.Context()))
		start(t, projection.NewRunner(s.store, nil, newShop(s.store, s.views).projection(projection.Definition(2))))
		time.Sleep(time.Minute)
		v, err := s.views.Active(t.Context(), "shop")
		require.NoError(t, err)
		require.Equal(t, 2, v.Number, "one build of the new definition is enough")
	})
}

// 3. lost race for CreateVersion: the loser goes on with its own partitions.
type overtaken struct {
	projection.ViewStore
	once sync.Once
}

func (o *overtaken) CreateVersion(ctx context.Context, view string, v projection.VersionInfo) error {
	o.once.Do(func() {
		w := v
		w.Partitions = 16
		_ = o.ViewStore.CreateVersion(ctx, view, w) // another process was first
	})
	return o.ViewStore.CreateVersion(ctx, view, v)
}

func TestLostCreateRace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShop(memstore.New(nil), &overtaken{ViewStore: memview.New()})
		fill(t, s.store, 0, 20)
		r := projection.NewRunner(s.store, &projection.Options{Partitions: 4}, s.projection())
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		s.check(t, 20)
	})
}

// 4. Rebuild while this runner builds the new definition itself.
func TestRebuildWhileFollowerBuilds(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		fill(t, s.store, 0, 200)
		r := projection.NewRunner(s.store, nil, s.projection())
		stop := start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.NoError(t, stop())
		slow := projection.OnIndex(s.customers, func(paid, projection.Meta) []projection.Entry {
			time.Sleep(10 * time.Millisecond)
			return nil
		})
		r = projection.NewRunner(s.store, nil, s.projection(slow, projection.Definition(2)))
		start(t, r)
		time.Sleep(100 * time.Millisecond)
		_, err := r.Rebuild(t.Context(), "shop", nil)
		require.NoError(t, err)
		s.check(t, 200)
	})
}

// 5. hold does not wait for a follower that is about to take over.
type slowAcquire struct {
	projection.ViewStore
	n atomic.Int64
}

func (o *slowAcquire) Acquire(ctx context.Context, view string, version, p int) (projection.Session, error) {
	if o.n.Add(1) <= 16 {
		time.Sleep(20 * time.Millisecond)
	}
	return o.ViewStore.Acquire(ctx, view, version, p)
}

func TestRebuildWhileFollowerOpens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShop(memstore.New(nil), &slowAcquire{ViewStore: memview.New()})
		fill(t, s.store, 0, 20)
		slow := projection.OnIndex(s.customers, func(paid, projection.Meta) []projection.Entry {
			time.Sleep(10 * time.Millisecond)
			return nil
		})
		r := projection.NewRunner(s.store, nil, s.projection(slow))
		start(t, r)
		time.Sleep(time.Millisecond)
		_, err := r.Rebuild(t.Context(), "shop", nil)
		require.NoError(t, err)
		s.check(t, 20)
	})
}

// 6. idle checkpoints leak a timer and a deferred call each. Not parallel: it
// counts the objects of the whole process.
func TestIdleCheckpointsLeak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(memstore.New(nil), memview.New())
		r := projection.NewRunner(s.store, nil, s.projection())
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		objects := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.Mallocs - m.Frees
		}
		turn := func(n int) {
			for range n {
				put(t, s.store, "other-1", closed{})
				time.Sleep(1100 * time.Millisecond)
			}
		}
		turn(100)
		before := objects()
		turn(2000)
		grown := int64(objects()) - int64(before)
		t.Log("objects per idle checkpoint:", float64(grown)/2000/16)
		require.Less(t, grown, int64(2000*16)) // less than one for each partition and second
	})
}

// 7. Watch in a process that had followed the view.
func watchOn(s *shop) *query.Bus {
	b := query.NewBus(nil)
	query.Register(b, func(ctx context.Context, id string) (summary, error) { return s.summaries.Get(ctx, id) })
	return b
}

func TestWatchAfterLosingTheLease(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		put(t, s.store, "order-1", placed{Customer: "ada"})
		a := projection.NewRunner(s.store, nil, s.projection())
		stopA := start(t, a)
		require.NoError(t, a.WaitLevel(t.Context()))
		require.NoError(t, stopA())
		other := newShop(s.store, s.views)
		b := projection.NewRunner(s.store, nil, other.projection())
		start(t, b)
		require.NoError(t, b.WaitLevel(t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() {
			time.Sleep(time.Second)
			put(t, s.store, "order-1", paid{Cents: 5}) //nolint:testifylint // waits in a bubble
		}()
		var last summary
		for got, err := range query.Watch[summary](ctx, watchOn(s), "1") {
			require.NoError(t, err)
			if last = got; last.Cents == 5 {
				break
			}
		}
		require.Equal(t, int64(5), last.Cents)
	})
}

// 8. Watch in a process without a runner misses what comes while its caller works.
func TestWatchElsewhereMissesAChange(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		put(t, s.store, "order-1", placed{Customer: "ada"})
		r := projection.NewRunner(s.store, nil, s.projection())
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		time.Sleep(5 * time.Second)
		reader := newShop(s.store, s.views)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		n := 0
		for got, err := range query.Watch[summary](ctx, watchOn(reader), "1") {
			require.NoError(t, err)
			if n++; n == 1 {
				put(t, s.store, "order-1", paid{Cents: 5})
				require.NoError(t, r.WaitLevel(t.Context())) // a caller that takes its time
				continue
			}
			require.Equal(t, int64(5), got.Cents)
			break
		}
		require.Equal(t, 2, n)
	})
}

// 9. A runner that failed once stays failed.
func TestRunAgainAfterAFailure(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		var mended atomic.Bool
		p := projection.New("shop", events, projection.On(s.summaries, func(sum summary, _ placed, _ projection.Meta) (summary, error) {
			if !mended.Load() {
				return sum, errBroken
			}
			return sum, nil
		}))
		for i := range 6 {
			put(t, s.store, "order-"+strconv.Itoa(i), placed{})
		}
		r := projection.NewRunner(s.store, &projection.Options{MaxParked: 5, Partitions: 1, BatchEvents: 1}, p)
		require.ErrorIs(t, r.Run(t.Context()), projection.ErrTooManyParked)
		mended.Store(true)
		start(t, r)
		time.Sleep(time.Second)
		assert.Equal(t, projection.StateLive, status(t, r).State)
		require.NoError(t, r.WaitLevel(t.Context()))
	})
}

// 9b. Too many parked events cannot be retried: the view stops again before.
func TestTooManyParkedCanBeMended(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		var mended atomic.Bool
		p := projection.New("shop", events, projection.On(s.summaries, func(sum summary, e paid, _ projection.Meta) (summary, error) {
			if !mended.Load() {
				return sum, errBroken
			}
			sum.Cents += e.Cents
			return sum, nil
		}))
		for range 30 {
			put(t, s.store, "order-1", paid{Cents: 1})
		}
		o := &projection.Options{MaxParked: 5, Partitions: 1, BatchEvents: 5}
		require.ErrorIs(t, projection.NewRunner(s.store, o, p).Run(t.Context()), projection.ErrTooManyParked)
		mended.Store(true)
		r := projection.NewRunner(s.store, o, p)
		start(t, r)
		time.Sleep(time.Second)
		for range 3 { // what the error says to do
			_ = r.RetryParked(t.Context(), "shop", "order-1")
		}
		require.NoError(t, r.WaitLevel(t.Context()))
		got, err := s.summaries.Get(t.Context(), "1")
		require.NoError(t, err)
		require.Equal(t, int64(30), got.Cents)
	})
}

// 10. Meta.Replay stays set after the first build.
func TestReplayEndsWithTheBuild(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		var replay atomic.Bool
		p := projection.New("shop", events, projection.On(s.summaries, func(sum summary, _ placed, m projection.Meta) (summary, error) {
			replay.Store(m.Replay)
			return sum, nil
		}))
		r := projection.NewRunner(s.store, nil, p)
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.Equal(t, projection.StateLive, status(t, r).State)
		put(t, s.store, "order-1", placed{})
		require.NoError(t, r.WaitLevel(t.Context()))
		require.False(t, replay.Load(), "it is followed now")
	})
}

// 11. RetryParked is starved while events come.
func TestRetryUnderLoad(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		var mended atomic.Bool
		p := projection.New("shop", events, projection.On(s.summaries, func(sum summary, e placed, m projection.Meta) (summary, error) {
			if m.ID == "bad" && !mended.Load() {
				return sum, errBroken
			}
			time.Sleep(time.Millisecond)
			return sum, nil
		}))
		r := projection.NewRunner(s.store, &projection.Options{Partitions: 1, BatchEvents: 10}, p)
		start(t, r)
		put(t, s.store, "order-bad", placed{})
		require.NoError(t, r.WaitLevel(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				put(t, s.store, "order-"+strconv.Itoa(i), placed{}, placed{})
				time.Sleep(time.Millisecond)
			}
		})
		mended.Store(true)
		time.Sleep(100 * time.Millisecond)
		soon, done := context.WithTimeout(t.Context(), 5*time.Second)
		defer done()
		err := r.RetryParked(soon, "shop", "order-bad")
		cancel()
		wg.Wait()
		require.NoError(t, err)
	})
}

// 12. An undone counter is made.
func TestUndoneCounter(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		p := projection.New("sales", events, projection.OnCount(projection.NewCounters(s.views, "sales", nil), func(e paid, _ projection.Meta) []projection.Delta {
			return []projection.Delta{{Key: "payments", By: 1}, {Key: "cents", By: math.MaxInt64}, {Key: "cents", By: 1}}
		}))
		r := projection.NewRunner(s.store, &projection.Options{Partitions: 1}, p)
		start(t, r)
		put(t, s.store, "order-1", paid{})
		require.NoError(t, r.WaitLevel(t.Context()))
		top, err := projection.NewCounters(s.views, "sales", nil).Top(t.Context(), 10)
		require.NoError(t, err)
		require.Empty(t, top, "the only event is parked, and nothing was counted")
	})
}

// 13. A Part given to two projections.
func TestPartOfTwoProjections(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		part := projection.On(s.summaries, summary.placed)
		count := projection.OnCount(s.sales, func(placed, projection.Meta) []projection.Delta { return []projection.Delta{{Key: "n", By: 1}} })
		first := projection.New("shop", events, part, count)
		_ = projection.New("shop", events, count, part)
		r := projection.NewRunner(s.store, nil, first)
		start(t, r)
		put(t, s.store, "order-1", placed{Customer: "ada"})
		require.NoError(t, r.WaitLevel(t.Context()))
		require.Zero(t, status(t, r).Parked)
	})
}

// 14. A document that cannot be encoded stops everything for ever.
func TestDocumentThatCannotBeEncoded(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		type doc struct{ F float64 }
		docs := memview.NewCollection[doc](s.views.(*memview.Store), "docs", nil)
		p := projection.New("docs", events, projection.On(docs, func(d doc, e paid, _ projection.Meta) (doc, error) {
			if e.Cents == 13 {
				return doc{math.NaN()}, nil
			}
			return doc{float64(e.Cents)}, nil
		}))
		r := projection.NewRunner(s.store, &projection.Options{Partitions: 1}, p)
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		put(t, s.store, "order-a", paid{Cents: 13})
		put(t, s.store, "order-b", paid{Cents: 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, r.WaitLevel(ctx), "other streams go on")
	})
}

// 15. After going back, a rebuild does not begin from nothing.
func TestRebuildAfterGoingBack(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		fill(t, s.store, 0, 20)
		var wrong atomic.Bool
		p := s.projection(projection.OnCount(s.sales, func(paid, projection.Meta) []projection.Delta {
			if wrong.Load() {
				return []projection.Delta{{Key: "oops", By: 1}}
			}
			return nil
		}))
		r := projection.NewRunner(s.store, nil, p)
		_, err := r.Rebuild(t.Context(), "shop", nil)
		require.NoError(t, err)
		wrong.Store(true)
		_, err = r.Rebuild(t.Context(), "shop", nil)
		require.NoError(t, err)
		require.NoError(t, s.views.Activate(t.Context(), "shop", 1)) // 2 is wrong: back, mend, again
		wrong.Store(false)
		_, err = r.Rebuild(t.Context(), "shop", nil)
		require.NoError(t, err)
		oops, err := s.sales.Get(t.Context(), "oops")
		require.NoError(t, err)
		require.Zero(t, oops, "Rebuild fills a new version from the first event")
	})
}

// 16. Drop asked again after an error drops another event.
type failOnce struct {
	projection.ViewStore
	armed *atomic.Bool
	part  int
}
type failOnceSession struct {
	projection.Session
	f *failOnce
}

func (f *failOnce) Acquire(ctx context.Context, view string, version, p int) (projection.Session, error) {
	s, err := f.ViewStore.Acquire(ctx, view, version, p)
	if p == f.part && err == nil {
		return failOnceSession{s, f}, nil
	}
	return s, err
}

func (s failOnceSession) Commit(ctx context.Context, b *projection.Batch) error {
	if s.f.armed.CompareAndSwap(true, false) {
		return errNetwork
	}
	return s.Session.Commit(ctx, b)
}

func TestDropAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var armed atomic.Bool
		s := newShop(memstore.New(nil), &failOnce{ViewStore: memview.New(), armed: &armed, part: 1})
		p := projection.New("shop", events, projection.OnCount(s.sales, func(e placed, m projection.Meta) []projection.Delta {
			if m.Version == 1 {
				panic("unlucky") // parked in all partitions
			}
			deltas := []projection.Delta{}
			for _, sku := range e.SKUs {
				deltas = append(deltas, projection.Delta{Key: sku, By: 1})
			}
			return deltas
		}))
		r := projection.NewRunner(s.store, &projection.Options{Partitions: 2}, p)
		start(t, r)
		skus := []string{"a", "b", "c", "d", "e", "f"}
		put(t, s.store, "order-a", placed{}, placed{SKUs: skus})
		require.NoError(t, r.WaitLevel(t.Context()))
		armed.Store(true)
		require.Error(t, r.DropParked(t.Context(), "shop", "order-a"))
		time.Sleep(time.Second)
		require.NoError(t, r.DropParked(t.Context(), "shop", "order-a"))
		for _, sku := range skus {
			n, err := s.sales.Get(t.Context(), sku)
			require.NoError(t, err)
			assert.Equal(t, int64(1), n, sku)
		}
	})
}

// 17. the cache of a version with more partitions than the options say.
func TestCacheBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(nil)
		views := &counting{ViewStore: memview.New()}
		s := newShop(store, views)
		for i := range 1600 {
			put(t, store, "order-"+strconv.Itoa(i), placed{Customer: "ada"})
		}
		r := projection.NewRunner(store, &projection.Options{Partitions: 16}, s.projection())
		stop := start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.NoError(t, stop())
		r = projection.NewRunner(store, &projection.Options{Partitions: 1, CacheDocuments: 400}, s.projection())
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		var loads [2]int64
		for round := range 2 {
			views.loads.Store(0)
			for i := range 1600 {
				put(t, store, "order-"+strconv.Itoa(i), placed{Customer: "bob"})
				synctest.Wait()
			}
			loads[round] = views.loads.Load()
		}
		t.Log(loads)
		require.NotZero(t, loads[1], "1600 documents do not fit into a cache of 400")
	})
}

// 18. Watch of all partitions looks at one of them in another process.
type slowCommit struct {
	projection.ViewStore
	part int
}
type slowCommitSession struct{ projection.Session }

func (o *slowCommit) Acquire(ctx context.Context, view string, version, p int) (projection.Session, error) {
	s, err := o.ViewStore.Acquire(ctx, view, version, p)
	if p == o.part && err == nil {
		return slowCommitSession{s}, nil
	}
	return s, err
}

func (s slowCommitSession) Commit(ctx context.Context, b *projection.Batch) error {
	if len(b.Counters) > 0 {
		time.Sleep(3 * time.Second)
	}
	return s.Session.Commit(ctx, b)
}

func TestWatchTopElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShop(memstore.New(nil), &slowCommit{memview.New(), projection.PartitionOf("tea", 16)})
		require.NotEqual(t, projection.PartitionOf("", 16), projection.PartitionOf("tea", 16))
		r := projection.NewRunner(s.store, nil, s.projection())
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		reader := newShop(s.store, s.views)
		b := query.NewBus(nil)
		query.Register(b, func(ctx context.Context, n int) ([]projection.Count, error) { return reader.sales.Top(ctx, n) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() {
			time.Sleep(time.Second)
			put(t, s.store, "order-1", placed{SKUs: []string{"tea"}}) //nolint:testifylint // waits in a bubble
		}()
		var last []projection.Count
		for got, err := range query.Watch[[]projection.Count](ctx, b, 5) {
			require.NoError(t, err)
			if last = got; len(last) > 0 {
				break
			}
		}
		require.Len(t, last, 1)
	})
}

var _ = codec.Msgpack
