// Package command has the bus that takes commands to the one handler that
// owns them.
//
// A command is a plain Go value that asks for something to be done; its type
// decides who does it. Exactly one handler may be registered for a type, and
// [Bus.Check] says at start-up which commands nobody would handle. A handler
// is a plain function, so this package needs to know nothing of aggregates:
//
//	bus := command.NewBus(nil)
//	command.Register(bus, aggregate.Handle(orders, order.Order.Place))
//	receipt, err := command.Send(ctx, bus, order.Place{ID: "42"}, command.WithID(requestID))
//
// The receipt names the position of what was written. Handed to a query, see
// query.After, it lets the sender read its own write.
package command
