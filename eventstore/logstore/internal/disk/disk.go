// Package disk is what logstore asks of a file system, so that tests can put
// one in its place that tears, loses, refuses and fills up.
package disk

import (
	"io"
	"io/fs"
)

// An FS is a file system. Paths are absolute. It is safe for concurrent use.
type FS interface {
	// Open opens a file; flag is as for os.OpenFile.
	Open(path string, flag int, perm fs.FileMode) (File, error)
	// MkdirAll makes a directory and those above it that are missing. They
	// survive a crash once it returns.
	MkdirAll(path string) error
	// ReadDir lists a directory in the order of the names.
	ReadDir(path string) ([]fs.DirEntry, error)
	Rename(from, to string) error
	Link(from, to string) error
	Remove(path string) error
	// SyncDir forces the names in a directory to the disk.
	SyncDir(path string) error
}

// A File is an open file. ReadAt and WriteAt may be called by several
// goroutines at once.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Datasync forces to the disk what was written, and the size.
	Datasync() error
	Truncate(size int64) error
	Size() (int64, error)
	// Data returns the first range at or behind off that may hold something
	// other than zeros, or the file's size twice when there is none.
	Data(off int64) (from, to int64, err error)
	// Map returns the first size bytes for reading. They show what is written
	// later. A page that cannot be read faults, see debug.SetPanicOnFault.
	Map(size int64) ([]byte, error)
	// Unmap gives a mapping back. Nobody may touch it any more.
	Unmap(data []byte) error
	// TryLock makes this process the only one that holds the file, or reports
	// false when another one does. Close gives it back.
	TryLock() (bool, error)
}
