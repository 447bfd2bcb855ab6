package projection_test

import (
	"context"
	"errors"
	"strings"
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

func TestAnAdminSeesViewsAndWhoWorksAtThem(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		admin := projection.NewAdmin(s.views)
		all, err := admin.List(t.Context())
		require.NoError(t, err)
		require.Empty(t, all)
		_, err = admin.Show(t.Context(), "shop")
		require.ErrorIs(t, err, projection.ErrNoView)

		fill(t, s.store, 0, 30)
		one := projection.NewRunner(s.store, &projection.Options{Owner: "one"}, s.projection())
		two := projection.NewRunner(s.store, &projection.Options{Owner: "two"}, newShop(s.store, s.views).projection())
		start(t, one)
		start(t, two)
		require.NoError(t, one.WaitLevel(t.Context()))
		time.Sleep(5 * time.Second) // they share
		head, err := s.store.Head(t.Context())
		require.NoError(t, err)

		all, err = admin.List(t.Context())
		require.NoError(t, err)
		require.Len(t, all, 1)
		v := all[0]
		assert.Equal(t, "shop", v.View)
		assert.Equal(t, 1, v.Active)
		assert.Equal(t, head, v.Position)
		owners := map[string]int{}
		for _, p := range v.Partitions {
			owners[p.Owner]++
		}
		assert.Equal(t, map[string]int{"one": 8, "two": 8}, owners)
		require.Len(t, v.Runners, 2)
		assert.Equal(t, "one", v.Runners[0].Owner)
		assert.Equal(t, projection.StateLive, v.Runners[0].State)
		assert.Len(t, v.Runners[0].Partitions, 8)
		assert.Equal(t, projection.StateLive, v.Runners[1].State)
		assert.Zero(t, v.Runners[1].Lag)
		fill(t, s.store, 30, 30)
		require.NoError(t, two.WaitLevel(t.Context()))
		s.check(t, 60)
	})
}

func TestAnAdminPausesAndResumesAllRunners(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		admin := projection.NewAdmin(s.views)
		fill(t, s.store, 0, 30)
		r := projection.NewRunner(s.store, nil, s.projection())
		stop := start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.NoError(t, admin.Pause(t.Context(), "shop"))
		time.Sleep(2 * time.Second)
		require.Equal(t, projection.StatePaused, status(t, r).State)
		fill(t, s.store, 30, 30)
		time.Sleep(time.Minute)
		before := status(t, r)
		assert.Positive(t, before.Lag, "nothing is applied meanwhile")
		v, err := admin.Show(t.Context(), "shop")
		require.NoError(t, err)
		assert.True(t, v.Paused)
		assert.False(t, v.PausedAt.IsZero())
		s.check(t, 30)

		require.NoError(t, stop())
		r = projection.NewRunner(s.store, nil, s.projection())
		start(t, r)
		time.Sleep(2 * time.Second)
		require.Equal(t, projection.StatePaused, status(t, r).State, "a pause outlives the process")
		require.NoError(t, admin.Resume(t.Context(), "shop"))
		require.NoError(t, r.WaitLevel(t.Context()))
		s.check(t, 60)
	})
}

func TestAnAdminHasARunningApplicationRebuild(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		admin := projection.NewAdmin(s.views)
		fill(t, s.store, 0, 300)
		r := projection.NewRunner(s.store, &projection.Options{Owner: "app"}, s.projection())
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		var last projection.Progress
		result, err := admin.Rebuild(t.Context(), "shop", func(p projection.Progress) { last = p })
		require.NoError(t, err)
		assert.Equal(t, 1, result.OldVersion)
		assert.Equal(t, 2, result.NewVersion)
		assert.Equal(t, int64(900), result.Events)
		assert.Equal(t, 2, last.Version)
		s.check(t, 300)

		require.ErrorIs(t, admin.CancelRebuild(t.Context(), "shop"), projection.ErrNotRunning)
		version, err := admin.RollBack(t.Context(), "shop")
		require.NoError(t, err)
		require.Equal(t, 1, version)
		fill(t, s.store, 300, 10)
		time.Sleep(2 * time.Second)
		require.NoError(t, r.WaitLevel(t.Context()))
		s.check(t, 310)
		require.ErrorIs(t, admin.DropVersion(t.Context(), "shop", 1), projection.ErrVersionActive)
		require.NoError(t, admin.DropVersion(t.Context(), "shop", 2))
		require.ErrorIs(t, admin.DropVersion(t.Context(), "shop", 2), projection.ErrNoVersion)
		_, err = admin.RollBack(t.Context(), "shop")
		require.ErrorIs(t, err, projection.ErrNoVersion)
	})
}

