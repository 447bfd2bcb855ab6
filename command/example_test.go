package command_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
)

type Archive struct{ ID string }

func (a Archive) Validate() error {
	if a.ID == "" {
		return errors.New("it needs an id")
	}
	return nil
}

func archive(_ context.Context, a Archive) (eventstore.Receipt, error) {
	return eventstore.Receipt{Stream: "order-" + a.ID, Version: 1}, nil
}

func Example() {
	onlyAda := command.Authorize(func(ctx context.Context, cmd any) error {
		if command.ActorOf(ctx, cmd) != "ada" {
			return errors.New("only ada may")
		}
		return nil
	})
	bus := command.NewBus(&command.Options{
		Middleware: append(command.Defaults(nil), onlyAda, command.Deduplicate(nil)),
	})
	command.Register(bus, archive)

	send := func(a Archive, actor string) {
		receipt, err := command.Send(context.Background(), bus, a, command.WithID("request-"+a.ID), command.WithMetadata(eventstore.KeyActor, actor))
		fmt.Println(command.OutcomeOf(err), receipt.Stream, receipt.Repeated)
	}
	send(Archive{}, "ada")
	send(Archive{"1"}, "bob")
	send(Archive{"1"}, "ada")
	send(Archive{"1"}, "ada")
	// Output:
	// invalid  false
	// denied  false
	// done order-1 false
	// done order-1 true
}

func ExampleOutcomeOf() {
	lost := &eventstore.UnavailableError{Op: "append", Uncertain: true, Err: errors.New("connection reset")}
	for _, err := range []error{nil, lost, &eventstore.ConflictError{}, errors.New("a bug")} {
		outcome := command.OutcomeOf(err)
		fmt.Println(outcome, outcome.Answered(), outcome.Again())
	}
	// Output:
	// done true false
	// uncertain false true
	// conflict false true
	// failed false false
}

func ExampleTimeout() {
	type Import struct{}
	bus := command.NewBus(&command.Options{Middleware: []command.Middleware{
		command.Timeout(5*time.Second, command.TimeoutOf[Import](time.Minute)),
	}})
	command.Register(bus, func(ctx context.Context, _ Import) (eventstore.Receipt, error) {
		deadline, _ := ctx.Deadline()
		fmt.Println(time.Until(deadline) > 5*time.Second)
		return eventstore.Receipt{}, nil
	})
	_, _ = command.Send(context.Background(), bus, Import{})
	// Output: true
}

// A middleware of one's own gets the command's type when a handler is
// registered, and has its work done by then.
func ExampleMiddleware() {
	audit := func(route command.Route, next command.Handler) command.Handler {
		verb := route.Type.Name()
		return func(ctx context.Context, cmd any) (eventstore.Receipt, error) {
			receipt, err := next(ctx, cmd)
			fmt.Println(command.ActorOf(ctx, cmd), verb, receipt.Stream, command.OutcomeOf(err))
			return receipt, err
		}
	}
	bus := command.NewBus(&command.Options{Middleware: []command.Middleware{audit}})
	command.Register(bus, archive)
	_, _ = command.Send(context.Background(), bus, Archive{"7"}, command.WithMetadata(eventstore.KeyActor, "ada"))
	// Output: ada Archive order-7 done
}
