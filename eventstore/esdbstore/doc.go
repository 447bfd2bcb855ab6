// Package esdbstore is an [eventstore.Store] on EventStoreDB, and on anything
// that speaks its gRPC protocol, such as package esdbserver.
//
//	store, err := esdbstore.Open("esdb://admin:changeit@node1:2113,node2:2113,node3:2113", nil)
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	receipt, err := store.Append(ctx, "order-42", eventstore.NoStream, placed)
//
// # Connection strings
//
// They are EventStoreDB's:
// esdb://[user:password@]host[:2113][,host...][?key=value&...] names a node or
// the nodes of a cluster, esdb+discover://host a DNS name that leads to a node
// that knows the others. Keys, in any case: tls (true), tlsVerifyCert (true),
// tlsCAFile, userCertFile and userKeyFile, nodePreference (leader, follower,
// random, readOnlyReplica), gossipTimeout in seconds (5), discoveryInterval in
// milliseconds (100), keepAliveInterval and keepAliveTimeout in milliseconds (10000; -1 turns
// it off), defaultDeadline in milliseconds (10000). maxDiscoverAttempts is accepted and has no
// effect: how long to go on is for [Options] to say. Unknown keys are refused.
//
// Credentials are sent with TLS only; the official client leaves them out
// without a word when tls=false. A password with characters such as / or @ must be
// percent-encoded. Without a port it is 2113, IPv6 addresses are not
// understood.
//
// # Outages
//
// The official client waits for a node without regard to contexts, dies or
// hangs when one is away for long, and never resumes a subscription. Here every
// call honours its context, and an outage of any length heals by itself:
//
//   - Reads go on after the last event they yielded, for as long as
//     Options.RetryFor says since the last one; then they end with an
//     [*eventstore.UnavailableError].
//   - Appends that cannot have reached the server, and those that expect an
//     exact version or no stream, are repeated with the same event ids, which the
//     server recognizes. Others end with an uncertain UnavailableError once they may
//     have been written; so do Delete and Tombstone.
//   - Subscriptions and consumers try for ever, with growing waits, and resume
//     after the last event without gap or double.
//
// When a context ends during an outage, the error matches both that of the
// context and [eventstore.ErrUnavailable].
//
// # What EventStoreDB does differently
//
// A position is the commit position of an event, with gaps. Content types are
// JSON or octet-stream. A tombstone has the version [eventstore.DeletedStream].
// Reading $all, which Head and ReadAll do, needs the right to it. ReadAll filters
// here, because the client cannot do it there; subscriptions filter on the
// server as far as that knows the conditions. A server of 23.10 or later is
// needed, which says when a subscription has caught up.
//
// # Groups
//
// A [Group] is a persistent subscription: consumers share the events of a
// stream, or of all, and the server keeps what was handled, retried and parked.
package esdbstore
