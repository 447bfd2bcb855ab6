package aggregate_test

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// A reading store counts the events that are read of streams.
type reading struct {
	eventstore.Store
	mu     sync.Mutex
	events int
	reads  int
	hold   chan struct{} // nil lets all reads through
}

func (s *reading) Read(ctx context.Context, stream string, opts eventstore.ReadOptions) iter.Seq2[eventstore.Recorded, error] {
	return func(yield func(eventstore.Recorded, error) bool) {
		s.mu.Lock()
		s.reads++
		s.mu.Unlock()
		if s.hold != nil {
			<-s.hold
		}
		for rec, err := range s.Store.Read(ctx, stream, opts) {
			s.mu.Lock()
			s.events++
			s.mu.Unlock()
			if !yield(rec, err) {
				return
			}
		}
	}
}

// taken returns how many events were read since it was last asked.
func (s *reading) taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.events
	s.events = 0
	return n
}

func deposits(t *testing.T, bus *command.Bus, id string, n int) {
	t.Helper()
	for range n {
		_, err := command.Send(t.Context(), bus, deposit{id, 1})
		require.NoError(t, err)
	}
}

func balance(t *testing.T, accounts *aggregate.Repository[account, event], id string) int64 {
	t.Helper()
	l, err := accounts.Load(t.Context(), id)
	require.NoError(t, err)
	return l.State.balance
}

func TestAKeptStateIsWhereReadingBeginsAndNeverTheAnswer(t *testing.T) {
	t.Parallel()
	store := &reading{Store: memstore.New(nil)}
	bus, accounts := newBus(store, nil)
	other, _ := newBus(store.Store, nil) // another process
	deposits(t, other, "1", 100)
	assert.Equal(t, int64(100), balance(t, accounts, "1"))
	assert.Equal(t, 100, store.taken())
	deposits(t, other, "1", 2)
	assert.Equal(t, int64(102), balance(t, accounts, "1"))
	assert.Equal(t, 3, store.taken(), "the event of the kept state, and what is new")
	deposits(t, bus, "1", 1)
	assert.Equal(t, 1, store.taken())

	_, none := newBus(store, &aggregate.Options{Cache: -1})
	for range 2 {
		assert.Equal(t, int64(103), balance(t, none, "1"))
		assert.Equal(t, 103, store.taken())
	}
}

func TestOfManyAggregatesTheLeastRecentlyUsedAreForgotten(t *testing.T) {
	t.Parallel()
	store := &reading{Store: memstore.New(nil)}
	bus, accounts := newBus(store, &aggregate.Options{Cache: 64})
	for i := range 1000 {
		deposits(t, bus, strconv.Itoa(i), 3)
		balance(t, accounts, "0") // always in use
	}
	store.taken()
	kept := 0
	for i := range 1000 {
		balance(t, accounts, strconv.Itoa(i))
		if store.taken() == 1 {
			kept++
		}
		if i == 0 {
			assert.Equal(t, 1, kept)
		}
	}
	assert.LessOrEqual(t, kept, 64)
}

