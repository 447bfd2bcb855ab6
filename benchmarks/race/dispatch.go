package race

import (
	"context"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
)

// Ping is a command that nothing is done for.
type Ping struct{ N int }

// Dispatch is an entry that sends commands to a handler that does nothing. The
// caller of open closes nothing when it returned an error.
func Dispatch(name string, kind Kind, open func(ctx context.Context) (send func(ctx context.Context, n int) error, closeBus func() error, err error)) Entry {
	return Entry{Name: name, Kind: kind, Open: func(ctx context.Context, _ string) (*Lap, error) {
		send, closeBus, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return &Lap{Close: closeBus, Do: func(ctx context.Context, _, i int) error { return send(ctx, i) }}, nil
	}}
}

// The entries of [OurDispatch].
const (
	DispatchEmpty = "foldstream"
	DispatchThree = "foldstream, three middlewares"
)

// OurDispatch is the command bus without middleware, and with three that only
// hand on.
func OurDispatch() []Entry {
	pass := func(_ command.Route, next command.Handler) command.Handler {
		return func(ctx context.Context, cmd any) (eventstore.Receipt, error) { return next(ctx, cmd) }
	}
	entry := func(name string, middleware ...command.Middleware) Entry {
		return Dispatch(name, Ours, func(context.Context) (func(context.Context, int) error, func() error, error) {
			bus := command.NewBus(&command.Options{Middleware: middleware})
			command.Register(bus, func(context.Context, Ping) (eventstore.Receipt, error) { return eventstore.Receipt{}, nil })
			return func(ctx context.Context, n int) error {
				_, err := command.Send(ctx, bus, Ping{n})
				return err
			}, nil, nil
		})
	}
	return []Entry{entry(DispatchEmpty), entry(DispatchThree, pass, pass, pass)}
}

// DispatchBars are those of [OurDispatch].
var DispatchBars = []Bar{{Entry: DispatchEmpty, Nanos: 60, Allocs: 1}, {Entry: DispatchThree, Nanos: 150}}