func TestARebuildThatWasAskedForCanBeCancelled(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		admin := projection.NewAdmin(s.views)
		fill(t, s.store, 0, 200)
		slow := projection.OnIndex(s.customers, func(_ paid, m projection.Meta) []projection.Entry {
			if m.Replay {
				time.Sleep(10 * time.Millisecond)
			}
			return nil
		})
		r := projection.NewRunner(s.store, nil, s.projection(slow))
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		failed := make(chan error, 1)
		go func() {
			_, err := admin.Rebuild(t.Context(), "shop", nil)
			failed <- err
		}()
		time.Sleep(2 * time.Second)
		require.NoError(t, admin.CancelRebuild(t.Context(), "shop"))
		require.ErrorContains(t, <-failed, "context canceled")
		v, err := s.views.Active(t.Context(), "shop")
		require.NoError(t, err)
		require.Equal(t, 1, v.Number)
		_, err = admin.Rebuild(t.Context(), "shop", nil)
		require.NoError(t, err, "it goes on where it stopped")
		s.check(t, 200)
	})
}

func TestAnAdminDealsWithParkedEvents(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		admin := projection.NewAdmin(s.views)
		var broken atomic.Bool
		broken.Store(true)
		poison := projection.OnCount(s.sales, func(paid, projection.Meta) []projection.Delta {
			if broken.Load() {
				panic(errors.New("broken"))
			}
			return nil
		})
		fill(t, s.store, 0, 3)
		r := projection.NewRunner(s.store, nil, s.projection(poison))
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		parked, err := admin.Parked(t.Context(), "shop")
		require.NoError(t, err)
		require.NotEmpty(t, parked)
		require.Equal(t, "order-0", parked[0].Stream)
		require.ErrorContains(t, admin.RetryParked(t.Context(), "shop", "order-0"), "still fails")
		require.ErrorIs(t, admin.RetryParked(t.Context(), "shop", "order-9"), projection.ErrNotParked)
		broken.Store(false)
		for _, stream := range []string{"order-0", "order-1", "order-2"} {
			require.NoError(t, admin.RetryParked(t.Context(), "shop", stream))
		}
		parked, err = admin.Parked(t.Context(), "shop")
		require.NoError(t, err)
		require.Empty(t, parked)
		s.check(t, 3)
	})
}

func TestARequestThatNobodyServesSaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShop(memstore.New(nil), memview.New())
		admin := projection.NewAdmin(s.views)
		fill(t, s.store, 0, 5)
		r := projection.NewRunner(s.store, nil, s.projection())
		stop := start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.NoError(t, stop())
		time.Sleep(time.Minute) // its notes expire
		_, err := admin.Rebuild(t.Context(), "shop", nil)
		require.ErrorIs(t, err, projection.ErrNotServed)
		require.ErrorContains(t, err, "no application that follows it is running")
		_, err = admin.Rebuild(t.Context(), "nope", nil)
		require.ErrorIs(t, err, projection.ErrNoView)
		notes, err := s.views.Notes(t.Context(), "shop")
		require.NoError(t, err)
		require.Empty(t, notes)
	})
}

func TestSkippedEventsAreNotApplied(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		admin := projection.NewAdmin(s.views)
		fill(t, s.store, 0, 5)
		r := projection.NewRunner(s.store, nil, s.projection())
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.NoError(t, r.Pause(t.Context(), "shop"))
		fill(t, s.store, 5, 5)
		head, err := s.store.Head(t.Context())
		require.NoError(t, err)
		require.ErrorContains(t, admin.SkipTo(t.Context(), "shop", head+1), "ends at")
		require.NoError(t, admin.SkipTo(t.Context(), "shop", head))
		require.NoError(t, r.Resume(t.Context(), "shop"))
		fill(t, s.store, 10, 1)
		require.NoError(t, r.WaitLevel(t.Context()))
		_, err = s.summaries.Get(t.Context(), "7")
		require.ErrorIs(t, err, projection.ErrNotFound)
		tea, err := s.sales.Get(t.Context(), "tea")
		require.NoError(t, err)
		require.Equal(t, int64(6), tea)
	})
}

