// Package logstore keeps events in a directory of its own: the durable store
// for one process, with nothing to install.
//
// The directory holds segments, files of consecutive events, and beside each
// that has ended an index file, by which the events of a stream are found. An
// append is one group of frames with a commit mark on the last, so that after a
// crash it is there whole or not at all. Appends that arrive together share one
// write and one fdatasync; the callers take turns at it. The only goroutine is
// one that writes an index file when a segment has ended, and [Store.Close]
// waits for it.
//
// # Guarantees
//
// With [SyncAlways], the default, an acknowledged append survives a crash of
// the process, of the system and of its power, as far as the disk keeps what it
// says it has flushed. Positions are 1, 2, 3 … without gaps, until
// [Store.Scavenge] removes events. The time of an event is kept to 100
// nanoseconds, as in EventStoreDB. Every event is
// covered by a CRC-32C that is checked whenever it is read; what does not match
// gives an [*eventstore.CorruptError] and is never skipped. Index files can be
// made again from the segments at any time, and are when one is missing, stale
// or damaged.
//
// The first error of a write or a sync stops all appending, because what a file
// holds after it is unknown; reading goes on. Closing and opening again
// recovers: a torn end is cut, and anything else that is damaged is reported
// and left alone.
//
// # Operation
//
// [Store.Scavenge] removes what streams no longer show, [Store.Backup] copies
// the store while it runs, [Verify] checks every byte, [Export] and [Import]
// move events as JSON lines; foldstream log does all that from the command line.
// docs/logstore.md is the guide, docs/log-format.md specifies the files.
//
// # Limits
//
// One process at a time writes, held by a file lock; any number may read what
// was there when they opened the store, see [Options].ReadOnly. In memory are
// the index of the last segment, of at most a million events or some 250,000
// streams, and the state of the streams used last; the rest is mapped. After a
// crash, damage to the very last write cannot be told from a torn one. An
// append to a stream that nobody has used lately looks into the filter of every
// segment. Linux and other systems with mmap and flock only.
package logstore