func TestAKeptStateOfAnotherHistoryIsNotUsed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, store eventstore.Store, other *command.Bus){
		"deleted": func(t *testing.T, store eventstore.Store, _ *command.Bus) {
			_, err := store.Delete(t.Context(), "account-1", eventstore.Any)
			require.NoError(t, err)
		},
		"deleted and begun again": func(t *testing.T, store eventstore.Store, other *command.Bus) {
			_, err := store.Delete(t.Context(), "account-1", eventstore.Any)
			require.NoError(t, err)
			deposits(t, other, "1", 7)
		},
		"truncated": func(t *testing.T, store eventstore.Store, other *command.Bus) {
			deposits(t, other, "1", 2)
			_, err := store.SetStreamMetadata(t.Context(), "account-1", eventstore.Any, eventstore.StreamMetadata{TruncateBefore: 11})
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := memstore.New(nil)
			bus, accounts := newBus(store, nil)
			other, _ := newBus(store, nil)
			_, err := command.Send(t.Context(), bus, deposit{"1", 1}, command.WithID("first"))
			require.NoError(t, err)
			deposits(t, bus, "1", 9)
			_, err = command.Send(t.Context(), bus, touch{"1"}, command.WithID("touch"))
			require.NoError(t, err)
			change(t, store, other)
			_, anew := newBus(store, nil)
			want := balance(t, anew, "1")
			assert.Equal(t, want, balance(t, accounts, "1"))
			_, err = command.Send(t.Context(), bus, withdraw{"1", want + 1})
			require.ErrorIs(t, err, errFunds)
			r, err := command.Send(t.Context(), bus, deposit{"1", 1}, command.WithID("first"))
			require.NoError(t, err)
			if name == "deleted" {
				assert.True(t, r.Repeated, "the store still knows the event")
			} else {
				assert.False(t, r.Repeated, "its events are gone")
				assert.Equal(t, want+1, balance(t, accounts, "1"))
			}
		})
	}
}

func TestAKeptStateIsOfOnePosition(t *testing.T) {
	t.Parallel()
	one, other := memstore.New(nil), memstore.New(nil)
	store := &switched{Store: one}
	bus, accounts := newBus(store, nil)
	fresh, _ := newBus(other, nil)
	deposits(t, bus, "1", 3)
	assert.Equal(t, int64(3), balance(t, accounts, "1"))
	deposits(t, fresh, "2", 1)
	for range 3 {
		_, err := command.Send(t.Context(), fresh, deposit{"1", 7})
		require.NoError(t, err)
	}
	store.Store = other
	assert.Equal(t, int64(21), balance(t, accounts, "1"), "as many events, but others")
}

func TestALoadThatFindsAnotherHistoryLosesNoIDs(t *testing.T) {
	t.Parallel()
	one, other := memstore.New(nil), memstore.New(nil)
	store := &switched{Store: one}
	bus, accounts := newBus(store, nil)
	hold := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 9 {
		_, err := command.Send(t.Context(), bus, deposit{"1", 1}, command.WithID(fmt.Sprint("one ", i)))
		require.NoError(t, err)
	}
	entered := make(chan struct{})
	wg.Go(func() { // keeps the aggregate in use
		_, err := accounts.Execute(t.Context(), "1", func(account) ([]event, error) {
			close(entered)
			<-hold
			return nil, nil
		})
		assert.NoError(t, err)
	})
	<-entered
	store.Store = other // a backup was restored
	fresh, _ := newBus(other, nil)
	_, err := command.Send(t.Context(), fresh, deposit{"1", 5}, command.WithID("first"))
	require.NoError(t, err)
	assert.Equal(t, int64(5), balance(t, accounts, "1"))
	var again eventstore.Receipt
	wg.Go(func() {
		again, err = command.Send(t.Context(), bus, deposit{"1", 5}, command.WithID("first"))
		assert.NoError(t, err)
	})
	close(hold)
	wg.Wait()
	assert.True(t, again.Repeated)
	assert.Equal(t, int64(5), balance(t, accounts, "1"))
}

// A switched store can be exchanged for another.
type switched struct{ eventstore.Store }

