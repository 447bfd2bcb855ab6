package command_test

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
)

type (
	ping struct{ N int }
	pong struct{}
)

func answer(ctx context.Context, p ping) (eventstore.Receipt, error) {
	return eventstore.Receipt{Version: eventstore.Version(p.N)}, ctx.Err()
}

func TestACommandHasOneHandler(t *testing.T) {
	t.Parallel()
	bus := command.NewBus(nil)
	command.Register(bus, answer)
	assert.PanicsWithValue(t, "command: command_test.ping has a handler already; a command has one owner", func() { command.Register(bus, answer) })
	assert.Panics(t, func() {
		command.Register(bus, func(context.Context, any) (eventstore.Receipt, error) { return eventstore.Receipt{}, nil })
	})
	require.NoError(t, bus.Check(ping{}))
	err := bus.Check(ping{}, pong{})
	require.ErrorIs(t, err, command.ErrNoHandler)
	assert.ErrorContains(t, err, "command_test.pong")
	_, err = command.Send(t.Context(), bus, pong{})
	require.ErrorIs(t, err, command.ErrNoHandler)
	_, err = command.Send[any](t.Context(), bus, nil)
	require.ErrorIs(t, err, command.ErrNoHandler)
	assert.Equal(t, []string{"command_test.ping"}, bus.Commands())
}

func TestSendGoesByTheDynamicType(t *testing.T) {
	t.Parallel()
	bus := command.NewBus(nil)
	command.Register(bus, answer)
	r, err := command.Send[any](t.Context(), bus, ping{7})
	require.NoError(t, err)
	assert.Equal(t, eventstore.Version(7), r.Version)
}

func TestMiddlewareWrapsOutermostFirstAndOnce(t *testing.T) {
	t.Parallel()
	var calls []string
	built := 0
	trace := func(name string) command.Middleware {
		return func(r command.Route, next command.Handler) command.Handler {
			built++
			return func(ctx context.Context, cmd any) (eventstore.Receipt, error) {
				calls = append(calls, name+" "+r.Name)
				return next(ctx, cmd)
			}
		}
	}
	bus := command.NewBus(&command.Options{Middleware: []command.Middleware{trace("a"), trace("b")}})
	command.Register(bus, answer)
	for range 2 {
		_, err := command.Send(t.Context(), bus, ping{})
		require.NoError(t, err)
	}
	assert.Equal(t, []string{"a command_test.ping", "b command_test.ping", "a command_test.ping", "b command_test.ping"}, calls)
	assert.Equal(t, 2, built)
}

func TestOriginIsHandedOnAsTheCause(t *testing.T) {
	t.Parallel()
	var outer, inner *eventstore.Origin
	bus := command.NewBus(nil)
	command.Register(bus, func(ctx context.Context, _ pong) (eventstore.Receipt, error) {
		inner = eventstore.OriginFromContext(ctx)
		return eventstore.Receipt{}, nil
	})
	command.Register(bus, func(ctx context.Context, _ ping) (eventstore.Receipt, error) {
		outer = eventstore.OriginFromContext(ctx)
		return command.Send(ctx, bus, pong{}, command.WithID("inner"))
	})
	_, err := command.Send(t.Context(), bus, ping{}, command.WithID("outer"), command.WithCorrelation("talk"), command.WithMetadata("tenant", "t"))
	require.NoError(t, err)
	assert.Equal(t, "outer", outer.CommandID)
	assert.Equal(t, "inner", inner.CommandID)
	assert.Equal(t, "outer", inner.CausationID)
	assert.Equal(t, "talk", inner.CorrelationID)
	assert.Equal(t, "t", inner.Metadata.Get("tenant"))
}

// move is a command for an aggregate.
type move struct{ To string }

func (m move) AggregateID() string { return m.To }

