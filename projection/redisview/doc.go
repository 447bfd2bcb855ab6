// Package redisview keeps the views of projections in Redis: a single server,
// one behind Sentinel, or a Redis Cluster.
//
// # What a commit promises
//
// The changes of a batch and the checkpoint of its partition are one
// MULTI/EXEC, which Redis carries out only if nothing has written the
// checkpoint since the session last saw its own value there (WATCH). So a
// batch happens whole or not at all, never twice, and a worker that was
// overtaken, restarted or woken from a pause cannot write. That holds across a
// fail-over that loses acknowledged writes, because data and checkpoint are
// lost together. It is one round trip.
//
// # Keys
//
// All keys begin with the prefix of [Options]. Names of views, collections and
// leases are escaped: %, :, { and } are written as % and two hexadecimal
// digits.
//
//	{<view>}:active                    the version that is read, as version:partitions:definition,
//	                                   and the collections stored per key, each after a colon
//	{<view>}:versions                  hash: version -> JSON
//	{<view>}:lease:<name>              the owner of a lease
//	{<view>}:notes                     hash: note -> when it expires:value
//	views                              set: names of views, some of which may have no version
//	{<view>:pNN}:vK:ck                 checkpoint of partition NN of version K, as epoch:position
//	{<view>:pNN}:vK:d:<collection>     hash: key -> document
//	{<view>:pNN}:vK:x:<collection>:<key>  a document of a collection that is stored per key
//	{<view>:pNN}:vK:c:<collection>     hash: key -> counter
//	{<view>:pNN}:vK:r:<collection>     sorted set: counters by their negated value, so that
//	                                   equal ones come by key
//	{<view>:pNN}:vK:i:<collection>:<key>  sorted set: members of one key of an index,
//	                                   or of a lookup, in the partition of their documents
//	{<view>:pNN}:vK:s:<collection>:<key>  set: members of one key of a set
//	{<view>:pNN}:vK:parked             hash: stream -> parked events
//	{<view>:pNN}:vK:k                  set: what d:, c:, i: and s: there are
//
// The braces are hash tags: on a cluster a partition lives in one slot.
// Nothing else may write these keys. Keys must not be evicted: set the maxmemory-policy
// noeviction, with which a full Redis refuses a batch whole.
package redisview
