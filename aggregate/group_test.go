package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// A gate holds appends until they are let through, and counts them.
type gate struct {
	*memstore.Store
	hold    chan struct{} // nil lets all through
	mu      sync.Mutex
	appends [][]eventstore.Event
	fail    func(n int) error // of the nth append, counted from 1
}

func (g *gate) Append(ctx context.Context, stream string, expected eventstore.Expected, evs ...eventstore.Event) (eventstore.Receipt, error) {
	g.mu.Lock()
	g.appends = append(g.appends, append([]eventstore.Event(nil), evs...))
	n := len(g.appends)
	g.mu.Unlock()
	if g.hold != nil {
		select {
		case <-g.hold:
		case <-ctx.Done():
			return eventstore.Receipt{}, &eventstore.UnavailableError{Op: "append", Uncertain: true, Err: ctx.Err()}
		}
	}
	if g.fail != nil {
		if err := g.fail(n); err != nil {
			return eventstore.Receipt{}, err
		}
	}
	return g.Store.Append(ctx, stream, expected, evs...)
}

// A sender sends commands to account 1, each from a goroutine of its own, one
// after the other into the queue.
type sender struct {
	bus     *command.Bus
	wg      sync.WaitGroup
	mu      sync.Mutex
	answers map[string]answer
}

type answer struct {
	receipt  eventstore.Receipt
	err      error
	panicked any
	exited   bool
}

func (s *sender) send(ctx context.Context, name string, do func(context.Context) (eventstore.Receipt, error)) {
	s.wg.Go(func() {
		a := answer{exited: true}
		defer func() {
			if a.panicked = recover(); a.panicked != nil {
				a.exited = false
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.answers == nil {
				s.answers = map[string]answer{}
			}
			s.answers[name] = a
		}()
		a.receipt, a.err = do(ctx)
		a.exited = false
	})
	synctest.Wait()
}

func (s *sender) command(ctx context.Context, name string, cmd any, opts ...command.SendOption) {
	s.send(ctx, name, func(ctx context.Context) (eventstore.Receipt, error) { return command.Send(ctx, s.bus, cmd, opts...) })
}

// held returns accounts whose appends wait, and who sends them commands.
func held() (*gate, *aggregate.Repository[account, event], *sender) {
	store := &gate{Store: memstore.New(nil), hold: make(chan struct{})}
	bus, accounts := newBus(store, nil)
	return store, accounts, &sender{bus: bus}
}

func TestCommandsThatWaitAreAppendedTogetherInTheirOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, accounts, s := held()
		ctx := t.Context()
		s.command(ctx, "open", open{"1", "ada"})
		s.command(ctx, "deposit", deposit{"1", 100})
		s.command(ctx, "too much", withdraw{"1", 101})
		s.command(ctx, "withdraw", withdraw{"1", 60}, command.WithID("w"))
		s.command(ctx, "again", withdraw{"1", 60}, command.WithID("w"))
		s.command(ctx, "touch", touch{"1"})
		s.command(ctx, "too much now", withdraw{"1", 41})
		s.command(ctx, "rest", withdraw{"1", 40})
		close(store.hold)
		s.wg.Wait()

		assert.Len(t, store.appends, 2, "the first by itself, then all that waited")
		for name, want := range map[string]eventstore.Receipt{
			"open":     {Version: 1, Position: 1},
			"deposit":  {Version: 2, Position: 2},
			"withdraw": {Version: 3, Position: 3},
			"again":    {Version: 3, Position: 3, Repeated: true},
			"touch":    {Version: 3, Position: 3},
			"rest":     {Version: 4, Position: 4},
		} {
			want.Stream = "account-1"
			require.NoError(t, s.answers[name].err, name)
			assert.Equal(t, want, s.answers[name].receipt, name)
		}
		for name, version := range map[string]eventstore.Version{"too much": 2, "too much now": 3} {
			var refused *aggregate.RefusedError
			require.ErrorAs(t, s.answers[name].err, &refused, name)
			assert.Equal(t, version, refused.Version, name)
		}
		l, err := accounts.Load(ctx, "1")
		require.NoError(t, err)
		assert.Equal(t, account{owner: "ada", events: 4}, l.State)

		again, err := command.Send(ctx, s.bus, withdraw{"1", 60}, command.WithID("w"))
		require.NoError(t, err)
		assert.Equal(t, s.answers["again"].receipt, again, "also later")
	})
}

func TestARepeatLeadsAGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, _, s := held()
		s.command(t.Context(), "first", deposit{"1", 1}, command.WithID("d"))
		s.command(t.Context(), "again", deposit{"1", 1}, command.WithID("d"))
		s.command(t.Context(), "second", deposit{"1", 1})
		close(store.hold)
		s.wg.Wait()
		assert.Equal(t, eventstore.Receipt{Stream: "account-1", Version: 1, Position: 1, Repeated: true}, s.answers["again"].receipt)
		assert.Equal(t, eventstore.Receipt{Stream: "account-1", Version: 2, Position: 2}, s.answers["second"].receipt)
	})
}

func TestAGroupOnADeletedStreamIsRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &gate{Store: memstore.New(nil)}
		bus, accounts := newBus(store, nil)
		deposits(t, bus, "1", 5)
		_, err := store.Delete(t.Context(), "account-1", eventstore.Any)
		require.NoError(t, err)
		store.hold = make(chan struct{})
		s := sender{bus: bus}
		s.send(t.Context(), "first", func(ctx context.Context) (eventstore.Receipt, error) {
			return accounts.Execute(ctx, "1", func(account) ([]event, error) { // nothing, so that the group begins the stream
				<-store.hold
				return nil, nil
			})
		})
		s.command(t.Context(), "a", deposit{"1", 1}, command.WithID("a"))
		s.command(t.Context(), "b", deposit{"1", 1}, command.WithID("b"))
		close(store.hold)
		s.wg.Wait()
		for i, name := range []string{"a", "b"} {
			r, err := command.Send(t.Context(), bus, deposit{"1", 1}, command.WithID(name))
			require.NoError(t, err)
			assert.True(t, r.Repeated, name)
			assert.Equal(t, eventstore.Version(6+i), r.Version)
		}
	})
}

// An account whose group lost against another process.
func TestAGroupThatConflictsDecidesAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, accounts, s := held()
		other, _ := newBus(store.Store, nil)
		ctx := t.Context()
		s.command(ctx, "first", deposit{"1", 10})
		s.command(ctx, "second", deposit{"1", 10})
		s.command(ctx, "refused", withdraw{"1", 100})
		s.command(ctx, "third", withdraw{"1", 25})
		store.hold <- struct{}{} // the first
		synctest.Wait()
		_, err := command.Send(ctx, other, deposit{"1", 70}) // decided and not yet appended: the group
		require.NoError(t, err)
		close(store.hold)
		s.wg.Wait()
		for _, name := range []string{"first", "second", "third"} {
			require.NoError(t, s.answers[name].err, name)
		}
		require.ErrorIs(t, s.answers["refused"].err, errFunds)
		assert.ErrorContains(t, s.answers["refused"].err, "100 of 90", "from what the other process left")
		l, err := accounts.Load(ctx, "1")
		require.NoError(t, err)
		assert.Equal(t, int64(65), l.State.balance)
	})
}

func TestEachCallerOfAGroupHasItsOwnDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, accounts, s := held()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		shorter, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		s.command(t.Context(), "first", deposit{"1", 1})
		s.command(shorter, "gave up in the queue", deposit{"1", 10})
		s.command(short, "gave up in the append", deposit{"1", 100})
		s.command(t.Context(), "patient", deposit{"1", 1000})
		time.Sleep(time.Millisecond)
		synctest.Wait()
		store.hold <- struct{}{} // the first
		time.Sleep(time.Second)
		synctest.Wait()
		store.hold <- struct{}{} // the group
		s.wg.Wait()

		require.NoError(t, s.answers["first"].err)
		require.NoError(t, s.answers["patient"].err)
		queued, appended := s.answers["gave up in the queue"].err, s.answers["gave up in the append"].err
		require.ErrorIs(t, queued, context.DeadlineExceeded)
		require.NotErrorIs(t, queued, eventstore.ErrUnavailable, "nothing was done")
		var uncertain *eventstore.UnavailableError
		require.ErrorAs(t, appended, &uncertain)
		assert.True(t, uncertain.Uncertain)
		require.ErrorIs(t, appended, context.DeadlineExceeded)
		l, err := accounts.Load(t.Context(), "1")
		require.NoError(t, err)
		assert.Equal(t, int64(1101), l.State.balance)
	})
}

func TestAGroupEndsWhenAllOfItsCallersHaveGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, _, s := held()
		ctx, cancel := context.WithCancel(t.Context())
		s.command(t.Context(), "first", deposit{"1", 1})
		s.command(ctx, "second", deposit{"1", 10})
		s.command(ctx, "third", deposit{"1", 100})
		store.hold <- struct{}{}
		synctest.Wait()
		cancel()
		s.wg.Wait() // or the bubble ends with a deadlock
		for _, name := range []string{"second", "third"} {
			require.ErrorIs(t, s.answers[name].err, eventstore.ErrUnavailable, name)
			require.ErrorIs(t, s.answers[name].err, context.Canceled, name)
		}
	})
}

func TestAGroupIsSplitWhenItIsTooLarge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &gate{Store: memstore.New(&memstore.Options{MaxAppendSize: 300}), hold: make(chan struct{})}
		bus, accounts := newBus(store, nil)
		s := sender{bus: bus}
		s.command(t.Context(), "first", deposit{"1", 1})
		for i := range 5 {
			s.command(t.Context(), fmt.Sprint("fits ", i), deposit{"1", 1})
		}
		s.command(t.Context(), "never fits", open{"1", string(make([]byte, 300))})
		s.command(t.Context(), "last", deposit{"1", 1})
		close(store.hold)
		s.wg.Wait()
		for name, a := range s.answers {
			if name == "never fits" {
				require.ErrorIs(t, a.err, eventstore.ErrTooLarge)
			} else {
				require.NoError(t, a.err, name)
			}
		}
		l, err := accounts.Load(t.Context(), "1")
		require.NoError(t, err)
		assert.Equal(t, int64(7), l.State.balance)
	})
}

