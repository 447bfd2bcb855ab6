package projection_test

import (
	"context"
	"math/rand/v2"
	"strconv"
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

// careless is a view store that damages what is committed while it is told to,
// so that what a runner has in memory and what is stored differ.
type careless struct {
	projection.ViewStore
	on atomic.Bool
}

func (c *careless) Acquire(ctx context.Context, view string, version, partition int) (projection.Session, error) {
	s, err := c.ViewStore.Acquire(ctx, view, version, partition)
	return &carelessSession{s, c}, err
}

type carelessSession struct {
	projection.Session
	c *careless
}

func (s *carelessSession) Commit(ctx context.Context, b *projection.Batch) error {
	if s.c.on.Load() {
		for i := range b.Documents {
			d := &b.Documents[i]
			for j := range d.Put {
				if len(d.Put[j].Key)%2 == 0 {
					d.Put[j].Value = []byte("damaged")
				}
			}
			d.Delete = nil
		}
		for i := range b.Counters {
			for j := range b.Counters[i].Set {
				b.Counters[i].Set[j].Value += 7
			}
		}
		for i := range b.Indexes {
			x := &b.Indexes[i]
			for j := range x.Entries {
				x.Entries[j].Score += 0.5
			}
			if x.Collection == "by-customer" {
				x.Entries = append(x.Entries, projection.Entry{Key: x.Entries[0].Key, Member: "ghost", Score: 1})
			}
		}
		for i := range b.Sets {
			x := &b.Sets[i]
			x.Changes[0].Member += "-damaged"
		}
	}
	return s.Session.Commit(ctx, b)
}

// life appends random events of a few orders. Some cannot be applied and are
// parked.
type life struct {
	rand  *rand.Rand
	store eventstore.Store
}

func (l *life) step(t testing.TB) {
	id := strconv.Itoa(l.rand.IntN(12))
	customer, sku := "c"+strconv.Itoa(l.rand.IntN(5)), "s"+strconv.Itoa(l.rand.IntN(5))
	switch n := l.rand.IntN(20); {
	case n == 0:
		put(t, l.store, "order-"+id, closed{}) // a payment after that is parked
	case n < 10:
		put(t, l.store, "order-"+id, placed{Customer: customer, SKUs: []string{sku, "both"}})
	default:
		put(t, l.store, "order-"+id, placed{Customer: "both"}, paid{Cents: int64(n)})
	}
}

func (s *shelf) digest(t testing.TB) projection.DigestResult {
	t.Helper()
	v, err := s.views.Active(t.Context(), "shop")
	require.NoError(t, err)
	d, err := projection.Digest(t.Context(), s.views, "shop", v.Number)
	require.NoError(t, err)
	return d
}

// rebuilt is the digest of the view as it is when it is built anew.
func rebuilt(t testing.TB, store eventstore.Store, opts *projection.Options) projection.DigestResult {
	t.Helper()
	fresh := newShelf(store, memview.New())
	_, err := projection.NewRunner(store, opts, fresh.projection()).Rebuild(t.Context(), "shop", nil)
	require.NoError(t, err)
	return fresh.digest(t)
}

func TestKeysAreRebuiltWhileEventsAreApplied(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				views := &careless{ViewStore: memview.New()}
				s := newShelf(memstore.New(nil), views)
				opts := &projection.Options{Partitions: 1 + int(seed%4), BatchEvents: 1 + int(seed*7%30), CacheDocuments: 20}
				l := &life{rand: rand.New(rand.NewPCG(seed, 1)), store: s.store}
				r := projection.NewRunner(s.store, opts, s.projection())
				start(t, r)
				for range 100 {
					l.step(t)
				}
				require.NoError(t, r.WaitLevel(t.Context()))
				views.on.Store(true)
				for range 50 {
					l.step(t)
				}
				require.NoError(t, r.WaitLevel(t.Context()))
				views.on.Store(false)
				for _, key := range []string{"both", "never"} { // what nothing stands for
					harm(t, s, key)
				}
				require.NotEqual(t, rebuilt(t, s.store, opts), s.digest(t), "the test damages nothing")

				keys := []string{"both", "never", "both"}
				for i := range 12 {
					keys = append(keys, strconv.Itoa(i), "c"+strconv.Itoa(i), "s"+strconv.Itoa(i))
				}
				done := make(chan error, 3)
				go func() {
					defer close(done)
					for range 3 {
						time.Sleep(20 * time.Millisecond)
						done <- r.RebuildKeys(t.Context(), "shop", keys...)
					}
				}()
				for range 150 {
					l.step(t)
					time.Sleep(time.Duration(l.rand.IntN(3)) * time.Millisecond)
				}
				for err := range done {
					require.NoError(t, err)
				}
				require.NoError(t, r.WaitLevel(t.Context()))
				require.Equal(t, rebuilt(t, s.store, opts), s.digest(t))
			})
		})
	}
}

