package projection_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
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

// moody is a view store of one process. Its commits may take their time, and
// it may be cut off: then nothing that the process asks for happens any more.
type moody struct {
	projection.ViewStore
	delay atomic.Int64 // nanoseconds
	off   atomic.Bool
}

var errCutOff = errors.New("cut off")

func (m *moody) err() error {
	if m.off.Load() {
		return errCutOff
	}
	return nil
}

func (m *moody) Acquire(ctx context.Context, view string, version, partition int) (projection.Session, error) {
	if err := m.err(); err != nil {
		return nil, err
	}
	s, err := m.ViewStore.Acquire(ctx, view, version, partition)
	return &moodySession{s, m}, err
}

func (m *moody) Lease(ctx context.Context, view, owner string, ttl time.Duration, names ...string) ([]string, error) {
	if err := m.err(); err != nil {
		return nil, err
	}
	return m.ViewStore.Lease(ctx, view, owner, ttl, names...)
}

func (m *moody) Release(ctx context.Context, view, owner string, names ...string) error {
	if err := m.err(); err != nil {
		return err
	}
	return m.ViewStore.Release(ctx, view, owner, names...)
}

func (m *moody) PutNote(ctx context.Context, view, name string, value []byte, ttl time.Duration) error {
	if err := m.err(); err != nil {
		return err
	}
	return m.ViewStore.PutNote(ctx, view, name, value, ttl)
}

type moodySession struct {
	projection.Session
	m *moody
}

func (s *moodySession) Commit(ctx context.Context, b *projection.Batch) error {
	time.Sleep(time.Duration(s.m.delay.Load()))
	if s.m.off.Load() && b.Position%2 == 0 { // some arrive late, as those of a process that was stopped
		return errCutOff
	}
	return s.Session.Commit(ctx, b)
}

// subscribed counts the subscriptions that are open.
type subscribed struct {
	eventstore.Store
	now, most atomic.Int64
}

func (s *subscribed) SubscribeAll(ctx context.Context, opts eventstore.SubscribeAllOptions) iter.Seq2[eventstore.Message, error] {
	return func(yield func(eventstore.Message, error) bool) {
		s.most.Store(max(s.most.Load(), s.now.Add(1)))
		defer s.now.Add(-1)
		for m, err := range s.Store.SubscribeAll(ctx, opts) {
			if !yield(m, err) {
				return
			}
		}
	}
}

// A view that is slower than another gets a reader of its own and comes back.
// Nothing is lost or doubled on the way.
func TestASlowViewLeavesTheOthersAndComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &subscribed{Store: memstore.New(nil)}
		slowly := &moody{ViewStore: memview.New()}
		fast, slow := newShop(store, memview.New()), &counted{}
		slow.init(slowly)
		var log bytes.Buffer
		opts := &projection.Options{Partitions: 3, BatchEvents: 100, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		r := projection.NewRunner(store, opts, fast.projection(), slow.projection())
		stop := start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		total := 0
		for round := range 3 {
			slowly.delay.Store(int64(400 * time.Millisecond))
			fill(t, store, total, 10_000)
			total += 10_000
			began := time.Now()
			require.NoError(t, r.WaitLevel(t.Context(), "shop"))
			require.Less(t, time.Since(began), 3*time.Second, "the fast view does not wait for the slow one")
			require.EqualValues(t, 2, store.most.Load(), "round %d: the slow view reads for itself", round)
			slowly.delay.Store(0)
			require.NoError(t, r.WaitLevel(t.Context()))
			fill(t, store, total, 10) // wakes the readers
			total += 10
			require.NoError(t, r.WaitLevel(t.Context()))
			time.Sleep(time.Second)
			require.EqualValues(t, 1, store.now.Load(), "round %d: one reader again", round)
			slow.check(t, total)
		}
		fast.check(t, total)
		require.NoError(t, stop())
		require.Zero(t, store.now.Load())
		require.Contains(t, log.String(), "slower")
	})
}

// counted is a view that counts the events of each order and of each type.
type counted struct{ counts *projection.Counters }