// A deadEnd is an event store that can be made to answer nothing.
type deadEnd struct {
	*memstore.Store
	dead atomic.Bool
}

var errDead = errors.New("no route to host")

func (d *deadEnd) Head(ctx context.Context) (eventstore.Position, error) {
	if d.dead.Load() {
		return 0, errDead
	}
	return d.Store.Head(ctx)
}

func TestAnAdminSeesWhyAViewIsNotFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &deadEnd{Store: memstore.New(nil)}
		s := newShop(source, memview.New())
		admin := projection.NewAdmin(s.views)
		fill(t, source, 0, 5)
		r := projection.NewRunner(source, &projection.Options{Owner: "old"}, s.projection())
		stop := start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.NoError(t, stop())
		time.Sleep(time.Minute) // its notes expire

		source.dead.Store(true)
		r = projection.NewRunner(source, &projection.Options{Owner: "old"}, s.projection())
		stop = start(t, r)
		time.Sleep(time.Minute)
		v, err := admin.Show(t.Context(), "shop")
		require.NoError(t, err)
		require.Len(t, v.Runners, 1)
		assert.Equal(t, projection.StateRetrying, v.Runners[0].State)
		require.ErrorContains(t, v.Runners[0].Source, "no route to host", "so that no lag is not taken for none")
		source.dead.Store(false)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.NoError(t, stop())

		r = projection.NewRunner(source, &projection.Options{Owner: "new", StopOnNewDefinition: true}, s.projection(projection.Definition(2)))
		require.ErrorIs(t, r.Run(t.Context()), projection.ErrDefinitionChanged)
		time.Sleep(10 * time.Minute)
		v, err = admin.Show(t.Context(), "shop")
		require.NoError(t, err)
		require.Len(t, v.Runners, 1)
		assert.Equal(t, projection.StateFailed, v.Runners[0].State)
		require.ErrorContains(t, v.Runners[0].Err, "definition has changed")
	})
}

func TestARequestToNobodyIsAnsweredSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		views := memview.New()
		require.NoError(t, views.CreateVersion(t.Context(), "shop", projection.VersionInfo{Number: 1, Partitions: 1}))
		began := time.Now()
		_, err := projection.NewAdmin(views).Rebuild(t.Context(), "shop", nil)
		require.ErrorIs(t, err, projection.ErrNotServed)
		assert.Less(t, time.Since(began), 3*time.Second)
	})
}

// The first that others see of a runner is what it does, not that it did
// nothing before.
func TestAViewIsListedAsWhatItIsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		admin := projection.NewAdmin(s.views)
		fill(t, s.store, 0, 30)
		var states []projection.State
		look := func() {
			v, err := admin.Show(t.Context(), "shop")
			require.NoError(t, err)
			for _, st := range v.Runners {
				states = append(states, st.State)
			}
		}
		for range 2 { // built, and then found
			r := projection.NewRunner(s.store, nil, s.projection())
			stop := start(t, r)
			require.NoError(t, r.WaitLevel(t.Context()))
			for range 20 {
				synctest.Wait()
				look()
				time.Sleep(10 * time.Millisecond)
			}
			require.NoError(t, stop())
			require.Len(t, states, 20)
			require.NotContains(t, states, projection.StateStopped)
			require.NotContains(t, states, projection.StateBuilding)
			states = nil
		}
	})
}

// silences counts how often a status was taken away.
type silences struct {
	projection.ViewStore
	n atomic.Int64
}

func (s *silences) PutNote(ctx context.Context, view, name string, value []byte, ttl time.Duration) error {
	if value == nil && strings.HasPrefix(name, "status/") {
		s.n.Add(1)
	}
	return s.ViewStore.PutNote(ctx, view, name, value, ttl)
}

// Between following and being paused nobody may think that the view has no
// application.
func TestARunnerThatPausesIsNeverSilent(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		views := &silences{ViewStore: s.views}
		fill(t, s.store, 0, 3)
		r := projection.NewRunner(s.store, nil, newShop(s.store, views).projection())
		stop := start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.NoError(t, r.Pause(t.Context(), "shop"))
		time.Sleep(2 * time.Second)
		require.NoError(t, r.Resume(t.Context(), "shop"))
		require.NoError(t, r.WaitLevel(t.Context()))
		_, err := r.Rebuild(t.Context(), "shop", nil)
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		assert.Zero(t, views.n.Load())
		require.NoError(t, stop())
		assert.Positive(t, views.n.Load(), "until it leaves")
	})
}
