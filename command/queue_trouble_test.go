package command_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

var errTrouble = &eventstore.UnavailableError{Op: "append", Err: errors.New("trouble")}

func TestDeadLettersAreRetriedAndDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstore.New(nil), &command.QueueOptions{MaxFaults: 1})
		var broken atomic.Bool
		broken.Store(true)
		r.onOdd = func(context.Context, int) (eventstore.Receipt, error) {
			if broken.Load() {
				return eventstore.Receipt{}, errors.New("no idea")
			}
			return eventstore.Receipt{}, nil
		}
		r.run()
		first, second := r.enqueue(odd{1}, command.WithKey("k")), r.enqueue(odd{2}, command.WithKey("k"))
		require.Equal(t, command.StateDeadLettered, r.await(first).State)
		require.Equal(t, command.StateDeadLettered, r.await(second).State, "later ones go on")
		dead := command.ListFilter{States: []command.State{command.StateDeadLettered}}
		assert.Equal(t, []string{first, second}, r.ids(dead))
		assert.Equal(t, 2, must(r.queue.Stats(t.Context())).DeadLettered)

		broken.Store(false)
		require.NoError(t, r.queue.Retry(t.Context(), first))
		s := r.await(first)
		assert.Equal(t, command.StateDone, s.State)
		assert.Equal(t, 1, s.Attempts, "counted anew")
		assert.Empty(t, s.Reason)
		require.NoError(t, r.queue.Drop(t.Context(), second, "not needed"))
		s = r.await(second)
		assert.Equal(t, command.StateDropped, s.State)
		assert.ErrorContains(t, s.Err(), "not needed")
		assert.Empty(t, r.ids(dead))
		assert.Equal(t, []string{first, second}, r.ids(command.ListFilter{}), "as they finished")

		var wrong *command.QueueStateError
		require.ErrorAs(t, r.queue.Retry(t.Context(), first), &wrong)
		assert.EqualError(t, wrong, "command "+first+" of queue jobs is done: cannot retry it")
		require.ErrorIs(t, r.queue.Drop(t.Context(), second, ""), command.ErrQueueState)
		require.NoError(t, r.queue.Retry(t.Context(), second), "dropped by mistake")
		assert.Equal(t, command.StateDone, r.await(second).State)
	})
}

func TestAKeyCanBeHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstore.New(nil), &command.QueueOptions{MaxFaults: 1, HoldKeys: true})
		var broken atomic.Bool
		broken.Store(true)
		r.onOdd = func(_ context.Context, n int) (eventstore.Receipt, error) {
			if broken.Load() {
				return eventstore.Receipt{}, errors.New("no idea")
			}
			return eventstore.Receipt{}, nil
		}
		stop := r.run()
		var ids []string
		for i := range 4 {
			ids = append(ids, r.enqueue(odd{i}, command.WithKey("k")))
		}
		r.await(ids[0])
		time.Sleep(time.Hour)
		assert.Equal(t, []int{0}, r.begun())
		stop() // another worker knows it too
		r.run()
		time.Sleep(time.Hour)
		assert.Equal(t, []int{0}, r.begun())
		require.NoError(t, r.queue.Retry(t.Context(), ids[0]))
		synctest.Wait()
		assert.Equal(t, []int{0, 0}, r.begun(), "it is still before the others")
		broken.Store(false)
		require.NoError(t, r.queue.Drop(t.Context(), ids[0], ""))
		r.await(ids[3])
		assert.Equal(t, []int{0, 0, 1, 2, 3}, r.begun())
	})
}

func TestAFailedCommandIsRetriedWhenTheWorldHasChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstore.New(nil), nil)
		no := true
		r.onOdd = func(context.Context, int) (eventstore.Receipt, error) {
			if no {
				return eventstore.Receipt{}, errNegative
			}
			return eventstore.Receipt{}, nil
		}
		r.run()
		id := r.enqueue(odd{1}, command.WithKey("k"))
		require.Equal(t, command.StateFailed, r.await(id).State)
		no = false
		require.NoError(t, r.queue.Retry(t.Context(), id))
		assert.Equal(t, command.StateDone, r.await(id).State)
		assert.Equal(t, []int{1, 1}, r.begun())
	})
}

func TestRetryAndDropOfWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstore.New(nil), &command.QueueOptions{Backoff: time.Hour, MaxBackoff: time.Hour})
		r.onOdd = func(_ context.Context, n int) (eventstore.Receipt, error) {
			if n == 1 && len(r.begun()) == 1 {
				return eventstore.Receipt{}, errTrouble
			}
			return eventstore.Receipt{}, nil
		}
		r.run()
		start := time.Now()
		retrying := r.enqueue(odd{1}, command.WithKey("k"))
		behind := r.enqueue(odd{2}, command.WithKey("k"))
		gone := r.enqueue(odd{3}, command.WithKey("k"))
		soon, never := r.enqueue(odd{4}, command.Delay(time.Hour)), r.enqueue(odd{5}, command.Delay(time.Hour))
		synctest.Wait()
		require.NoError(t, r.queue.Drop(t.Context(), gone, "")) // from the middle
		require.NoError(t, r.queue.Drop(t.Context(), never, ""))
		require.NoError(t, r.queue.Retry(t.Context(), soon))
		r.await(soon)
		require.NoError(t, r.queue.Retry(t.Context(), retrying))
		r.await(behind)
		assert.Equal(t, start, time.Now())
		time.Sleep(3 * time.Hour)
		assert.Equal(t, []int{1, 4, 1, 2}, r.begun())
		assert.Zero(t, must(r.queue.Stats(t.Context())).Scheduled)
	})
}

func TestDroppingARunningCommandCancelsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstore.New(nil), nil)
		r.onOdd = func(ctx context.Context, n int) (eventstore.Receipt, error) {
			if n == 1 {
				<-ctx.Done()
			}
			return eventstore.Receipt{}, ctx.Err()
		}
		r.run()
		start := time.Now()
		id, behind := r.enqueue(odd{1}, command.WithKey("k")), r.enqueue(odd{2}, command.WithKey("k"))
		synctest.Wait()
		require.ErrorIs(t, r.queue.Retry(t.Context(), id), command.ErrQueueState)
		require.NoError(t, r.queue.Drop(t.Context(), id, "enough"))
		r.await(behind)
		assert.Equal(t, start, time.Now())
		assert.Equal(t, command.StateDropped, r.get(id).State)
		assert.Equal(t, uint64(1), must(r.queue.Stats(t.Context())).Lost)
	})
}

// A cut store loses what one process does from some moment on, as if the
// process had been killed or frozen.
type cut struct {
	eventstore.Store
	frozen chan struct{} // closed: appends fail
}

func (c *cut) Append(ctx context.Context, stream string, expected eventstore.Expected, events ...eventstore.Event) (eventstore.Receipt, error) {
	select {
	case <-c.frozen:
		<-ctx.Done()
		return eventstore.Receipt{}, ctx.Err()
	default:
		return c.Store.Append(ctx, stream, expected, events...)
	}
}

func TestAnotherWorkerTakesOver(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		worker string // of both
		wait   time.Duration
	}{
		"when the lease has run out":    {"", 20 * time.Second},
		"at once when it has that name": {"main", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := memstore.New(nil)
				frozen := &cut{store, make(chan struct{})}
				dead := newRig(t, frozen, &command.QueueOptions{Worker: test.worker, StopTimeout: time.Millisecond})
				dead.onOdd = func(ctx context.Context, _ int) (eventstore.Receipt, error) {
					<-ctx.Done()
					return eventstore.Receipt{}, ctx.Err()
				}
				dead.run()
				dead.enqueue(odd{1}, command.WithID("x"), command.WithKey("k"))
				dead.enqueue(odd{2}, command.WithID("y"), command.WithKey("k"))
				synctest.Wait()
				close(frozen.frozen)
				start := time.Now()
				r := newRig(t, store, &command.QueueOptions{Worker: test.worker})
				r.run()
				s := r.await("x")
				assert.Equal(t, test.wait, time.Since(start))
				assert.Equal(t, command.StateDone, s.State)
				assert.Equal(t, 2, s.Attempts)
				assert.Equal(t, command.StateDone, r.await("y").State)
				assert.Equal(t, []int{1, 2}, r.begun())
			})
		})
	}
}

func TestACommandThatKillsItsWorkersIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(nil)
		r := newRig(t, store, nil)
		r.enqueue(odd{1}, command.WithID("x"))
		for range 4 {
			frozen := &cut{store, make(chan struct{})}
			dead := newRig(t, frozen, &command.QueueOptions{Worker: "main", MaxAttempts: 3, StopTimeout: time.Millisecond})
			dead.onOdd = func(ctx context.Context, _ int) (eventstore.Receipt, error) {
				<-ctx.Done()
				return eventstore.Receipt{}, ctx.Err()
			}
			stop := dead.run()
			synctest.Wait()
			close(frozen.frozen)
			stop()
		}
		s := r.await("x")
		assert.Equal(t, command.StateDeadLettered, s.State)
		assert.Equal(t, 3, s.Attempts)
		assert.Contains(t, s.Reason, "its worker died 3 times")
	})
}

// What a worker does that was thought to be dead has no effect a second time, and
// does not change what became of the command.
func TestALateWorkerChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(nil)
		late := newRig(t, store, &command.QueueOptions{Worker: "main"})
		hold := make(chan struct{})
		late.onOdd = func(ctx context.Context, n int) (eventstore.Receipt, error) {
			<-hold // deaf to ctx
			return command.Send(context.WithoutCancel(ctx), late.bus, put{"a", n}, command.WithID("inner"))
		}
		stop := late.run()
		id := late.enqueue(odd{7})
		synctest.Wait()
		r := newRig(t, store, &command.QueueOptions{Worker: "main"})
		r.onOdd = func(ctx context.Context, n int) (eventstore.Receipt, error) {
			return command.Send(ctx, r.bus, put{"a", n}, command.WithID("inner"))
		}
		r.run()
		s := r.await(id)
		require.Equal(t, command.StateDone, s.State)
		close(hold)
		synctest.Wait()
		stop()
		assert.Equal(t, s, r.get(id))
		assert.Equal(t, []int{7}, r.numbers("a"))
	})
}

