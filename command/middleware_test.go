package command_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
)

// act is a command that does what it says.
type act struct {
	Do      func(ctx context.Context) (eventstore.Receipt, error)
	Invalid error
}

func (a act) Validate() error { return a.Invalid }

func doAct(ctx context.Context, a act) (eventstore.Receipt, error) { return a.Do(ctx) }

func fail(err error) act {
	return act{Do: func(context.Context) (eventstore.Receipt, error) { return eventstore.Receipt{}, err }}
}

// untilDone is a command that ends with its context.
var untilDone = act{Do: func(ctx context.Context) (eventstore.Receipt, error) {
	<-ctx.Done()
	return eventstore.Receipt{}, ctx.Err()
}}

// busOf has a handler for act behind middleware.
func busOf(middleware ...command.Middleware) *command.Bus {
	bus := command.NewBus(&command.Options{Middleware: middleware})
	command.Register(bus, doAct)
	return bus
}

// noting is a middleware that calls f before its command.
func noting(f func(ctx context.Context)) command.Middleware {
	return func(_ command.Route, next command.Handler) command.Handler {
		return func(ctx context.Context, cmd any) (eventstore.Receipt, error) {
			f(ctx)
			return next(ctx, cmd)
		}
	}
}

func TestRecover(t *testing.T) {
	t.Parallel()
	boom := noting(func(context.Context) { panic("in a middleware") })
	for text, bus := range map[string]*command.Bus{
		"in a middleware": busOf(command.Recover(), boom),
		"in a handler":    busOf(command.Recover()),
	} {
		r, err := command.Send(t.Context(), bus, act{Do: func(context.Context) (eventstore.Receipt, error) { panic("in a handler") }})
		var panicked *command.PanicError
		require.ErrorAs(t, err, &panicked)
		assert.Equal(t, text, panicked.Value)
		assert.Equal(t, "command command_test.act: panic: "+text, err.Error())
		assert.Contains(t, string(panicked.Stack), "middleware_test.go")
		assert.Zero(t, r)
	}
	assert.Panics(t, func() { _, _ = command.Send(t.Context(), busOf(boom, command.Recover()), fail(nil)) }, "it guards what it wraps")
}

func TestLogWritesOnTheLevelOfTheOutcome(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	bus := busOf(command.Defaults(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))...)
	broken := errors.New("broken")
	for _, c := range []struct {
		cmd            act
		level, outcome string
	}{
		{act{Do: func(context.Context) (eventstore.Receipt, error) {
			return eventstore.Receipt{Stream: "s", Version: 3}, nil
		}}, "DEBUG", "done"},
		{fail(refusal{err: broken}), "INFO", "refused"},
		{act{Invalid: broken}, "INFO", "invalid"},
		{fail(&eventstore.ConflictError{}), "WARN", "conflict"},
		{fail(&eventstore.UnavailableError{Uncertain: true, Err: broken}), "WARN", "uncertain"},
		{fail(context.Canceled), "INFO", "canceled"},
		{fail(broken), "ERROR", "failed"},
		{act{Do: func(context.Context) (eventstore.Receipt, error) { panic(broken) }}, "ERROR", "panicked"},
	} {
		log.Reset()
		_, err := command.Send(t.Context(), bus, c.cmd, command.WithID("c1"))
		var line map[string]any
		require.NoError(t, json.Unmarshal(log.Bytes(), &line), "one line")
		assert.Equal(t, c.level, line["level"], c.outcome)
		assert.Equal(t, c.outcome, line["outcome"])
		assert.Equal(t, "command_test.act", line["command"])
		assert.Equal(t, "c1", line["id"])
		assert.Equal(t, "c1", line["correlation"])
		assert.Contains(t, line, "took")
		if err != nil {
			assert.Equal(t, err.Error(), line["error"])
		} else {
			assert.Equal(t, "s", line["stream"])
			assert.EqualValues(t, 3, line["version"])
		}
		assert.Equal(t, c.outcome == "panicked", line["stack"] != nil)
	}
	_, err := command.Send(t.Context(), busOf(command.Log(nil)), fail(broken))
	require.ErrorIs(t, err, broken)
}

