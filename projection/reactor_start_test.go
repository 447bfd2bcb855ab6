package projection_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/projection"
)

// away is a view store that does not answer at first.
type away struct {
	projection.ViewStore
	back      atomic.Bool
	noPointer atomic.Int64 // so often versions cannot be made active
}

func (a *away) Notes(ctx context.Context, view string) (map[string][]byte, error) {
	if !a.back.Load() {
		return nil, errNetwork
	}
	return a.ViewStore.Notes(ctx, view)
}

func (a *away) Active(ctx context.Context, view string) (projection.VersionInfo, error) {
	if !a.back.Load() {
		return projection.VersionInfo{}, errNetwork
	}
	return a.ViewStore.Active(ctx, view)
}

func (a *away) Activate(ctx context.Context, view string, version int) error {
	if a.noPointer.Add(-1) >= 0 {
		return errNetwork
	}
	return a.ViewStore.Activate(ctx, view, version)
}

func TestAReactorBeginsWhereItWasFirstRunThoughTheViewStoreIsAway(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		pay(t, s.store, 0, 10)
		var box mailbox
		views := &away{ViewStore: s.views}
		r := projection.NewRunner(s.store, nil, box.reactor(views))
		start(t, r)
		time.Sleep(time.Minute)
		pay(t, s.store, 10, 5) // while the view store is away
		time.Sleep(time.Minute)
		views.back.Store(true)
		time.Sleep(time.Minute)
		require.Len(t, box.all(), 15, "what came since the first start")
		require.Zero(t, box.replay)
	})
}

// Where it begins is stored with its version, before the version is the one
// that is followed: another process does not decide anew.
func TestAReactorThatHasHalfBegunBeginsThere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		parts                     []projection.Part
		effects, replays, further int
	}{
		"at the end":   {nil, 15, 0, 3},
		"with history": {[]projection.Part{projection.StartAt(0)}, 45, 30, 3},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *shop) {
				pay(t, s.store, 0, 10)
				var box mailbox
				views := &away{ViewStore: s.views}
				views.back.Store(true)
				views.noPointer.Store(1 << 30)
				stop := start(t, projection.NewRunner(s.store, nil, box.reactor(views, c.parts...)))
				time.Sleep(time.Minute)
				require.NoError(t, stop())
				require.Empty(t, box.all())
				pay(t, s.store, 10, 5)
				views.noPointer.Store(0)
				// Another program, and a definition changes nothing.
				r := projection.NewRunner(s.store, nil, box.reactor(views, append(c.parts, projection.Definition(2))...))
				start(t, r)
				require.NoError(t, r.WaitLevel(t.Context()))
				require.Len(t, box.all(), c.effects)
				require.Equal(t, c.replays, box.replay)
				pay(t, s.store, 15, 1)
				require.NoError(t, r.WaitLevel(t.Context()))
				require.Len(t, box.all(), c.effects+c.further)
				require.Equal(t, c.replays, box.replay)
			})
		})
	}
}

func TestAReactorOfAnEmptyEventStoreReactsToTheFirstEventEver(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		var box mailbox
		views := &away{ViewStore: s.views}
		r := projection.NewRunner(s.store, nil, box.reactor(views))
		start(t, r)
		time.Sleep(time.Minute)
		pay(t, s.store, 0, 5)
		views.back.Store(true)
		time.Sleep(time.Minute)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.Len(t, box.all(), 15)
		require.Zero(t, box.replay, "none of this is history")
	})
}

// With StartAt(0), too, another definition goes on where the first one was.
func TestADefinitionRepeatsNoEffectsOfHistory(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		pay(t, s.store, 0, 200)
		var box mailbox
		box.fail = func(projection.Meta) error { time.Sleep(10 * time.Millisecond); return nil }
		r := projection.NewRunner(s.store, &projection.Options{Partitions: 1}, box.reactor(s.views, projection.StartAt(0)))
		stop := start(t, r)
		time.Sleep(2 * time.Second)
		require.NoError(t, stop())
		done := len(box.all())
		require.Greater(t, done, 100)
		require.Less(t, done, 300)
		pay(t, s.store, 200, 10)
		r = projection.NewRunner(s.store, nil, box.reactor(s.views, projection.StartAt(0), projection.Definition(2))) // keeps the one partition
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.Len(t, box.all(), 630, "each once")
		require.Equal(t, 600, box.replay, "history is what was there when it began")
	})
}
