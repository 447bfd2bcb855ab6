package command_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// account is an aggregate whose events are the numbers that were put into it, in
// their order.
type (
	account struct{ Numbers []int }
	put     struct {
		ID string
		N  int
	}
	was struct{ N int }
	// odd is a command that no aggregate handles; the test says what becomes of it.
	odd struct{ N int }
	// alien has no handler, and stranger is not registered.
	alien    struct{}
	stranger struct{}
)

// A businessNo is an error by which an aggregate says no.
type businessNo string

const errNegative = businessNo("numbers below zero are not taken")

func (r businessNo) Error() string { return string(r) }
func (r businessNo) Refused() bool { return true }

func (c put) AggregateID() string { return c.ID }

func (a account) Evolve(e was) account {
	return account{append(slices.Clone(a.Numbers), e.N)}
}

func (a account) Put(c put) ([]was, error) {
	if c.N < 0 {
		return nil, errNegative
	}
	return []was{{c.N}}, nil
}

var types = codec.New(codec.Type[put]("put"), codec.Type[was]("was"), codec.Type[odd]("odd"), codec.Type[alien]("alien"), codec.Default(codec.JSON))

// A rig is a store with a queue and what handles its commands.
type rig struct {
	t        testing.TB
	store    eventstore.Store
	accounts *aggregate.Repository[account, was]
	bus      *command.Bus
	queue    *command.Queue
	trouble  int // one of so many commands for accounts meets trouble, before or after it was done

	mu    sync.Mutex
	onOdd func(ctx context.Context, n int) (eventstore.Receipt, error)
	order []int // numbers of odd commands, as they were begun
}

func newRig(t testing.TB, store eventstore.Store, opts *command.QueueOptions) *rig {
	r := &rig{t: t, store: store, accounts: aggregate.NewRepository[account](store, "account", types, nil), bus: command.NewBus(nil)}
	handlePut := aggregate.Handle(r.accounts, account.Put)
	command.Register(r.bus, func(ctx context.Context, c put) (eventstore.Receipt, error) {
		fate := rand.IntN(max(2*r.trouble, 1))
		if r.trouble > 0 && fate == 0 {
			return eventstore.Receipt{}, errTrouble
		}
		receipt, err := handlePut(ctx, c)
		if r.trouble > 0 && fate == 1 {
			panic("trouble")
		}
		return receipt, err
	})
	command.Register(r.bus, func(ctx context.Context, c odd) (eventstore.Receipt, error) {
		r.mu.Lock()
		r.order = append(r.order, c.N)
		on := r.onOdd
		r.mu.Unlock()
		if on == nil {
			return eventstore.Receipt{}, nil
		}
		return on(ctx, c.N)
	})
	r.queue = command.NewQueue("jobs", store, types, r.bus, opts)
	return r
}

// run runs the queue until stop is called or the test ends.
func (r *rig) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.queue.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		assert.NoError(r.t, <-ended)
	})
	r.t.Cleanup(stop)
	return stop
}

func (r *rig) enqueue(cmd any, opts ...command.EnqueueOption) string {
	r.t.Helper()
	id, err := command.Enqueue(r.t.Context(), r.queue, cmd, opts...)
	require.NoError(r.t, err)
	return id
}

func (r *rig) await(id string) command.Status {
	r.t.Helper()
	s, err := r.queue.Await(r.t.Context(), id)
	require.NoError(r.t, err)
	return s
}

func (r *rig) get(id string) command.Status {
	r.t.Helper()
	s, err := r.queue.Get(r.t.Context(), id)
	require.NoError(r.t, err)
	return s
}

func (r *rig) numbers(id string) []int {
	r.t.Helper()
	a, err := r.accounts.Load(r.t.Context(), id)
	require.NoError(r.t, err)
	return a.State.Numbers
}

// begun returns the numbers of odd commands in the order in which they were begun.
func (r *rig) begun() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.order)
}

func (r *rig) ids(f command.ListFilter) []string {
	r.t.Helper()
	var ids []string
	for s, err := range r.queue.List(r.t.Context(), f) {
		require.NoError(r.t, err)
		ids = append(ids, s.ID)
	}
	return ids
}

func TestAQueuedCommandIsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstore.New(nil), nil)
		id := r.enqueue(put{"a", 7}, command.WithID("first"), command.WithCorrelation("talk"), command.WithMetadata("tenant", "t"))
		assert.Equal(t, "first", id)
		s := r.get(id)
		assert.Equal(t, command.StatePending, s.State)
		assert.Equal(t, "a", s.Key)
		assert.Equal(t, "put", s.Type)
		assert.JSONEq(t, `{"ID":"a","N":7}`, string(s.Data))
		stop := r.run()
		s = r.await(id)
		assert.Equal(t, command.StateDone, s.State)
		assert.NoError(t, s.Err())
		assert.Equal(t, 1, s.Attempts)
		assert.Equal(t, eventstore.Receipt{Stream: "account-a", Version: 1, Position: s.Receipt.Position}, s.Receipt)
		stop()
		assert.Equal(t, []int{7}, r.numbers("a"))
		for rec, err := range r.store.Read(t.Context(), "account-a", eventstore.ReadOptions{}) {
			require.NoError(t, err)
			assert.Equal(t, "first", rec.Metadata.Get(eventstore.KeyCommandID))
			assert.Equal(t, "talk", rec.Metadata.Get(eventstore.KeyCorrelationID))
			assert.Equal(t, "t", rec.Metadata.Get("tenant"))
			assert.Empty(t, rec.Metadata.Get("queued"))
		}
	})
}

func TestARefusalIsAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstore.New(nil), nil)
		r.run()
		s := r.await(r.enqueue(put{"a", -1}))
		assert.Equal(t, command.StateFailed, s.State)
		assert.Equal(t, command.Refused, s.Outcome)
		assert.Equal(t, errNegative.Error(), s.Reason)
		assert.Equal(t, 1, s.Attempts)
		var undone *command.UndoneError
		require.ErrorAs(t, s.Err(), &undone)
		assert.ErrorContains(t, undone, "failed: numbers below zero")
	})
}

func TestTroubleIsRetriedWithGrowingWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstore.New(nil), &command.QueueOptions{MaxAttempts: 6, Backoff: time.Second, MaxBackoff: 4 * time.Second})
		var at []time.Duration
		start := time.Now()
		r.onOdd = func(_ context.Context, n int) (eventstore.Receipt, error) {
			at = append(at, time.Since(start))
			if n == 1 && len(at) > 2 {
				return eventstore.Receipt{}, nil
			}
			return eventstore.Receipt{}, &eventstore.UnavailableError{Op: "append", Err: errors.New("gone")}
		}
		r.run()
		id := r.enqueue(odd{1})
		synctest.Wait()
		s := r.get(id)
		assert.Equal(t, command.StateRetrying, s.State)
		assert.Equal(t, command.Unavailable, s.Outcome)
		assert.Contains(t, s.Reason, "gone")
		assert.WithinRange(t, s.Due, start.Add(500*time.Millisecond), start.Add(time.Second))
		s = r.await(id)
		assert.Equal(t, command.StateDone, s.State)
		assert.Equal(t, 3, s.Attempts)

		at, start = nil, time.Now()
		s = r.await(r.enqueue(odd{2}))
		assert.Equal(t, command.StateDeadLettered, s.State)
		assert.Equal(t, 6, s.Attempts)
		require.Len(t, at, 6)
		for i, most := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 4 * time.Second, 4 * time.Second} {
			wait := at[i+1] - at[i]
			assert.True(t, wait >= most/2 && wait <= most, "wait %d is %v", i, wait)
		}
	})
}

func TestFaultsAreDeadLetteredSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstore.New(nil), nil)
		r.onOdd = func(_ context.Context, n int) (eventstore.Receipt, error) {
			if n == 1 {
				panic("boom")
			}
			return eventstore.Receipt{}, errors.New("no idea")
		}
		r.run()
		for cmd, want := range map[any]struct {
			outcome command.Outcome
			reason  string
		}{
			odd{1}:  {command.Panicked, "panic: boom"},
			odd{2}:  {command.Failed, "no idea"},
			alien{}: {command.NoHandler, "nobody handles"},
		} {
			s := r.await(r.enqueue(cmd))
			assert.Equal(t, command.StateDeadLettered, s.State)
			assert.Equal(t, want.outcome, s.Outcome)
			assert.Contains(t, s.Reason, want.reason)
			assert.Equal(t, 3, s.Attempts)
		}
		junk := eventstore.Event{Type: "command.enqueued", ContentType: "application/json", Data: []byte("{")}
		_, err := r.store.Append(t.Context(), "jobs-junk", eventstore.NoStream, junk)
		require.NoError(t, err)
		s := r.await("junk")
		assert.Equal(t, command.StateDeadLettered, s.State)
		assert.Contains(t, s.Reason, `no metadata "queued" that can be read`)
	})
}

func TestTheTimeOfOneTryIsLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts := &command.QueueOptions{Timeout: time.Minute, MaxAttempts: 2}
		r := newRig(t, memstore.New(nil), opts)
		other := newRig(t, r.store, opts) // would take over what seems dead
		r.onOdd = func(ctx context.Context, _ int) (eventstore.Receipt, error) {
			<-ctx.Done()
			return eventstore.Receipt{}, ctx.Err()
		}
		other.onOdd = r.onOdd
		r.run()
		other.run()
		start := time.Now()
		s := r.await(r.enqueue(odd{1}))
		assert.Equal(t, command.StateDeadLettered, s.State)
		assert.Equal(t, command.Late, s.Outcome)
		assert.Greater(t, time.Since(start), 2*time.Minute)
		assert.Less(t, time.Since(start), 2*time.Minute+time.Second)
		assert.Len(t, append(r.begun(), other.begun()...), 2, "the lease was renewed")
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestEnqueueAgainChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstore.New(nil), nil)
		r.enqueue(put{"a", 1}, command.WithID("x"))
		r.enqueue(put{"a", 2}, command.WithID("x"))
		r.run()
		r.await("x")
		r.enqueue(put{"a", 3}, command.WithID("x"))
		synctest.Wait()
		assert.Equal(t, []int{1}, r.numbers("a"))
		assert.Equal(t, 1, r.get("x").Attempts)
	})
}

