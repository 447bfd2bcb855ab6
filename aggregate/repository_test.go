package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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
	"github.com/foldstream/foldstream/eventstore/eventstoretest"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// An account, as a user would write it.
type (
	event     interface{ isAccount() }
	opened    struct{ Owner string }
	deposited struct{ Cents int64 }
	withdrawn struct{ Cents int64 }

	open    struct{ ID, Owner string }
	deposit struct {
		ID    string
		Cents int64
	}
	withdraw struct {
		ID    string
		Cents int64
	}
	touch struct{ ID string }

	account struct {
		owner   string
		balance int64
		events  int
	}
)

func (opened) isAccount()    {}
func (deposited) isAccount() {}
func (withdrawn) isAccount() {}

func (c open) AggregateID() string     { return c.ID }
func (c deposit) AggregateID() string  { return c.ID }
func (c withdraw) AggregateID() string { return c.ID }
func (c touch) AggregateID() string    { return c.ID }

var (
	errOpen  = errors.New("account: already open")
	errFunds = errors.New("account: not enough money")
)

func (a account) Evolve(e event) account {
	a.events++
	switch e := e.(type) {
	case opened:
		a.owner = e.Owner
	case deposited:
		a.balance += e.Cents
	case withdrawn:
		a.balance -= e.Cents
	}
	return a
}

func (a account) Open(c open) ([]event, error) {
	if a.owner != "" {
		return nil, errOpen
	}
	return []event{opened{c.Owner}}, nil
}

func (a account) Deposit(c deposit) ([]event, error) { return []event{deposited{c.Cents}}, nil }

func (a account) Withdraw(c withdraw) ([]event, error) {
	if c.Cents > a.balance {
		return nil, fmt.Errorf("%w: %d of %d", errFunds, c.Cents, a.balance)
	}
	return []event{withdrawn{c.Cents}}, nil
}

func (a account) Touch(touch) ([]event, error) { return nil, nil }

var events = codec.New(
	codec.Type[opened]("account.opened"),
	codec.Type[deposited]("account.deposited"),
	codec.Type[withdrawn]("account.withdrawn"),
)

func newBus(store eventstore.Store, opts *aggregate.Options) (*command.Bus, *aggregate.Repository[account, event]) {
	accounts := aggregate.NewRepository[account](store, "account", events, opts)
	bus := command.NewBus(nil)
	command.Register(bus, aggregate.Handle(accounts, account.Open))
	command.Register(bus, aggregate.Handle(accounts, account.Deposit))
	command.Register(bus, aggregate.Handle(accounts, account.Withdraw))
	command.Register(bus, aggregate.Handle(accounts, account.Touch))
	return bus, accounts
}

func TestCommandsDecideFromTheFoldOfEvents(t *testing.T) {
	t.Parallel()
	bus, accounts := newBus(memstore.New(nil), nil)
	ctx := t.Context()
	r, err := command.Send(ctx, bus, open{"1", "ada"})
	require.NoError(t, err)
	assert.Equal(t, "account-1", r.Stream)
	assert.Equal(t, eventstore.Version(1), r.Version)
	assert.NotZero(t, r.Position)
	_, err = command.Send(ctx, bus, deposit{"1", 100})
	require.NoError(t, err)

	_, err = command.Send(ctx, bus, withdraw{"1", 101})
	require.ErrorIs(t, err, errFunds)
	assert.EqualError(t, err, "account: not enough money: 101 of 100")
	var refused *aggregate.RefusedError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, eventstore.Version(2), refused.Version)
	assert.Contains(t, fmt.Sprintf("%+v", refused), "account-1 at version 2 refused")
	_, err = command.Send(ctx, bus, open{"1", "bob"})
	require.ErrorIs(t, err, errOpen)

	l, err := accounts.Load(ctx, "1")
	require.NoError(t, err)
	assert.Equal(t, account{owner: "ada", balance: 100, events: 2}, l.State)
	assert.Equal(t, eventstore.Version(2), l.Version)

	r, err = command.Send(ctx, bus, touch{"1"})
	require.NoError(t, err)
	assert.Equal(t, eventstore.Receipt{Stream: "account-1", Version: 2, Position: l.Position}, r, "a command without events answers with where the aggregate is")

	l, err = accounts.Load(ctx, "none")
	require.NoError(t, err)
	assert.Zero(t, l.Version)
	_, err = accounts.Load(ctx, "")
	require.ErrorIs(t, err, eventstore.ErrInvalid)
}

