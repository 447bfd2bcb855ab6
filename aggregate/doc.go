// Package aggregate loads aggregates from their events, lets them decide, and
// appends what they decided.
//
// An aggregate is a plain value: state = fold(Evolve, zero value, events).
// Its methods decide: they take a command and return new events, or an error
// that refuses it, and change nothing. A method expression such as
// order.Order.Place is then all that [Handle] needs:
//
//	orders := aggregate.NewRepository[order.Order](store, "order", events, nil)
//	command.Register(bus, aggregate.Handle(orders, order.Order.Place))
//
// Those who think in deciders use [NewDeciderRepository].
//
// The aggregate with id 42 of category order is the stream order-42. Commands
// for one aggregate are handled one at a time within a process, in the order
// in which they came; those that wait are appended together, so that a busy
// aggregate keeps pace with its store. Between processes the expected version
// decides, and the loser decides again on what the winner left.
//
// The last state of an aggregate is kept in memory, see Options.Cache. It is
// where reading begins and never the answer: the newer events of the stream
// are read for every command.
//
// Snapshots spare reading a long history when nothing is in memory, see
// [SnapshotOptions]. The past is there too: [AtVersion], [AtTime],
// [Repository.History] and [Repository.Diff].
//
// A command that carries an id, see [eventstore.Origin], is recognized when it
// comes again: the id is kept in the metadata of the events that it led to,
// and their event ids are derived from it. The first receipt is returned and
// nothing is appended, also after a restart, in another process, and when the
// first answer was lost in a crash. Options.Remember says for how long. A
// command that was refused, or that led to no events, left nothing to be
// recognized by and is decided again. Ids are kept per aggregate.
package aggregate
