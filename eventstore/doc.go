// Package eventstore defines the append-only log of events that the rest of
// foldstream is built on. It holds no storage engine: memstore, logstore and
// esdbstore do, and package eventstoretest says in runnable clauses what each
// of them must keep.
//
// An event belongs to a stream named category-id. The events of a stream have
// versions 1, 2, 3 … without gaps; version 0 means that there is no stream. A
// [Position] orders all events of one store. An event becomes readable only
// when every event before it is, so no reader ever sees a gap that is filled
// later. An event is never changed once it can be read.
//
// Of two writers that saw the same version exactly one succeeds, and the
// other gets a [*ConflictError]. An append of several events happens whole or
// not at all.
//
// Streams are deleted, truncated and limited through [StreamMetadata] with the
// meaning that EventStoreDB gives it, see
// https://developers.eventstore.com/server/v24.10/features/streams.html.
package eventstore
