// Package command has the bus that takes commands to the one handler that
// owns them.
//
// A command is a plain Go value that asks for something to be done; its type
// decides who does it. Exactly one handler may be registered for a type, and
// [Bus.Check] says at start-up which commands nobody would handle. A handler
// is a plain function, so this package needs to know nothing of aggregates:
//
//	bus := command.NewBus(&command.Options{Middleware: command.Defaults(slog.Default())})
//	command.Register(bus, aggregate.Handle(orders, order.Order.Place))
//	receipt, err := command.Send(ctx, bus, order.Place{ID: "42"}, command.WithID(requestID))
//
// The receipt names the position of what was written. Handed to a query, see
// query.After, it lets the sender read its own write. [OutcomeOf] says what an
// error means, and whether sending the command again may help.
//
// # Middleware
//
// A chain is built when a handler is registered, not when a command is sent. The
// order that works, outermost first, [Defaults] being those with a star:
//
//   - [Correlate]*: makes the ids that all others write down.
//   - commandotel.Observe: its span covers whatever may take time.
//   - [Log]*: within the span, so that its lines belong to the trace, and outside
//     [Recover], so that a panic is an error with an outcome to log.
//   - [Recover]*: guards all that follow; those before it do not panic.
//   - [Timeout]*: bounds all that may wait.
//   - [Limit]: refuses before anything costs much, and counts what will be denied
//     too, so that guessing is limited.
//   - [Validate]*, commandvalidator.Validate: so that what follows sees sound
//     commands only. A command that is wrong by itself tells nothing about rights.
//   - [Authorize]: the last before anything is done or told.
//   - [Deduplicate]: innermost, because a receipt is for those who were let in.
//
// # Queues
//
// A [Queue] keeps commands in an event store until a worker, in any process,
// has carried them out: [Enqueue] returns once a command is stored, [Queue.Run]
// works, [Queue.Await] waits. Commands of one aggregate keep their order. A
// command is tried at least once, with one id, by which an aggregate recognizes
// it; so its effect happens once.
package command
