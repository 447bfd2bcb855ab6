package command_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
)

// place is a command of the usual size.
type place struct {
	ID, Customer string
	TotalCents   int
}

func empty(context.Context, place) (eventstore.Receipt, error) { return eventstore.Receipt{}, nil }

// pass is the least that a middleware can do.
func pass(_ command.Route, next command.Handler) command.Handler {
	return func(ctx context.Context, cmd any) (eventstore.Receipt, error) { return next(ctx, cmd) }
}

func BenchmarkSend(b *testing.B) {
	run := func(name string, send func(*command.Bus, context.Context, place) error, middleware ...command.Middleware) {
		b.Run(name, func(b *testing.B) {
			bus := command.NewBus(&command.Options{Middleware: middleware})
			command.Register(bus, empty)
			command.Register(bus, answer)
			ctx, cmd := context.Background(), place{ID: "42", Customer: "ada", TotalCents: 450}
			b.ReportAllocs()
			for b.Loop() {
				if err := send(bus, ctx, cmd); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	plain := func(bus *command.Bus, ctx context.Context, cmd place) error {
		_, err := command.Send(ctx, bus, cmd)
		return err
	}
	withID := func(bus *command.Bus, ctx context.Context, cmd place) error {
		_, err := command.Send(ctx, bus, cmd, command.WithID("42"))
		return err
	}
	dynamic := func(bus *command.Bus, ctx context.Context, cmd place) error {
		_, err := command.Send[any](ctx, bus, cmd)
		return err
	}
	run("empty", plain)
	run("three middlewares", plain, pass, pass, pass)
	run("with id", withID)
	run("interface", dynamic)
	run("recover, log, validate", plain, command.Recover(), command.Log(slog.New(slog.DiscardHandler)), command.Validate())
}
