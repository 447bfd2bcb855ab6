// Package groups is the engine of persistent subscriptions: consumer groups
// that a store's events are handed out to, each event to one consumer of a
// group, until the consumer says that it is done. It knows nothing of gRPC and
// works over any [eventstore.Store].
//
// Delivery is at least once. A group remembers how far it is in a checkpoint
// below which every event was acknowledged, skipped or parked; after a restart
// it goes on from there. Events that are handed out again come before new ones,
// in the order of the log. Definitions, checkpoints and parked events live in
// streams of the store under the names that EventStoreDB gives them.
//
// The rules are those of section 2.11 of the project's protocol notes, with two
// exceptions: a message timeout of 0 means that messages never time out, and
// parked events are truncated only once their replay has been dealt with, so
// that a crash during a replay loses none.
package groups