func TestWhatCannotBeEnqueued(t *testing.T) {
	t.Parallel()
	r := newRig(t, memstore.New(nil), nil)
	_, err := command.Enqueue(t.Context(), r.queue, stranger{})
	require.ErrorIs(t, err, command.ErrUnregistered)
	require.ErrorContains(t, err, "codec.Type[command_test.stranger](name)")
	require.ErrorIs(t, r.queue.Check(put{}, stranger{}), command.ErrUnregistered)
	require.ErrorIs(t, r.queue.Check(alien{}), command.ErrNoHandler)
	require.NoError(t, r.queue.Check(put{}, odd{}))
	_, err = command.Enqueue(t.Context(), r.queue, put{}, command.WithID(strings.Repeat("x", 600)))
	require.ErrorIs(t, err, eventstore.ErrInvalid)
	for _, name := range []string{"", "a-b", "$jobs"} {
		assert.Panics(t, func() { command.NewQueue(name, r.store, types, r.bus, nil) })
	}
	looking := command.NewQueue("jobs", r.store, nil, nil, nil)
	require.ErrorContains(t, looking.Run(t.Context()), "without a codec and a bus")
	_, err = command.Enqueue(t.Context(), looking, put{})
	require.ErrorIs(t, err, command.ErrUnregistered)
}

func TestCommandsThatNobodyEnqueued(t *testing.T) {
	t.Parallel()
	r := newRig(t, memstore.New(nil), nil)
	_, err := r.queue.Get(t.Context(), "x")
	require.ErrorIs(t, err, command.ErrNotQueued)
	_, err = r.queue.Await(t.Context(), "x")
	require.ErrorIs(t, err, command.ErrNotQueued)
	require.ErrorIs(t, r.queue.Retry(t.Context(), "x"), command.ErrNotQueued)
	require.ErrorIs(t, r.queue.Drop(t.Context(), "x", ""), command.ErrNotQueued)
}

func TestOneKeyKeepsItsOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstore.New(nil), &command.QueueOptions{Concurrency: 8})
		var active, most int
		r.onOdd = func(_ context.Context, n int) (eventstore.Receipt, error) {
			r.mu.Lock()
			active++
			most = max(most, active)
			r.mu.Unlock()
			time.Sleep(time.Duration(n%3+1) * time.Second)
			r.mu.Lock()
			active--
			r.mu.Unlock()
			return eventstore.Receipt{}, nil
		}
		var last string
		for i := range 60 {
			last = r.enqueue(odd{i}, command.WithKey(fmt.Sprint(i%6)))
		}
		r.run()
		r.await(last)
		time.Sleep(time.Minute)
		next := map[int]int{}
		for _, n := range r.begun() {
			assert.Equal(t, next[n%6], n/6, "command %d", n)
			next[n%6]++
		}
		assert.Len(t, r.begun(), 60)
		assert.Equal(t, 6, most, "as many as there are keys")
		s := must(r.queue.Stats(t.Context()))
		assert.Equal(t, uint64(60), s.Done)
		assert.Zero(t, s.Pending+s.Running+s.Retrying)
	})
}

func TestWithoutAKeyNothingWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstore.New(nil), &command.QueueOptions{Concurrency: 50})
		r.onOdd = func(context.Context, int) (eventstore.Receipt, error) {
			time.Sleep(time.Second)
			return eventstore.Receipt{}, nil
		}
		r.run()
		start := time.Now()
		for i := range 50 {
			r.enqueue(odd{i})
		}
		for _, id := range r.ids(command.ListFilter{}) {
			r.await(id)
		}
		assert.Equal(t, time.Second, time.Since(start))
	})
}

func TestScheduledCommands(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstore.New(nil), nil)
		start := time.Now()
		var at []time.Duration
		r.onOdd = func(context.Context, int) (eventstore.Receipt, error) {
			at = append(at, time.Since(start))
			return eventstore.Receipt{}, nil
		}
		stop := r.run()
		r.enqueue(odd{1}, command.WithKey("k"), command.At(start.Add(3*time.Hour)))
		r.enqueue(odd{2}, command.WithKey("k"), command.Delay(time.Hour))
		r.enqueue(odd{3}, command.WithKey("k"))
		r.enqueue(odd{4}, command.WithKey("k"), command.At(start.Add(-time.Hour)))
		synctest.Wait()
		assert.Equal(t, command.QueueStats{Pending: 2, Scheduled: 2, Tries: 2, Done: 2, Position: 8}, must(r.queue.Stats(t.Context())))
		stop()
		time.Sleep(2 * time.Hour)
		r.enqueue(odd{5}, command.WithKey("k"))
		r.run() // what fell due while nobody was there goes before what came later
		time.Sleep(2 * time.Hour)
		assert.Equal(t, []int{3, 4, 2, 5, 1}, r.begun())
		assert.Equal(t, []time.Duration{0, 0, 2 * time.Hour, 2 * time.Hour, 3 * time.Hour}, at)
	})
}