// harm puts what no event stands for under a key.
func harm(t testing.TB, s *shelf, key string) {
	t.Helper()
	v, err := s.views.Active(t.Context(), "shop")
	require.NoError(t, err)
	session, err := s.views.Acquire(t.Context(), "shop", v.Number, projection.PartitionOf(key, v.Partitions))
	require.NoError(t, err)
	require.NoError(t, session.Commit(t.Context(), &projection.Batch{
		Position:  session.Checkpoint().Position,
		Documents: []projection.DocumentChanges{{Collection: "summary", Put: []projection.KeyValue{{Key: key, Value: []byte{0xC1}}}}},
		Counters:  []projection.CounterChanges{{Collection: "sales", Set: []projection.Count{{Key: key, Value: -5}}}},
		Indexes:   []projection.IndexChanges{{Collection: "by-customer", Entries: []projection.Entry{{Key: key, Member: "ghost"}}}},
		Sets:      []projection.SetChanges{{Collection: "goods", Changes: []projection.SetChange{{Key: key, Member: "ghost"}}}},
	}))
	require.NoError(t, session.Close())
}

func TestTheKeysOfAStreamAreRebuilt(t *testing.T) {
	onShelf(t, func(t *testing.T, s *shelf) {
		put(t, s.store, "order-1", placed{Customer: "ada", SKUs: []string{"tea"}}, paid{Cents: 3})
		put(t, s.store, "order-11", placed{Customer: "eve", SKUs: []string{"tea", "rum"}})
		r := projection.NewRunner(s.store, nil, s.projection())
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		sound := s.digest(t)
		for _, key := range []string{"1", "ada", "tea"} {
			harm(t, s, key)
		}
		require.NotEqual(t, sound, s.digest(t))
		require.NoError(t, r.RebuildStream(t.Context(), "shop", "order-1"))
		require.Equal(t, sound, s.digest(t))
		require.NoError(t, r.RebuildStream(t.Context(), "shop", "order-none"))
	})
}

func TestParkedEventsStayOutOfAKey(t *testing.T) {
	onShelf(t, func(t *testing.T, s *shelf) {
		var mended atomic.Bool
		picky := projection.On(s.summaries, func(doc summary, e paid, _ projection.Meta) (summary, error) {
			if e.Cents == 13 && !mended.Load() {
				return doc, errBroken
			}
			return doc, nil
		})
		r := projection.NewRunner(s.store, nil, s.projection(picky))
		start(t, r)
		put(t, s.store, "order-1", placed{Customer: "ada"}, paid{Cents: 1}, paid{Cents: 13}, paid{Cents: 2})
		require.NoError(t, r.WaitLevel(t.Context()))
		mended.Store(true) // not before it is retried
		require.NoError(t, r.RebuildKeys(t.Context(), "shop", "1", "ada"))
		doc, err := s.summaries.Get(t.Context(), "1")
		require.NoError(t, err)
		assert.Equal(t, summary{Customer: "ada", Cents: 1, Events: 2, Version: 2}, doc)
		assert.Equal(t, int64(2), status(t, r).Parked)
		require.NoError(t, r.RetryParked(t.Context(), "shop", "order-1"))
		put(t, s.store, "order-1", paid{Cents: 4})
		require.NoError(t, r.WaitLevel(t.Context()))
		require.NoError(t, r.RebuildKeys(t.Context(), "shop", "1"))
		doc, err = s.summaries.Get(t.Context(), "1")
		require.NoError(t, err)
		assert.Equal(t, summary{Customer: "ada", Cents: 20, Events: 5, Version: 5}, doc)
	})
}

