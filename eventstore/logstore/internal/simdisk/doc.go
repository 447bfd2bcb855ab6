// Package simdisk is a file system for tests that remembers every change, so
// that it can show what a power cut after any of them may leave, and that fails
// when it is told to.
//
// A [Disk] works on real files of one directory, so that they can be mapped.
// It believes in what was synced only. Of the rest a power cut ([Replay.Crash])
// keeps what it likes, page by page or sector by sector, in any order: data
// without the size, the size without data, names or not. A write may be torn
// at any byte. After a failed sync the system calls pages clean that are not on
// the disk, as Linux does, so that a later sync does not bring them there
// unless they are written again; see https://wiki.postgresql.org/wiki/Fsync_Errors.
package simdisk