func TestConcurrentLoadsReadAHistoryOnce(t *testing.T) {
	t.Parallel()
	for _, cache := range []int{0, -1} {
		synctest.Test(t, func(t *testing.T) {
			store := &reading{Store: memstore.New(nil), hold: make(chan struct{})}
			other, _ := newBus(store.Store, nil)
			deposits(t, other, "1", 100)
			_, accounts := newBus(store, &aggregate.Options{Cache: cache})
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			load := func(ctx context.Context, want error) {
				wg.Go(func() {
					l, err := accounts.Load(ctx, "1")
					assert.ErrorIs(t, err, want)
					if want == nil {
						assert.Equal(t, int64(101), l.State.balance, "with what was committed before the call")
					}
				})
				synctest.Wait()
			}
			store.mu.Lock()
			assert.Zero(t, store.reads)
			store.mu.Unlock()
			wg.Go(func() {
				l, err := accounts.Load(t.Context(), "1")
				assert.NoError(t, err)
				assert.Equal(t, int64(101), l.State.balance)
			})
			synctest.Wait()
			deposits(t, other, "1", 1)
			for range 9 {
				load(t.Context(), nil)
			}
			load(ctx, context.Canceled)
			cancel()
			close(store.hold)
			wg.Wait()
			assert.Equal(t, 101+9, store.taken(), "cache %d", cache)
		})
	}
}

func TestTheNextReadsWhenTheFirstFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &reading{Store: memstore.New(nil), hold: make(chan struct{})}
		other, _ := newBus(store.Store, nil)
		deposits(t, other, "1", 5)
		_, accounts := newBus(store, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := accounts.Load(ctx, "1")
			assert.ErrorIs(t, err, context.Canceled)
		})
		synctest.Wait()
		wg.Go(func() {
			l, err := accounts.Load(t.Context(), "1")
			assert.NoError(t, err)
			assert.Equal(t, int64(5), l.State.balance)
		})
		synctest.Wait()
		cancel()
		close(store.hold)
		wg.Wait()
	})
}

func TestRepeatedCommandsAreRecognizedHoweverTheStateWasLoaded(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]*aggregate.Options{
		"kept": nil, "none kept": {Cache: -1}, "all remembered": {Remember: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := memstore.New(nil)
			bus, accounts := newBus(store, opts)
			other, _ := newBus(store, opts)
			ctx := t.Context()
			var first []eventstore.Receipt
			send := func(bus *command.Bus, i int) eventstore.Receipt {
				r, err := command.Send(ctx, bus, deposit{"1", 1}, command.WithID(fmt.Sprint("d", i)))
				require.NoError(t, err)
				return r
			}
			for i := range 20 {
				first = append(first, send(bus, i))
				deposits(t, bus, "1", 1)   // without an id
				balance(t, accounts, "1")  // a load goes past commands too
				deposits(t, other, "1", 1) // and another process
				first[i].Repeated = true
				assert.Equal(t, first[i/2], send(bus, i/2))
				assert.Equal(t, first[i], send(other, i))
			}
			assert.Equal(t, int64(60), balance(t, accounts, "1"))
		})
	}
}

func TestAtLeastTheLastCommandsAreRemembered(t *testing.T) {
	t.Parallel()
	bus, accounts := newBus(memstore.New(nil), &aggregate.Options{Remember: 10})
	repeated := func(i int) bool {
		r, err := command.Send(t.Context(), bus, deposit{"1", 1}, command.WithID(strconv.Itoa(i)))
		require.NoError(t, err)
		return r.Repeated
	}
	for i := range 100 {
		require.False(t, repeated(i))
		for back := range min(i, 9) {
			require.True(t, repeated(i-back), "%d of %d", back, i)
		}
	}
	assert.Equal(t, int64(100), balance(t, accounts, "1"))
	assert.False(t, repeated(0), "the memory is bounded")
}

func TestACommandOfTwoEventsIsRepeatedAsAWhole(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	_, accounts := newBus(store, nil)
	ctx := eventstore.ContextWithOrigin(t.Context(), &eventstore.Origin{CommandID: "c"})
	decide := func(account) ([]event, error) { return []event{opened{"ada"}, deposited{5}}, nil }
	first, err := accounts.Execute(ctx, "1", decide)
	require.NoError(t, err)
	assert.Equal(t, eventstore.Version(2), first.Version)
	first.Repeated = true
	again, err := accounts.Execute(ctx, "1", decide)
	require.NoError(t, err)
	assert.Equal(t, first, again)
}
