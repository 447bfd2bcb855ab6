package aggregate_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

func TestRulesAboutExistence(t *testing.T) {
	t.Parallel()
	store := &reading{Store: memstore.New(nil)}
	accounts := aggregate.NewRepository[account](store, "account", events, nil)
	bus := command.NewBus(nil)
	command.Register(bus, aggregate.Handle(accounts, account.Open, aggregate.MustNotExist()))
	command.Register(bus, aggregate.Handle(accounts, account.Deposit, aggregate.MustExist()))
	ctx := t.Context()

	_, err := command.Send(ctx, bus, deposit{"1", 1})
	require.ErrorIs(t, err, aggregate.ErrNotExist)
	require.EqualError(t, err, "account-1: aggregate does not exist")
	var refused interface{ Refused() bool }
	require.ErrorAs(t, err, &refused)
	assert.True(t, refused.Refused())

	store.reads = 0
	first, err := command.Send(ctx, bus, open{"1", "ada"}, command.WithID("open"))
	require.NoError(t, err)
	assert.Zero(t, store.reads, "what must not exist is not looked for")
	_, err = command.Send(ctx, bus, open{"1", "bob"})
	require.ErrorIs(t, err, aggregate.ErrExists)
	first.Repeated = true
	again, err := command.Send(ctx, bus, open{"1", "ada"}, command.WithID("open"))
	require.NoError(t, err)
	assert.Equal(t, first, again, "a repeat is no second creation")

	_, err = command.Send(ctx, bus, deposit{"1", 1})
	require.NoError(t, err)
	again, err = command.Send(ctx, bus, open{"1", "ada"}, command.WithID("open"))
	require.NoError(t, err)
	assert.Equal(t, first, again)

	never := aggregate.NewRepository[account](store, "account", events, &aggregate.Options{Retries: -1})
	_, err = never.Execute(ctx, "1", func(a account) ([]event, error) { return a.Open(open{"1", "eve"}) }, aggregate.MustNotExist())
	require.ErrorIs(t, err, aggregate.ErrExists, "not a conflict, also without retries")

	_, err = store.Delete(ctx, "account-1", eventstore.Any)
	require.NoError(t, err)
	r, err := command.Send(ctx, bus, open{"1", "eve"})
	require.NoError(t, err)
	assert.Equal(t, eventstore.Version(3), r.Version)
}

type accountCommand interface{ accountID() string }

func (c open) accountID() string     { return c.ID }
func (c withdraw) accountID() string { return c.ID }

var errUnknown = errors.New("unknown command")

var accountDecider = aggregate.Decider[account, accountCommand, event]{
	Decide: func(c accountCommand, a account) ([]event, error) {
		switch c := c.(type) {
		case open:
			return a.Open(c)
		case withdraw:
			return a.Withdraw(c)
		}
		return nil, errUnknown
	},
	Evolve:  account.Evolve,
	Initial: account{balance: 10}, // a present
}

func TestADeciderIsAnAggregateToo(t *testing.T) {
	t.Parallel()
	accounts := aggregate.NewDeciderRepository(memstore.New(nil), "account", events, accountDecider, nil)
	bus := command.NewBus(nil)
	command.Register(bus, aggregate.HandleDecider[open](accounts, accountDecider))
	command.Register(bus, aggregate.HandleDecider[withdraw](accounts, accountDecider, aggregate.MustExist()))
	_, err := command.Send(t.Context(), bus, withdraw{"1", 1})
	require.ErrorIs(t, err, aggregate.ErrNotExist)
	_, err = command.Send(t.Context(), bus, open{"1", "ada"})
	require.NoError(t, err)
	_, err = command.Send(t.Context(), bus, withdraw{"1", 11})
	require.ErrorIs(t, err, errFunds)
	_, err = command.Send(t.Context(), bus, withdraw{"1", 4})
	require.NoError(t, err)
	assert.Equal(t, int64(6), balance(t, accounts, "1"))
	assert.Equal(t, int64(10), balance(t, accounts, "none"), "what does not exist is in the initial state")
	assert.PanicsWithValue(t, "aggregate: aggregate_test.touch is no command of the decider, which takes aggregate_test.accountCommand",
		func() { aggregate.HandleDecider[touch](accounts, accountDecider) })
}

func TestACommandWhoseContextIsDoneIsNotBegun(t *testing.T) {
	t.Parallel()
	bus, accounts := newBus(memstore.New(nil), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := command.Send(ctx, bus, deposit{"1", 1})
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, eventstore.ErrUnavailable)
	assert.Zero(t, balance(t, accounts, "1"))
}