func TestACommandSentByAHandlerHasAnIDThatFollows(t *testing.T) {
	t.Parallel()
	ids := func(id string, order ...string) map[string][]string {
		got := map[string][]string{}
		bus := command.NewBus(nil)
		note := func(ctx context.Context, to string) (eventstore.Receipt, error) {
			o := eventstore.OriginFromContext(ctx)
			assert.Equal(t, id, o.CausationID)
			got[to] = append(got[to], o.CommandID)
			return eventstore.Receipt{}, nil
		}
		command.Register(bus, func(ctx context.Context, m move) (eventstore.Receipt, error) { return note(ctx, m.To) })
		command.Register(bus, func(ctx context.Context, _ pong) (eventstore.Receipt, error) { return note(ctx, "pong") })
		command.Register(bus, func(ctx context.Context, _ ping) (eventstore.Receipt, error) {
			for _, to := range order {
				_, err := command.Send(ctx, bus, move{to}) // without options
				require.NoError(t, err)
			}
			return command.Send[any](ctx, bus, pong{}, command.WithMetadata("k", "v"))
		})
		_, err := command.Send(t.Context(), bus, ping{}, command.WithID(id))
		require.NoError(t, err)
		return got
	}
	first := ids("outer", "a", "b", "a")
	all := slices.Concat(first["a"], first["b"], first["pong"], []string{"outer", ""})
	slices.Sort(all)
	require.Len(t, slices.Compact(all), 6, "each has its own, and not that of its cause, whose repeat it would be")
	assert.Equal(t, first, ids("outer", "a", "b", "a"), "a repeated cause has the same consequences")
	assert.Equal(t, first, ids("outer", "b", "a", "a"), "in whatever order")
	assert.Equal(t, first["b"], ids("outer", "b")["b"], "with whatever beside them")
	assert.NotEqual(t, first["b"], ids("other", "b")["b"])
}

func TestACommandWithoutACauseWithAnIDHasNone(t *testing.T) {
	t.Parallel()
	var origin *eventstore.Origin
	bus := command.NewBus(nil)
	command.Register(bus, func(ctx context.Context, _ ping) (eventstore.Receipt, error) {
		origin = eventstore.OriginFromContext(ctx)
		return eventstore.Receipt{}, nil
	})
	ctx := eventstore.ContextWithOrigin(t.Context(), &eventstore.Origin{Metadata: eventstore.NewMetadata("tenant", "t")})
	_, err := command.Send(ctx, bus, ping{})
	require.NoError(t, err)
	assert.Empty(t, origin.CommandID, "the aggregate makes one")
	assert.Equal(t, "t", origin.Metadata.Get("tenant"))
}

func TestOptionsDoNotReachOtherCommands(t *testing.T) {
	t.Parallel()
	bus := command.NewBus(nil)
	command.Register(bus, func(ctx context.Context, p ping) (eventstore.Receipt, error) {
		o := eventstore.OriginFromContext(ctx)
		assert.Equal(t, strconv.Itoa(p.N), o.Metadata.Get("n"))
		assert.Equal(t, 2, o.Metadata.Len())
		return eventstore.Receipt{}, nil
	})
	ctx := eventstore.ContextWithOrigin(t.Context(), &eventstore.Origin{Metadata: eventstore.NewMetadata("tenant", "t")})
	var all sync.WaitGroup
	for n := range 100 {
		all.Go(func() {
			_, err := command.Send(ctx, bus, ping{n}, command.WithMetadata("n", strconv.Itoa(n)))
			assert.NoError(t, err)
		})
	}
	all.Wait()
}

func TestHandlersAreRegisteredWhileOthersWork(t *testing.T) {
	t.Parallel()
	bus := command.NewBus(nil)
	command.Register(bus, answer)
	var all sync.WaitGroup
	all.Go(func() {
		for range 1000 {
			_, err := command.Send(t.Context(), bus, ping{})
			assert.NoError(t, err)
		}
	})
	all.Go(func() {
		command.Register(bus, func(context.Context, pong) (eventstore.Receipt, error) { return eventstore.Receipt{}, nil })
		command.Register(bus, func(context.Context, move) (eventstore.Receipt, error) { return eventstore.Receipt{}, nil })
	})
	all.Wait()
	assert.Equal(t, []string{"command_test.move", "command_test.ping", "command_test.pong"}, bus.Commands())
}

func TestOptionsOfABusAreItsOwn(t *testing.T) {
	t.Parallel()
	middleware := []command.Middleware{pass}
	bus := command.NewBus(&command.Options{Middleware: middleware})
	middleware[0] = func(command.Route, command.Handler) command.Handler { panic("another's") }
	command.Register(bus, answer)
}

func TestContextIsASendWithoutABus(t *testing.T) {
	t.Parallel()
	outer := eventstore.ContextWithOrigin(t.Context(), &eventstore.Origin{CommandID: "outer", CorrelationID: "talk"})
	o := eventstore.OriginFromContext(command.Context(outer, move{"a"}, command.WithID("inner")))
	assert.Equal(t, &eventstore.Origin{CommandID: "inner", CorrelationID: "talk", CausationID: "outer"}, o)
	derived := eventstore.OriginFromContext(command.Context(outer, move{"a"})).CommandID
	assert.NotEmpty(t, derived)
	assert.NotEqual(t, derived, eventstore.OriginFromContext(command.Context(outer, move{"a"})).CommandID, "the second to the same aggregate")
}
