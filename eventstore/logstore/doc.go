// Package logstore keeps events in a directory of its own: the durable store
// for one process, with nothing to install.
//
// The directory holds segments, files of consecutive events. An append is one
// group of frames with a commit mark on the last, so that after a crash it is
// there whole or not at all. Appends that arrive together share one write and
// one fdatasync; no background goroutine exists, the callers take turns.
//
// # Guarantees
//
// With [SyncAlways], the default, an acknowledged append survives a crash of
// the process, of the system and of its power, as far as the disk keeps what it
// says it has flushed. Positions are 1, 2, 3 … without gaps. Every event is
// covered by a CRC-32C that is checked whenever it is read; what does not match
// gives an [*eventstore.CorruptError] and is never skipped.
//
// The first error of a write or a sync stops all appending, because what a file
// holds after it is unknown; reading goes on. Closing and opening again
// recovers: a torn end is cut, and anything else that is damaged is reported
// and left alone.
//
// # Limits
//
// One process at a time, held by a file lock. The index of streams is in
// memory: about 12 bytes per event and 200 bytes per stream, rebuilt by reading
// every segment when the store is opened. Damage to the very last write cannot
// be told from a torn one. Deleted events keep their space. Linux and other
// systems with mmap and flock only.
package logstore
