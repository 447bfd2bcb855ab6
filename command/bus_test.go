package command_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

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
		return func(command string, next command.Handler) command.Handler {
			built++
			return func(ctx context.Context, cmd any) (eventstore.Receipt, error) {
				calls = append(calls, name+" "+command)
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

func TestACommandSentByAHandlerDoesNotInheritItsID(t *testing.T) {
	t.Parallel()
	var inner *eventstore.Origin
	bus := command.NewBus(nil)
	command.Register(bus, func(ctx context.Context, _ pong) (eventstore.Receipt, error) {
		inner = eventstore.OriginFromContext(ctx)
		return eventstore.Receipt{}, nil
	})
	command.Register(bus, func(ctx context.Context, _ ping) (eventstore.Receipt, error) {
		return command.Send(ctx, bus, pong{}) // without options
	})
	_, err := command.Send(t.Context(), bus, ping{}, command.WithID("outer"))
	require.NoError(t, err)
	assert.Empty(t, inner.CommandID, "it would be taken for a repeat")
	assert.Equal(t, "outer", inner.CausationID)
}

func TestShippedMiddleware(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		bus := command.NewBus(&command.Options{Middleware: []command.Middleware{command.Log(l), command.Recover(), command.Timeout(time.Second)}})
		command.Register(bus, func(context.Context, ping) (eventstore.Receipt, error) { panic("boom") })
		command.Register(bus, func(ctx context.Context, _ pong) (eventstore.Receipt, error) {
			<-ctx.Done()
			return eventstore.Receipt{}, ctx.Err()
		})
		_, err := command.Send(t.Context(), bus, ping{})
		var panicked *command.PanicError
		require.ErrorAs(t, err, &panicked)
		assert.Equal(t, "boom", panicked.Value)
		assert.NotEmpty(t, panicked.Stack)
		_, err = command.Send(t.Context(), bus, pong{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Contains(t, log.String(), "command_test.pong")
		assert.Contains(t, log.String(), "boom")
	})
}

func BenchmarkSend(b *testing.B) {
	bus := command.NewBus(nil)
	command.Register(bus, func(context.Context, ping) (eventstore.Receipt, error) { return eventstore.Receipt{}, nil })
	b.ReportAllocs()
	for b.Loop() {
		if _, err := command.Send(context.Background(), bus, ping{1}); err != nil {
			b.Fatal(err)
		}
	}
}