func TestAWorkerThatStopsGivesBackWhatItHasNotDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(nil)
		r := newRig(t, store, &command.QueueOptions{Concurrency: 2, StopTimeout: 10 * time.Second})
		r.onOdd = func(ctx context.Context, n int) (eventstore.Receipt, error) {
			select {
			case <-ctx.Done():
				return eventstore.Receipt{}, ctx.Err()
			case <-time.After(time.Duration(n) * time.Second):
				return eventstore.Receipt{}, nil
			}
		}
		stop := r.run()
		quick, slow, waiting := r.enqueue(odd{5}), r.enqueue(odd{20}), r.enqueue(odd{0})
		synctest.Wait()
		require.ErrorIs(t, r.queue.Run(t.Context()), command.ErrRunning)
		start := time.Now()
		stop()
		assert.Equal(t, 10*time.Second, time.Since(start))
		assert.Equal(t, command.StateDone, r.get(quick).State)
		s := r.get(slow)
		assert.Equal(t, command.StateRetrying, s.State)
		assert.Zero(t, s.Attempts, "as if it had not been begun")
		assert.False(t, s.Due.After(time.Now()))
		s = r.get(waiting)
		assert.Equal(t, command.StatePending, s.State)
		assert.Zero(t, s.Attempts)
		r.run()
		assert.Equal(t, 1, r.await(slow).Attempts)
	})
}

// A flaky store fails some appends, after they were done as well as before.
type flaky struct {
	eventstore.Store
	rnd func(n int) int
}

func (f *flaky) Append(ctx context.Context, stream string, expected eventstore.Expected, events ...eventstore.Event) (eventstore.Receipt, error) {
	fate := f.rnd(6)
	if fate == 0 {
		return eventstore.Receipt{}, errTrouble
	}
	r, err := f.Store.Append(ctx, stream, expected, events...)
	if fate == 1 && err == nil {
		return eventstore.Receipt{}, &eventstore.UnavailableError{Op: "append", Uncertain: true, Err: errors.New("no answer")}
	}
	return r, err
}

func (f *flaky) SubscribeAll(ctx context.Context, opts eventstore.SubscribeAllOptions) iter.Seq2[eventstore.Message, error] {
	return func(yield func(eventstore.Message, error) bool) {
		for m, err := range f.Store.SubscribeAll(ctx, opts) {
			if err == nil && f.rnd(50) == 0 {
				err = errTrouble
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// A mute store does what it is told about the beginning of commands and never
// says so.
type mute struct{ eventstore.Store }

func (m *mute) Append(ctx context.Context, stream string, expected eventstore.Expected, events ...eventstore.Event) (eventstore.Receipt, error) {
	r, err := m.Store.Append(ctx, stream, expected, events...)
	if err == nil && events[0].Type == "command.started" {
		err = &eventstore.UnavailableError{Op: "append", Uncertain: true, Err: errors.New("no answer")}
	}
	return r, err
}

func TestWhatWasSeenInTheStoreNeedsNoAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &mute{memstore.New(nil)}, nil)
		r.run()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		s, err := r.queue.Await(ctx, r.enqueue(odd{1}))
		require.NoError(t, err)
		assert.Equal(t, command.StateDone, s.State)
		assert.Equal(t, 1, s.Attempts)
	})
}

// Several processes, a store that fails at times and loses answers: everything
// takes effect once and in order.
func TestSeveralWorkersOnAFlakyStore(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			draw := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return rnd.IntN(n)
			}
			store := memstore.New(nil)
			var workers []*rig
			var stops []func()
			for i := range 3 {
				w := newRig(t, &flaky{store, draw}, &command.QueueOptions{
					Concurrency: 8, Worker: fmt.Sprint("w", i), MaxAttempts: 1000, CheckpointEvery: 100,
				})
				workers = append(workers, w)
				stops = append(stops, w.run())
			}
			const keys, each = 10, 15
			sure := newRig(t, store, nil)
			for i := range keys * each {
				sure.enqueue(put{fmt.Sprint("k", i%keys), i / keys}, command.WithID(fmt.Sprintf("%d-%d", i%keys, i/keys)))
				if i%50 == 49 { // one goes and comes back
					n := draw(3)
					stops[n]()
					stops[n] = workers[n].run()
				}
			}
			for i := range keys {
				s := sure.await(fmt.Sprintf("%d-%d", i, each-1))
				require.Equal(t, command.StateDone, s.State, s.Reason)
			}
			var want []int
			for i := range each {
				want = append(want, i)
			}
			for i := range keys {
				assert.Equal(t, want, sure.numbers(fmt.Sprint("k", i)))
			}
			for _, stop := range stops {
				stop()
			}
			assert.Len(t, sure.ids(command.ListFilter{States: []command.State{command.StateDone}}), keys*each)
		})
	}
}