func TestCorrelateBeginsAConversation(t *testing.T) {
	t.Parallel()
	var seen []eventstore.Origin
	bus := busOf(command.Correlate(), noting(func(ctx context.Context) { seen = append(seen, *eventstore.OriginFromContext(ctx)) }))
	send := func(cmd act, opts ...command.SendOption) {
		_, err := command.Send(t.Context(), bus, cmd, opts...)
		require.NoError(t, err)
	}
	send(fail(nil))
	assert.NotEmpty(t, seen[0].CommandID)
	assert.Equal(t, seen[0].CommandID, seen[0].CorrelationID)
	send(fail(nil), command.WithID("c1"), command.WithMetadata("k", "v"))
	assert.Equal(t, eventstore.Origin{CommandID: "c1", CorrelationID: "c1", Metadata: eventstore.NewMetadata("k", "v")}, seen[1])
	send(fail(nil), command.WithID("c1"), command.WithCorrelation("talk"))
	assert.Equal(t, eventstore.Origin{CommandID: "c1", CorrelationID: "talk"}, seen[2])

	seen = nil
	send(act{Do: func(ctx context.Context) (eventstore.Receipt, error) { return command.Send(ctx, bus, fail(nil)) }})
	assert.Equal(t, seen[0].CorrelationID, seen[1].CorrelationID, "one conversation")
	assert.Equal(t, seen[0].CommandID, seen[1].CausationID)
	assert.NotEqual(t, seen[0].CommandID, seen[1].CommandID)
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context, _ ping) (eventstore.Receipt, error) { return untilDone.Do(ctx) }
		bus := busOf(command.Timeout(time.Second, command.TimeoutOf[ping](time.Minute), command.TimeoutOf[pong](0)))
		command.Register(bus, slow)
		command.Register(bus, func(ctx context.Context, _ pong) (eventstore.Receipt, error) {
			_, limited := ctx.Deadline()
			assert.False(t, limited)
			return eventstore.Receipt{}, nil
		})
		for _, c := range []struct {
			cmd  any
			want time.Duration
		}{{untilDone, time.Second}, {ping{}, time.Minute}} {
			start := time.Now()
			_, err := command.Send(t.Context(), bus, c.cmd)
			require.ErrorContains(t, err, "took longer than "+c.want.String())
			assert.Equal(t, command.Late, command.OutcomeOf(err))
			assert.Equal(t, c.want, time.Since(start))
		}
		_, err := command.Send(t.Context(), bus, pong{})
		require.NoError(t, err)

		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err = command.Send(ctx, bus, untilDone)
		assert.Equal(t, context.DeadlineExceeded, err, "the sender's own deadline is not ours")
		_, err = command.Send(t.Context(), bus, act{Do: func(ctx context.Context) (eventstore.Receipt, error) {
			<-ctx.Done()
			return eventstore.Receipt{}, &eventstore.UnavailableError{Op: "append", Uncertain: true, Err: ctx.Err()}
		}})
		assert.Equal(t, command.Uncertain, command.OutcomeOf(err), "it was being appended")
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		_, err = command.Send(ctx, bus, untilDone)
		assert.Equal(t, command.Canceled, command.OutcomeOf(err))
	})
}

// pointed is a command whose author forgot that commands are values.
type pointed struct{}

func (*pointed) Validate() error { return errors.New("never asked") }