func TestAFailedAppendFailsThoseWhoWroteAndAsksTheOthersAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := &eventstore.UnavailableError{Op: "append", Uncertain: true, Err: errors.New("no answer")}
		store := &gate{Store: memstore.New(nil), hold: make(chan struct{}), fail: func(n int) error {
			if n == 2 {
				return away
			}
			return nil
		}}
		bus, _ := newBus(store, nil)
		s := sender{bus: bus}
		s.command(t.Context(), "first", deposit{"1", 1})
		s.command(t.Context(), "second", deposit{"1", 100})
		s.command(t.Context(), "refused", withdraw{"1", 200})
		s.command(t.Context(), "touch", touch{"1"})
		close(store.hold)
		s.wg.Wait()
		require.ErrorIs(t, s.answers["second"].err, away)
		assert.ErrorContains(t, s.answers["refused"].err, "200 of 1", "not from what was not written")
		require.NoError(t, s.answers["touch"].err)
		assert.Equal(t, eventstore.Version(1), s.answers["touch"].receipt.Version)
	})
}

func TestWhatDecideDoesToItsGoroutineHappensToItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, accounts, s := held()
		ctx := t.Context()
		decide := func(f func()) func(context.Context) (eventstore.Receipt, error) {
			return func(ctx context.Context) (eventstore.Receipt, error) {
				return accounts.Execute(ctx, "1", func(account) ([]event, error) { f(); return nil, nil })
			}
		}
		s.command(ctx, "first", deposit{"1", 1})
		s.command(ctx, "before", deposit{"1", 1})
		s.send(ctx, "panics", decide(func() { panic("boom") }))
		s.command(ctx, "between", deposit{"1", 1})
		s.send(ctx, "exits", decide(runtime.Goexit))
		s.command(ctx, "after", deposit{"1", 1})
		close(store.hold)
		s.wg.Wait()
		for _, name := range []string{"first", "before", "between", "after"} {
			assert.Equal(t, answer{receipt: s.answers[name].receipt}, s.answers[name], name)
		}
		relayed, ok := s.answers["panics"].panicked.(*aggregate.PanicError)
		require.True(t, ok)
		assert.Equal(t, "boom", relayed.Value)
		assert.Contains(t, relayed.Error(), "group_test.go", "with where it was")
		assert.True(t, s.answers["exits"].exited)
		l, err := accounts.Load(ctx, "1")
		require.NoError(t, err)
		assert.Equal(t, int64(4), l.State.balance)
	})
}

func TestAPanicOfEvolveReachesAllWhoNeedTheState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := aggregate.Decider[int, any, event]{Evolve: func(int, event) int { panic("evolve") }}
		store := &gate{Store: memstore.New(nil), hold: make(chan struct{})}
		accounts := aggregate.NewDeciderRepository(store, "account", events, broken, nil)
		var s sender
		for i := range 3 {
			s.send(t.Context(), fmt.Sprint(i), func(ctx context.Context) (eventstore.Receipt, error) {
				return accounts.Execute(ctx, "1", func(int) ([]event, error) { return []event{opened{}}, nil })
			})
		}
		close(store.hold)
		s.wg.Wait()
		require.NoError(t, s.answers["0"].err, "it folded nothing")
		for _, name := range []string{"1", "2"} {
			relayed, ok := s.answers[name].panicked.(*aggregate.PanicError)
			require.True(t, ok, name)
			assert.Equal(t, "evolve", relayed.Value, name)
		}
		assert.Panics(t, func() { _, _ = accounts.Load(t.Context(), "1") })
		assert.Panics(t, func() { _, _ = accounts.Load(t.Context(), "1") }, "nobody waits for ever for a read that panicked")
	})
}

// sparse hides that positions are consecutive.
type sparse struct{ eventstore.Store }

func TestOnAStoreWithGapsAGroupHasOnePosition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &gate{Store: memstore.New(nil), hold: make(chan struct{})}
		bus, _ := newBus(sparse{store}, nil)
		s := sender{bus: bus}
		for i := range 3 {
			s.command(t.Context(), fmt.Sprint(i), deposit{"1", 1})
		}
		close(store.hold)
		s.wg.Wait()
		assert.Equal(t, eventstore.Receipt{Stream: "account-1", Version: 2, Position: 3}, s.answers["1"].receipt)
		assert.Equal(t, eventstore.Receipt{Stream: "account-1", Version: 3, Position: 3}, s.answers["2"].receipt)
	})
}
