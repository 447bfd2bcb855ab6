package projection_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/projection"
)

func TestRebuildGivesTheSameBesideTheLiveView(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		fill(t, s.store, 0, 100)
		r := projection.NewRunner(s.store, nil, s.projection())
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		var seen []projection.Progress
		result, err := r.Rebuild(t.Context(), "shop", &projection.RebuildOptions{Progress: func(p projection.Progress) { seen = append(seen, p) }})
		require.NoError(t, err)
		assert.Equal(t, 1, result.OldVersion)
		assert.Equal(t, 2, result.NewVersion)
		assert.Equal(t, int64(300), result.Events)
		require.NotEmpty(t, seen)
		last := seen[len(seen)-1]
		assert.Equal(t, last.Head, last.Position)
		assert.InDelta(t, 1, last.Share, 0)
		assert.Equal(t, int64(300), last.Events)

		old, err := projection.Digest(t.Context(), s.views, "shop", 1)
		require.NoError(t, err)
		rebuilt, err := projection.Digest(t.Context(), s.views, "shop", 2)
		require.NoError(t, err)
		assert.Equal(t, old, rebuilt)
		assert.Equal(t, int64(100), rebuilt.Documents)

		fill(t, s.store, 100, 100) // the runner follows the new version
		require.NoError(t, r.WaitLevel(t.Context()))
		s.check(t, 200)
		assert.Equal(t, 2, status(t, r).Version)
		still, err := projection.Digest(t.Context(), s.views, "shop", 1)
		require.NoError(t, err)
		assert.Equal(t, old, still, "the old version stays as it was")

		require.NoError(t, s.views.Activate(t.Context(), "shop", 1)) // back in one step
		synctest.Wait()
		time.Sleep(2 * time.Second) // the runner looks at the pointer now and then
		require.NoError(t, r.WaitLevel(t.Context()))
		s.check(t, 200)
		assert.Equal(t, 1, status(t, r).Version)
	})
}

func TestReadersNeverSeeLessDuringRebuilds(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		fill(t, s.store, 0, 200)
		r := projection.NewRunner(s.store, nil, s.projection())
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { // writes and reads its own writes, through five switches
			for n := 200; ctx.Err() == nil; n++ {
				id := strconv.Itoa(n)
				receipt := put(t, s.store, "order-"+id, placed{Customer: "ada", SKUs: []string{"tea"}})
				after := eventstore.ContextAfter(context.WithoutCancel(ctx), receipt.Position)
				_, err := s.summaries.Get(after, id)
				assert.NoError(t, err)
				tea, err := s.sales.Get(after, "tea")
				assert.NoError(t, err)
				assert.Equal(t, int64(n+1), tea)
				time.Sleep(time.Millisecond)
			}
		})
		for i := range 5 {
			result, err := r.Rebuild(t.Context(), "shop", nil)
			require.NoError(t, err)
			assert.Equal(t, i+2, result.NewVersion)
			time.Sleep(50 * time.Millisecond)
		}
		cancel()
		wg.Wait()
		versions, err := s.views.Versions(t.Context(), "shop")
		require.NoError(t, err)
		require.Len(t, versions, 2, "the active one and the one before")
		assert.True(t, versions[1].Active)
	})
}

func TestAnInterruptedRebuildGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		fill(t, s.store, 0, 2000)
		var broken context.CancelFunc
		n := 0
		stumble := projection.OnIndex(s.customers, func(_ paid, m projection.Meta) []projection.Entry {
			if m.Replay {
				if n++; n == 3000 && broken != nil {
					broken()
				}
			}
			return nil
		})
		r := projection.NewRunner(s.store, &projection.Options{BatchEvents: 1}, s.projection(stumble))
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		n = 0
		ctx, cancel := context.WithCancel(t.Context())
		broken = cancel
		_, err := r.Rebuild(ctx, "shop", nil)
		require.ErrorIs(t, err, context.Canceled)
		s.check(t, 2000)
		broken = nil
		result, err := r.Rebuild(t.Context(), "shop", nil)
		require.NoError(t, err)
		assert.Equal(t, 2, result.NewVersion)
		assert.Less(t, result.Events, int64(6000), "what was filled before is not filled again")
		old, err := projection.Digest(t.Context(), s.views, "shop", 1)
		require.NoError(t, err)
		rebuilt, err := projection.Digest(t.Context(), s.views, "shop", 2)
		require.NoError(t, err)
		assert.Equal(t, old, rebuilt)
	})
}

