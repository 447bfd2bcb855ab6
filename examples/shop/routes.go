package main

import (
	"log/slog"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/examples/shop/cart"
	"github.com/foldstream/foldstream/examples/shop/order"
)

// This file is the timeline of responsibility: who owns each command, and who
// answers each query from which view. views.go says which facts feed the views.

// A writeSide takes commands.
type writeSide struct {
	bus       *command.Bus
	checkouts *checkouts
}

// commands are all that can be sent; [command.Bus.Check] holds at start that
// each has an owner.
var commands = []any{
	cart.AddItem{}, cart.RemoveItem{}, cart.ApplyCoupon{}, cart.ChooseShipper{}, cart.Checkout{},
	order.Pay{}, order.Ship{}, order.Cancel{},
}

func newWriteSide(store eventstore.Store, events eventstore.Codec, log *slog.Logger, outer ...command.Middleware) *writeSide {
	carts := aggregate.NewRepository[cart.Cart](store, "cart", events, nil)
	orders := aggregate.NewRepository[order.Order](store, "order", events, nil)
	checkouts := &checkouts{store: store, events: events, carts: carts, orders: orders}

	bus := command.NewBus(&command.Options{Middleware: append(outer, command.Defaults(log)...)})
	// The cart owns what happens to it until the checkout …
	command.Register(bus, aggregate.Handle(carts, cart.Cart.AddItem))
	command.Register(bus, aggregate.Handle(carts, cart.Cart.RemoveItem))
	command.Register(bus, aggregate.Handle(carts, cart.Cart.ApplyCoupon))
	command.Register(bus, aggregate.Handle(carts, cart.Cart.ChooseShipper))
	// … which closes the cart and then places the order …
	command.Register(bus, checkouts.checkout)
	// … and the order owns the rest.
	command.Register(bus, aggregate.Handle(orders, order.Order.Pay))
	command.Register(bus, aggregate.Handle(orders, order.Order.Ship))
	command.Register(bus, aggregate.Handle(orders, order.Order.Cancel))
	return &writeSide{bus, checkouts}
}

// refused reports whether a command was decided and refused, by a rule of the
// business or because it names what no store accepts.
func refused(err error) bool {
	o := command.OutcomeOf(err)
	return o == command.Refused || o == command.Invalid
}
