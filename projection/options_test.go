package projection_test

import (
	"context"
	"errors"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/projection"
)

// strange appends an event of a type that no codec knows.
func strange(t *testing.T, store eventstore.Store) {
	t.Helper()
	_, err := store.Append(t.Context(), "other-1", eventstore.Any, eventstore.Event{Type: "other.strange", Data: []byte("?")})
	require.NoError(t, err)
}

func TestUnknownEventsAreSkippedCountedOrStopTheViews(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		fill(t, s.store, 0, 3)
		strange(t, s.store)
		strange(t, s.store)
		fill(t, s.store, 3, 3)
		r := projection.NewRunner(s.store, nil, s.projection())
		stop := start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		s.check(t, 6)
		assert.Empty(t, status(t, r).Unknown)
		require.NoError(t, stop())

		s = newShop(s.store, s.views) // the same view, followed on
		strange(t, s.store)
		r = projection.NewRunner(s.store, &projection.Options{UnknownEvents: projection.UnknownCount}, s.projection())
		stop = start(t, r)
		strange(t, s.store)
		fill(t, s.store, 6, 1)
		require.NoError(t, r.WaitLevel(t.Context()))
		s.check(t, 7)
		assert.Equal(t, map[string]int64{"other.strange": 2}, status(t, r).Unknown)
		require.NoError(t, stop())

		r = projection.NewRunner(s.store, &projection.Options{UnknownEvents: projection.UnknownStop}, s.projection())
		stop = start(t, r)
		fill(t, s.store, 7, 1)
		require.NoError(t, r.WaitLevel(t.Context()))
		strange(t, s.store)
		time.Sleep(time.Second)
		st := status(t, r)
		assert.Equal(t, projection.StateFailed, st.State)
		require.ErrorIs(t, st.Err, eventstore.ErrUnknownEvent)
		require.ErrorContains(t, stop(), `type "other.strange"`)
		s.check(t, 8)
	})
}

func TestHooksTellWhatARunnerDoes(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		var mu sync.Mutex
		var events, commits int
		var states []projection.State
		var parked []string
		hooks := projection.Hooks{
			Committed: func(c projection.CommitInfo) {
				mu.Lock()
				defer mu.Unlock()
				commits++
				events += c.Events
			},
			Parked: func(view string, p projection.ParkedStream) {
				mu.Lock()
				defer mu.Unlock()
				parked = append(parked, view+" "+p.Stream)
			},
			State: func(_ string, _, to projection.State) {
				mu.Lock()
				defer mu.Unlock()
				states = append(states, to)
			},
		}
		bad := projection.On(s.summaries, func(sum summary, e paid, _ projection.Meta) (summary, error) {
			if e.Cents == 13 {
				return sum, errBroken
			}
			return sum, nil
		})
		r := projection.NewRunner(s.store, &projection.Options{Hooks: hooks}, s.projection(bad))
		stop := start(t, r)
		put(t, s.store, "order-a", placed{Customer: "ada"}, paid{Cents: 13}, paid{Cents: 1})
		require.NoError(t, r.WaitLevel(t.Context()))
		require.NoError(t, stop())
		assert.Equal(t, []string{"shop order-a"}, parked, "once for a stream")
		assert.Positive(t, commits)
		assert.Equal(t, 4, events, "the order's three events, and the part of the first in the customer's partition")
		assert.Equal(t, []projection.State{projection.StateBuilding, projection.StateLive, projection.StateStopped}, states)
	})
}

// A fold may say that trying again helps.
func TestATransientErrorOfAFoldIsTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		tries := 0
		flaky := projection.On(s.summaries, func(sum summary, e paid, _ projection.Meta) (summary, error) {
			if e.Cents == 13 {
				if tries++; tries < 4 {
					return sum, projection.Transient(errBroken)
				}
			}
			return sum, nil
		})
		r := projection.NewRunner(s.store, nil, s.projection(flaky))
		start(t, r)
		put(t, s.store, "order-a", placed{Customer: "ada"}, paid{Cents: 13}, paid{Cents: 2})
		require.NoError(t, r.WaitLevel(t.Context()))
		a, err := s.summaries.Get(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, summary{Customer: "ada", Cents: 15, Events: 3, Version: 3}, a)
		parked, err := r.Parked(t.Context(), "shop")
		require.NoError(t, err)
		assert.Empty(t, parked)
		st := status(t, r)
		assert.Equal(t, 3, st.Retries)
		require.ErrorIs(t, st.Err, errBroken)
		require.NoError(t, projection.Transient(nil))
	})
}

// A source that cannot be read shows as such, and the views go on where they
// were.
func TestADeadSourceShowsAndIsTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		source := &brokenSource{Store: s.store}
		fill(t, s.store, 0, 3)
		r := projection.NewRunner(source, nil, s.projection())
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		source.cut(errNetwork)
		fill(t, s.store, 3, 3)
		time.Sleep(10 * time.Second)
		st := status(t, r)
		require.ErrorIs(t, st.Source, errNetwork)
		assert.Equal(t, uint64(9), st.Lag)
		source.cut(nil)
		require.NoError(t, r.WaitLevel(t.Context()))
		s.check(t, 6)
		require.NoError(t, status(t, r).Source)
	})
}

// brokenSource is an event store whose subscriptions can be cut.
type brokenSource struct {
	eventstore.Store
	mu      sync.Mutex
	err     error
	cancels []context.CancelCauseFunc
}

func (b *brokenSource) cut(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
	for _, cancel := range b.cancels {
		cancel(err)
	}
	b.cancels = nil
}

func (b *brokenSource) SubscribeAll(ctx context.Context, opts eventstore.SubscribeAllOptions) iter.Seq2[eventstore.Message, error] {
	return func(yield func(eventstore.Message, error) bool) {
		b.mu.Lock()
		err := b.err
		cut, cancel := context.WithCancelCause(ctx)
		b.cancels = append(b.cancels, cancel)
		b.mu.Unlock()
		defer cancel(nil)
		if err != nil {
			yield(eventstore.Message{}, err)
			return
		}
		for msg, err := range b.Store.SubscribeAll(cut, opts) {
			if cause := context.Cause(cut); err != nil && ctx.Err() == nil && errors.Is(cause, errNetwork) {
				err = cause
			}
			if !yield(msg, err) {
				return
			}
		}
	}
}