func TestRebuildNeedsNoRunningRunner(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		fill(t, s.store, 0, 50)
		r := projection.NewRunner(s.store, nil, s.projection())
		result, err := r.Rebuild(t.Context(), "shop", nil) // never built before
		require.NoError(t, err)
		assert.Equal(t, 1, result.NewVersion)
		s.check(t, 50)
		result, err = r.Rebuild(t.Context(), "shop", nil)
		require.NoError(t, err)
		assert.Equal(t, 2, result.NewVersion)
		s.check(t, 50)
	})
}

func TestANewDefinitionIsBuiltWhileTheOldViewIsRead(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		fill(t, s.store, 0, 20)
		r := projection.NewRunner(s.store, nil, s.projection())
		stop := start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.NoError(t, stop())

		refuse := projection.NewRunner(s.store, &projection.Options{StopOnNewDefinition: true}, s.projection(projection.Definition(2)))
		require.ErrorIs(t, refuse.Run(t.Context()), projection.ErrDefinitionChanged)

		gate := make(chan struct{})
		slow := projection.OnIndex(s.customers, func(paid, projection.Meta) []projection.Entry {
			<-gate
			return nil
		})
		r = projection.NewRunner(s.store, nil, s.projection(slow, projection.Definition(2)))
		start(t, r)
		synctest.Wait()
		s.check(t, 20) // the old one
		assert.Equal(t, projection.StateBuilding, status(t, r).State)
		close(gate)
		fill(t, s.store, 20, 20)
		require.NoError(t, r.WaitLevel(t.Context()))
		s.check(t, 40)
		v, err := s.views.Active(t.Context(), "shop")
		require.NoError(t, err)
		assert.Equal(t, 2, v.Number)
		assert.Equal(t, 2, v.Definition)
	})
}

func TestOnlyOneRebuildsAViewAtATime(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		fill(t, s.store, 0, 20)
		gate := make(chan struct{})
		slow := projection.OnIndex(s.customers, func(_ paid, m projection.Meta) []projection.Entry {
			<-gate
			return nil
		})
		r := projection.NewRunner(s.store, nil, s.projection(slow))
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := r.Rebuild(t.Context(), "shop", nil)
			assert.NoError(t, err)
		})
		synctest.Wait()
		_, err := r.Rebuild(t.Context(), "shop", nil)
		require.ErrorIs(t, err, projection.ErrRunning)
		other := projection.NewRunner(s.store, nil, newShop(s.store, s.views).projection())
		_, err = other.Rebuild(t.Context(), "shop", nil)
		require.ErrorIs(t, err, projection.ErrRunning)
		close(gate)
		wg.Wait()
		s.check(t, 20)
	})
}

// rivalry is a view store that calls rival once, after the active version was
// asked for or before something is leased.
type rivalry struct {
	projection.ViewStore
	afterActive, beforeLease func()
}

func (r *rivalry) Active(ctx context.Context, view string) (projection.VersionInfo, error) {
	v, err := r.ViewStore.Active(ctx, view)
	callOnce(&r.afterActive)
	return v, err
}

func (r *rivalry) Lease(ctx context.Context, view, owner string, ttl time.Duration, names ...string) ([]string, error) {
	callOnce(&r.beforeLease)
	return r.ViewStore.Lease(ctx, view, owner, ttl, names...)
}

func callOnce(f *func()) {
	if call := *f; call != nil {
		*f = nil
		call()
	}
}

// A rebuild that another one has overtaken must not go on: what it fills would
// be compared with a version that nobody reads any more.
func TestARebuildThatWasOvertakenEnds(t *testing.T) {
	t.Parallel()
	for name, place := range map[string]func(*rivalry, func()){
		"before it began a version": func(r *rivalry, rival func()) { r.afterActive = rival },
		"after it began one":        func(r *rivalry, rival func()) { r.beforeLease = rival },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *shop) {
				fill(t, s.store, 0, 20)
				first := projection.NewRunner(s.store, nil, s.projection())
				rebuild := func() {
					_, err := first.Rebuild(t.Context(), "shop", nil)
					assert.NoError(t, err)
				}
				rebuild()
				views := &rivalry{ViewStore: s.views}
				place(views, rebuild)
				late := projection.NewRunner(s.store, nil, newShop(s.store, views).projection())
				_, err := late.Rebuild(t.Context(), "shop", nil)
				require.ErrorIs(t, err, projection.ErrRunning)
				require.ErrorContains(t, err, "version 2 has just become active")
				versions, err := s.views.Versions(t.Context(), "shop")
				require.NoError(t, err)
				require.Len(t, versions, 2, "the active one and one to go back to")
				s.check(t, 20)
			})
		})
	}
}