func TestARepeatedCommandReturnsTheFirstReceipt(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	bus, accounts := newBus(store, nil)
	ctx := t.Context()
	first, err := command.Send(ctx, bus, deposit{"1", 100}, command.WithID("d1"))
	require.NoError(t, err)
	_, err = command.Send(ctx, bus, deposit{"1", 5}, command.WithID("d2"))
	require.NoError(t, err)

	for range 2 {
		again, err := command.Send(ctx, bus, deposit{"1", 100}, command.WithID("d1"))
		require.NoError(t, err)
		want := first
		want.Repeated = true
		assert.Equal(t, want, again)
		bus, accounts = newBus(store, nil) // after a restart too
	}
	l, err := accounts.Load(ctx, "1")
	require.NoError(t, err)
	assert.Equal(t, int64(105), l.State.balance)
	other, err := command.Send(ctx, bus, deposit{"2", 100}, command.WithID("d1"))
	require.NoError(t, err)
	assert.False(t, other.Repeated, "ids are kept per aggregate")
}

func TestAnAnswerLostAfterTheAppendIsFoundByRepeating(t *testing.T) {
	t.Parallel()
	inner := memstore.New(nil)
	faulty := eventstoretest.NewFaulty(inner)
	bus, accounts := newBus(faulty, nil)
	faulty.FailAppend(1, true)
	_, err := command.Send(t.Context(), bus, deposit{"1", 100}, command.WithID("d1"))
	var unavailable *eventstore.UnavailableError
	require.ErrorAs(t, err, &unavailable)
	assert.True(t, unavailable.Uncertain)
	r, err := command.Send(t.Context(), bus, deposit{"1", 100}, command.WithID("d1"))
	require.NoError(t, err)
	assert.True(t, r.Repeated)
	l, err := accounts.Load(t.Context(), "1")
	require.NoError(t, err)
	assert.Equal(t, int64(100), l.State.balance)
}

func TestOriginGoesIntoTheMetadata(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	bus, _ := newBus(store, nil)
	_, err := command.Send(t.Context(), bus, deposit{"1", 1}, command.WithID("c"), command.WithCorrelation("talk"),
		command.WithCausation("cause"), command.WithMetadata(eventstore.KeyActor, "ada"), command.WithMetadata(eventstore.KeyCommandID, "forged"))
	require.NoError(t, err)
	_, err = command.Send(t.Context(), bus, deposit{"1", 1})
	require.NoError(t, err)
	var got []map[string]string
	for rec, err := range store.Read(t.Context(), "account-1", eventstore.ReadOptions{}) {
		require.NoError(t, err)
		got = append(got, rec.Metadata.Map())
	}
	assert.Equal(t, map[string]string{"command_id": "c", "$correlationId": "talk", "$causationId": "cause", "actor": "ada"}, got[0])
	assert.Len(t, got[1]["command_id"], 36, "a command without an id gets one")
}

func TestAHotAggregateQueuesInsteadOfColliding(t *testing.T) {
	t.Parallel()
	store := &counting{Store: memstore.New(nil)}
	bus, accounts := newBus(store, nil)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 10 {
				_, err := command.Send(context.Background(), bus, deposit{"1", 1})
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
	l, err := accounts.Load(t.Context(), "1")
	require.NoError(t, err)
	assert.Equal(t, int64(640), l.State.balance)
	assert.Zero(t, store.conflicts)
}

func TestSeveralProcessesOnOneAggregateStayRight(t *testing.T) {
	t.Parallel()
	store := &counting{Store: memstore.New(nil)}
	var wg sync.WaitGroup
	for range 4 {
		bus, _ := newBus(store, &aggregate.Options{Retries: 10_000}) // one queue each
		wg.Go(func() {
			for range 100 {
				_, err := command.Send(context.Background(), bus, deposit{"1", 1})
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
	_, accounts := newBus(store, nil)
	l, err := accounts.Load(t.Context(), "1")
	require.NoError(t, err)
	assert.Equal(t, int64(400), l.State.balance)
	assert.Equal(t, eventstore.Version(400), l.Version)
}

// counting counts conflicts.
type counting struct {
	eventstore.Store
	mu        sync.Mutex
	conflicts int
}

func (c *counting) Append(ctx context.Context, stream string, expected eventstore.Expected, evs ...eventstore.Event) (eventstore.Receipt, error) {
	r, err := c.Store.Append(ctx, stream, expected, evs...)
	if errors.Is(err, eventstore.ErrConflict) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.conflicts++
	}
	return r, err
}

// contested conflicts with every append.
type contested struct{ eventstore.Store }

func (c contested) Append(context.Context, string, eventstore.Expected, ...eventstore.Event) (eventstore.Receipt, error) {
	return eventstore.Receipt{}, &eventstore.ConflictError{Stream: "account-1", Actual: 9}
}

func TestConflictsAreRetriedABoundedNumberOfTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		decided := 0
		accounts := aggregate.NewRepository[account](contested{memstore.New(nil)}, "account", events, &aggregate.Options{Retries: 3})
		decide := func(account) ([]event, error) {
			decided++
			return []event{opened{}}, nil
		}
		_, err := accounts.Execute(t.Context(), "1", decide)
		require.ErrorIs(t, err, eventstore.ErrConflict)
		assert.Equal(t, 4, decided)

		decided = 0
		never := aggregate.NewRepository[account](contested{memstore.New(nil)}, "account", events, &aggregate.Options{Retries: -1})
		_, err = never.Execute(t.Context(), "1", decide)
		require.ErrorIs(t, err, eventstore.ErrConflict)
		assert.Equal(t, 1, decided)

		long := aggregate.NewRepository[account](contested{memstore.New(nil)}, "account", events, &aggregate.Options{Retries: 1 << 20})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		_, err = long.Execute(ctx, "1", decide)
		require.ErrorIs(t, err, eventstore.ErrConflict)
		assert.Equal(t, 3*time.Second, time.Since(begin), "the deadline ends the retries")
	})
}

func TestAWaitingCommandHonoursItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, accounts := newBus(memstore.New(nil), nil)
		inside, leave := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := accounts.Execute(t.Context(), "1", func(account) ([]event, error) {
				close(inside)
				<-leave
				return []event{opened{"ada"}}, nil
			})
			assert.NoError(t, err)
		})
		<-inside
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := accounts.Execute(ctx, "1", func(account) ([]event, error) { panic("must not come to this") })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		close(leave)
		wg.Wait()
	})
}