func TestAKeyWhoseEventsFailStaysAsItIs(t *testing.T) {
	onShelf(t, func(t *testing.T, s *shelf) {
		var broken atomic.Bool
		picky := projection.On(s.summaries, func(doc summary, _ paid, _ projection.Meta) (summary, error) {
			if broken.Load() {
				panic("unlucky")
			}
			return doc, nil
		})
		r := projection.NewRunner(s.store, nil, s.projection(picky))
		start(t, r)
		put(t, s.store, "order-1", placed{Customer: "ada", SKUs: []string{"tea"}}, paid{Cents: 1})
		put(t, s.store, "order-2", placed{Customer: "ada", SKUs: []string{"tea"}})
		require.NoError(t, r.WaitLevel(t.Context()))
		sound := s.digest(t)
		broken.Store(true)
		err := r.RebuildKeys(t.Context(), "shop", "1", "2", "tea")
		require.ErrorContains(t, err, "unlucky")
		require.ErrorContains(t, err, `event 2 of stream "order-1"`)
		require.Equal(t, sound, s.digest(t))
		require.Equal(t, projection.StateLive, status(t, r).State)
	})
}

func TestKeysOfAnotherRunnerAreNotRebuiltHere(t *testing.T) {
	onShelf(t, func(t *testing.T, s *shelf) {
		fill(t, s.store, 0, 20)
		a := projection.NewRunner(s.store, &projection.Options{Owner: "a"}, s.projection())
		b := projection.NewRunner(s.store, &projection.Options{Owner: "b"}, s.projection())
		var keys []string
		for i := range 20 {
			keys = append(keys, strconv.Itoa(i))
		}
		require.ErrorIs(t, a.RebuildKeys(t.Context(), "shop", keys...), projection.ErrNotBuilt)
		stopA, stopB := start(t, a), start(t, b)
		require.NoError(t, a.WaitLevel(t.Context()))
		time.Sleep(10 * time.Second) // they share
		for _, key := range keys {
			harm(t, s, key)
		}
		time.Sleep(10 * time.Second) // and take back
		damaged := s.digest(t)
		err := a.RebuildKeys(t.Context(), "shop", keys...)
		var elsewhere *projection.NotHereError
		require.ErrorAs(t, err, &elsewhere)
		require.ErrorIs(t, err, projection.ErrNotHere)
		require.Equal(t, "b", elsewhere.Owner)
		require.NotEmpty(t, elsewhere.Keys)
		require.Less(t, len(elsewhere.Keys), len(keys))
		require.NotEqual(t, damaged, s.digest(t), "those that are here are rebuilt")
		require.NoError(t, b.RebuildKeys(t.Context(), "shop", elsewhere.Keys...))
		require.Equal(t, rebuilt(t, s.store, nil), s.digest(t))

		require.ErrorIs(t, a.RebuildKeys(t.Context(), "none", "1"), projection.ErrNoView)
		require.NoError(t, stopA())
		require.NoError(t, stopB())
		for _, key := range keys {
			harm(t, s, key)
		}
		require.NoError(t, a.RebuildKeys(t.Context(), "shop", keys...), "nobody works at any partition")
		require.Equal(t, rebuilt(t, s.store, nil), s.digest(t))
	})
}

// A document that has become another one, with all its entries in lookups, and
// an entry whose score alone is wrong.
func TestLookupsOfARebuiltKeyFollow(t *testing.T) {
	onShelf(t, func(t *testing.T, s *shelf) {
		put(t, s.store, "order-1", placed{Customer: "ada"}, paid{Cents: 3})
		put(t, s.store, "order-2", placed{Customer: "ada"}, paid{Cents: 4})
		r := projection.NewRunner(s.store, &projection.Options{Partitions: 1}, s.projection())
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		sound := s.digest(t)
		data, err := codec.Msgpack.Append(nil, &summary{Customer: "mallory", Cents: 3})
		require.NoError(t, err)
		session, err := s.views.Acquire(t.Context(), "shop", 1, 0)
		require.NoError(t, err)
		require.NoError(t, session.Commit(t.Context(), &projection.Batch{
			Position:  session.Checkpoint().Position,
			Documents: []projection.DocumentChanges{{Collection: "summary", Put: []projection.KeyValue{{Key: "1", Value: data}}}},
			Indexes: []projection.IndexChanges{{Collection: "of-customer", Entries: []projection.Entry{
				{Key: "ada", Member: "1", Remove: true}, {Key: "mallory", Member: "1", Score: 3}, {Key: "ada", Member: "2", Score: 9},
			}}},
		}))
		require.NotEmpty(t, s.found(t, "mallory"))
		require.NoError(t, r.RebuildKeys(t.Context(), "shop", "1", "2"))
		require.Empty(t, s.found(t, "mallory"))
		require.Equal(t, sound, s.digest(t))
	})
}