func (c *counted) init(views projection.ViewStore) {
	c.counts = projection.NewCounters(views, "counted", nil)
}

func (c *counted) projection() *projection.Projection {
	return projection.New("counted", events,
		projection.OnCount(c.counts, func(_ placed, m projection.Meta) []projection.Delta {
			return []projection.Delta{{Key: m.ID, By: 1}, {Key: "placed", By: 1}}
		}),
		projection.OnCount(c.counts, func(_ paid, m projection.Meta) []projection.Delta {
			return []projection.Delta{{Key: m.ID, By: 1}, {Key: "paid", By: 1}}
		}))
}

// check compares the counters with what fill appended.
func (c *counted) check(t testing.TB, n int) {
	t.Helper()
	top, err := c.counts.Top(t.Context(), n+2)
	require.NoError(t, err)
	require.Len(t, top, n+2)
	require.Equal(t, projection.Count{Key: "paid", Value: int64(2 * n)}, top[0])
	require.Equal(t, projection.Count{Key: "placed", Value: int64(n)}, top[1])
	for _, x := range top[2:] {
		require.EqualValues(t, 3, x.Value, x.Key)
	}
}

// Runners come, go, and die without a word, pause and resume. Everything is
// exact at the end, and at each quiet moment someone works at each partition.
func TestRunnersThatComeAndGoShareExactly(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { churn(t, rand.New(rand.NewPCG(seed, 2))) })
		})
	}
}

type process struct {
	views *moody
	r     *projection.Runner
	stop  func() error
}

func churn(t *testing.T, random *rand.Rand) {
	store, views := memstore.New(nil), memview.New()
	launch := func(i int) *process {
		p := &process{views: &moody{ViewStore: views}}
		c := &counted{}
		c.init(p.views)
		s := newShop(store, p.views)
		p.r = projection.NewRunner(store, &projection.Options{Owner: fmt.Sprint("p", i), Partitions: 7, BatchEvents: 1 + random.IntN(50)}, s.projection(), c.projection())
		p.stop = start(t, p.r)
		return p
	}
	all := []*process{launch(0)}
	total := 0
	for i := 1; i < 25; i++ {
		fill(t, store, total, 40)
		total += 40
		switch p := all[random.IntN(len(all))]; random.IntN(6) {
		case 0, 1:
			all = append(all, launch(i))
		case 2: // leaves
			if len(all) > 1 {
				require.NoError(t, p.stop())
				all = without(all, p)
			}
		case 3: // dies, or hangs so long that it counts as dead; what it still has under way may arrive
			if len(all) > 1 {
				p.views.off.Store(true)
				all = without(all, p)
			}
		case 4:
			require.NoError(t, p.r.Pause(t.Context(), "counted"))
			time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
			require.NoError(t, p.r.Resume(t.Context(), "counted"))
		case 5:
			p.views.delay.Store(int64(time.Duration(random.IntN(200)) * time.Millisecond))
		}
		time.Sleep(time.Duration(random.IntN(4000)) * time.Millisecond)
		_, err := all[0].r.Status(t.Context())
		require.NoError(t, err)
	}
	fill(t, store, total, 40)
	total += 40
	time.Sleep(time.Minute)
	held := make(map[int]int)
	for _, p := range all {
		for _, st := range must(p.r.Status(t.Context())) {
			assert.Contains(t, []projection.State{projection.StateLive, projection.StateStandby}, st.State)
			assert.Zero(t, st.Lag, st.View)
			if st.View == "counted" {
				for _, part := range st.Partitions {
					held[part]++
				}
			}
		}
	}
	assert.Len(t, held, 7)
	for part, n := range held {
		assert.Equal(t, 1, n, "partition %d", part)
	}
	c := &counted{}
	c.init(views)
	c.check(t, total)
	newShop(store, views).check(t, total)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func without(all []*process, p *process) (left []*process) {
	for _, x := range all {
		if x != p {
			left = append(left, x)
		}
	}
	return left
}