func TestAPanicReleasesTheAggregate(t *testing.T) {
	t.Parallel()
	_, accounts := newBus(memstore.New(nil), nil)
	assert.Panics(t, func() {
		_, _ = accounts.Execute(t.Context(), "1", func(account) ([]event, error) { panic("boom") })
	})
	_, err := accounts.Execute(t.Context(), "1", func(account) ([]event, error) { return []event{opened{"ada"}}, nil })
	require.NoError(t, err)
}

func TestWhatCannotBeFoldedIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	bus, accounts := newBus(store, nil)
	_, err := store.Append(t.Context(), "account-1", eventstore.NoStream, eventstore.Event{Type: "account.frozen"})
	require.NoError(t, err)
	_, err = command.Send(t.Context(), bus, deposit{"1", 1})
	var unknown *eventstore.UnknownEventError
	require.ErrorAs(t, err, &unknown)
	assert.Equal(t, "account.frozen", unknown.Type)

	foreign := codec.New(codec.Type[int]("account.opened"))
	wrong := aggregate.NewRepository[account](store, "account", foreign, nil)
	e, err := foreign.Encode(7)
	require.NoError(t, err)
	_, err = store.Append(t.Context(), "account-2", eventstore.NoStream, e)
	require.NoError(t, err)
	_, err = wrong.Load(t.Context(), "2")
	require.ErrorContains(t, err, "int")

	_, err = command.Send(t.Context(), bus, deposit{"3", 1})
	require.NoError(t, err)
	_, err = store.SetStreamMetadata(t.Context(), "account-3", eventstore.Any, eventstore.StreamMetadata{TruncateBefore: 2})
	require.NoError(t, err)
	_, err = accounts.Load(t.Context(), "3")
	require.ErrorContains(t, err, "truncated")

	_, err = store.Delete(t.Context(), "account-3", eventstore.Any)
	require.NoError(t, err)
	r, err := command.Send(t.Context(), bus, deposit{"3", 2})
	require.NoError(t, err)
	assert.Equal(t, eventstore.Version(2), r.Version, "a soft-deleted aggregate begins anew, its versions go on")
	l, err := accounts.Load(t.Context(), "3")
	require.NoError(t, err)
	assert.Equal(t, int64(2), l.State.balance)
}

func TestCategoriesThatMakeStreamsAmbiguousDoNotStart(t *testing.T) {
	t.Parallel()
	for _, category := range []string{"", "a-b", "a-", "$sys"} {
		assert.Panics(t, func() { aggregate.NewRepository[account](memstore.New(nil), category, events, nil) }, category)
	}
}

func BenchmarkCommandOnAFreshAggregate(b *testing.B) {
	bus, _ := newBus(memstore.New(nil), nil)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if _, err := command.Send(b.Context(), bus, open{strconv.Itoa(n), "ada"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCommandOnAnAggregateOf100Events(b *testing.B) {
	store := memstore.New(nil)
	bus, _ := newBus(store, nil)
	for range 100 {
		if _, err := command.Send(b.Context(), bus, deposit{"1", 1}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := command.Send(b.Context(), bus, touch{"1"}); err != nil {
			b.Fatal(err)
		}
	}
}
