package aggregate_test

import (
	"context"
	"fmt"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

func Example() {
	accounts := aggregate.NewRepository[account](memstore.New(nil), "account", events, nil)
	bus := command.NewBus(nil)
	command.Register(bus, aggregate.Handle(accounts, account.Open))

	ctx := context.Background()
	receipt, err := command.Send(ctx, bus, open{ID: "42", Owner: "ada"})
	fmt.Println(receipt.Stream, receipt.Version, err)
	_, err = command.Send(ctx, bus, open{ID: "42", Owner: "bob"})
	fmt.Println(err)
	// Output:
	// account-42 1 <nil>
	// account: already open
}
