package command_test

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

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
)

// counting is a command that says how often it was carried out.
func counting(n *atomic.Int32, took time.Duration, errs ...error) act {
	return act{Do: func(ctx context.Context) (eventstore.Receipt, error) {
		i := int(n.Add(1))
		select {
		case <-time.After(took):
		case <-ctx.Done():
			return eventstore.Receipt{}, ctx.Err()
		}
		if i <= len(errs) && errs[i-1] != nil {
			return eventstore.Receipt{}, errs[i-1]
		}
		return eventstore.Receipt{Version: eventstore.Version(i)}, nil
	}}
}

func TestACommandUnderWayIsJoined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus := busOf(command.Deduplicate(nil))
		var n, repeated atomic.Int32
		cmd := counting(&n, time.Second)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				r, err := command.Send(t.Context(), bus, cmd, command.WithID("c1"))
				assert.NoError(t, err)
				assert.EqualValues(t, 1, r.Version)
				if r.Repeated {
					repeated.Add(1)
				}
			})
		}
		all.Wait()
		assert.EqualValues(t, 1, n.Load())
		assert.EqualValues(t, 99, repeated.Load())

		r, err := command.Send(t.Context(), bus, cmd, command.WithID("c1"))
		require.NoError(t, err)
		assert.Equal(t, eventstore.Receipt{Version: 1, Repeated: true}, r, "within the window")
		time.Sleep(time.Minute + 1)
		r, err = command.Send(t.Context(), bus, cmd, command.WithID("c1"))
		require.NoError(t, err)
		assert.Equal(t, eventstore.Receipt{Version: 2}, r, "after it the aggregate decides")
	})
}

func TestWhatIsAnotherCommandIsCarriedOut(t *testing.T) {
	t.Parallel()
	var seen []string
	bus := command.NewBus(&command.Options{Middleware: []command.Middleware{command.Deduplicate(nil)}})
	command.Register(bus, func(_ context.Context, m move) (eventstore.Receipt, error) {
		seen = append(seen, m.To)
		return eventstore.Receipt{}, nil
	})
	command.Register(bus, func(context.Context, ping) (eventstore.Receipt, error) {
		seen = append(seen, "ping")
		return eventstore.Receipt{}, nil
	})
	send := func(cmd any, opts ...command.SendOption) {
		_, err := command.Send(t.Context(), bus, cmd, opts...)
		require.NoError(t, err)
	}
	send(move{"a"}, command.WithID("x"))
	send(move{"a"}, command.WithID("x")) // the repeat
	send(move{"b"}, command.WithID("x")) // ids are kept per aggregate
	send(ping{}, command.WithID("x"))    // of another type
	send(move{"a"}, command.WithID("y"))
	send(move{"a"})
	send(move{"a"}, command.WithMetadata("k", "v"))
	assert.Equal(t, []string{"a", "b", "ping", "a", "a", "a"}, seen)
}

func TestErrorsAreSharedAndNotRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus := busOf(command.Deduplicate(nil))
		broken := errors.New("broken")
		var n, failed atomic.Int32
		cmd := counting(&n, time.Second, broken)
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if _, err := command.Send(t.Context(), bus, cmd, command.WithID("c1")); errors.Is(err, broken) {
					failed.Add(1)
				}
			})
		}
		all.Wait()
		assert.EqualValues(t, 10, failed.Load())
		r, err := command.Send(t.Context(), bus, cmd, command.WithID("c1"))
		require.NoError(t, err)
		assert.Equal(t, eventstore.Receipt{Version: 2}, r)
	})
}

func TestTheNextGoesOnWhenTheFirstGaveUp(t *testing.T) {
	t.Parallel()
	for name, endFirst := range map[string]func(ctx context.Context) (context.Context, context.CancelFunc){
		"canceled": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		},
		"late": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				bus := busOf(command.Deduplicate(nil))
				var n, repeated atomic.Int32
				cmd := counting(&n, 2*time.Second)
				var all sync.WaitGroup
				all.Go(func() {
					ctx, cancel := endFirst(t.Context())
					defer cancel()
					_, err := command.Send(ctx, bus, cmd, command.WithID("c1"))
					assert.Error(t, err)
				})
				synctest.Wait()
				for range 5 {
					all.Go(func() {
						r, err := command.Send(t.Context(), bus, cmd, command.WithID("c1"))
						assert.NoError(t, err)
						if r.Repeated {
							repeated.Add(1)
						}
					})
				}
				all.Wait()
				assert.EqualValues(t, 2, n.Load(), "one of them took its place")
				assert.EqualValues(t, 4, repeated.Load())
			})
		})
	}
}

func TestWhoWaitsForAnotherMayGiveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus := busOf(command.Deduplicate(nil))
		var n atomic.Int32
		cmd := counting(&n, time.Minute)
		var first sync.WaitGroup
		first.Go(func() {
			_, err := command.Send(t.Context(), bus, cmd, command.WithID("c1"))
			assert.NoError(t, err)
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := command.Send(ctx, bus, cmd, command.WithID("c1"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, command.Late, command.OutcomeOf(err))
		first.Wait()
		assert.EqualValues(t, 1, n.Load())
	})
}

func TestAPanicLeavesNobodyWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus := busOf(command.Recover(), command.Deduplicate(nil))
		var n atomic.Int32
		cmd := act{Do: func(context.Context) (eventstore.Receipt, error) {
			if time.Sleep(time.Second); n.Add(1) == 1 {
				panic("boom")
			}
			return eventstore.Receipt{}, nil
		}}
		outcomes := make([]command.Outcome, 3)
		var all sync.WaitGroup
		for i := range outcomes {
			all.Go(func() {
				_, err := command.Send(t.Context(), bus, cmd, command.WithID("c1"))
				outcomes[i] = command.OutcomeOf(err)
			})
		}
		all.Wait()
		assert.ElementsMatch(t, []command.Outcome{command.Panicked, command.Done, command.Done}, outcomes)
		assert.EqualValues(t, 2, n.Load())
	})
}

func TestReceiptsAreBounded(t *testing.T) {
	t.Parallel()
	bus := busOf(command.Deduplicate(&command.DeduplicateOptions{Max: 10}))
	var n atomic.Int32
	cmd := counting(&n, 0)
	send := func(i int) eventstore.Receipt {
		r, err := command.Send(t.Context(), bus, cmd, command.WithID(strconv.Itoa(i)))
		require.NoError(t, err)
		return r
	}
	for i := range 1000 {
		require.False(t, send(i).Repeated)
	}
	assert.True(t, send(999).Repeated)
	assert.True(t, send(991).Repeated)
	assert.False(t, send(0).Repeated, "forgotten for the newer")
}