func TestValidate(t *testing.T) {
	t.Parallel()
	wrong := errors.New("no customer")
	bus := busOf(command.Validate())
	_, err := command.Send(t.Context(), bus, act{Invalid: wrong})
	var invalid *command.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.ErrorIs(t, err, wrong)
	assert.EqualError(t, err, "command command_test.act is invalid: no customer")
	_, err = command.Send(t.Context(), bus, fail(nil))
	require.NoError(t, err)

	command.Register(bus, answer) // which has nothing to be asked
	_, err = command.Send(t.Context(), bus, ping{})
	require.NoError(t, err)
	assert.PanicsWithValue(t, "command: Validate of command_test.pointed has a pointer receiver and would not be called; give it a value receiver", func() {
		command.Register(bus, func(context.Context, pointed) (eventstore.Receipt, error) { return eventstore.Receipt{}, nil })
	})
	command.Register(bus, func(context.Context, *pointed) (eventstore.Receipt, error) { return eventstore.Receipt{}, nil })
	_, err = command.Send(t.Context(), bus, &pointed{})
	assert.Equal(t, command.Invalid, command.OutcomeOf(err))
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	notYours := errors.New("only ada may")
	bus := busOf(command.Authorize(func(ctx context.Context, cmd any) error {
		_, ok := cmd.(act)
		assert.True(t, ok)
		switch command.ActorOf(ctx, cmd) {
		case "ada":
			return nil
		case "eve":
			return &eventstore.UnavailableError{Op: "ask for rights", Err: errors.New("gone")}
		}
		return notYours
	}))
	for actor, want := range map[string]command.Outcome{"ada": command.Done, "eve": command.Unavailable, "bob": command.Denied, "": command.Denied} {
		_, err := command.Send(t.Context(), bus, fail(nil), command.WithMetadata(eventstore.KeyActor, actor))
		assert.Equal(t, want, command.OutcomeOf(err), actor)
		var denied *command.DeniedError
		if errors.As(err, &denied); want != command.Denied {
			assert.Nil(t, denied, "nobody denied it")
		} else {
			require.NotNil(t, denied)
			assert.Equal(t, command.DeniedError{Command: "command_test.act", Actor: actor, Err: notYours}, *denied)
			require.ErrorIs(t, err, notYours)
		}
	}
	_, err := command.Send(t.Context(), bus, fail(nil))
	assert.Equal(t, command.Denied, command.OutcomeOf(err), "without an origin too")
}

// limiter lets each key through once.
type limiter map[string]bool

func (l limiter) Take(key string) (time.Duration, bool) {
	taken := l[key]
	l[key] = true
	return time.Minute, !taken
}

func TestLimit(t *testing.T) {
	t.Parallel()
	bus := busOf(command.Limit(limiter{}, command.TenantOf), command.For[ping](command.Limit(limiter{}, nil)))
	command.Register(bus, answer)
	send := func(cmd any, tenant string) error {
		_, err := command.Send(t.Context(), bus, cmd, command.WithMetadata(eventstore.KeyTenant, tenant))
		return err
	}
	require.NoError(t, send(fail(nil), "a"))
	err := send(fail(nil), "a")
	var limited *command.LimitedError
	require.ErrorAs(t, err, &limited)
	assert.Equal(t, command.LimitedError{Command: "command_test.act", Key: "a", RetryAfter: time.Minute}, *limited)
	assert.EqualError(t, err, `command command_test.act is over the rate limit of "a"; send it again in 1m0s`)
	require.NoError(t, send(ping{}, "b"))
	require.EqualError(t, send(ping{}, "c"), "command command_test.ping is over the rate limit; send it again in 1m0s", "the type's own")
	require.NoError(t, send(fail(nil), "d"), "other types have no limit of their own")
}

func TestTheChainIsBuiltOnce(t *testing.T) {
	t.Parallel()
	var built []string
	count := func(r command.Route, next command.Handler) command.Handler {
		built = append(built, r.Name+" "+r.Type.Name())
		return next
	}
	bus := busOf(count, command.For[ping](count), command.Recover())
	command.Register(bus, answer)
	for range 3 {
		_, err := command.Send(t.Context(), bus, fail(nil))
		require.NoError(t, err)
	}
	assert.Equal(t, []string{"command_test.act act", "command_test.ping ping", "command_test.ping ping"}, built)
}
