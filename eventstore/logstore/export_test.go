package logstore

import (
	"io/fs"
	"strings"

	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/disk"
)

// File is what the store writes to.
type File = disk.File

// WithFS returns o with a file system of the test's own.
func WithFS(o Options, fsys disk.FS) Options {
	o.fs = fsys
	return o
}

// SetHooks replaces what touches the segments; a nil function stays the
// default. The sync that makes a segment is left out.
func SetHooks(o *Options, write func(f File, b []byte, off int64) (int, error), sync func(f File) error) {
	o.fs = hookFS{disk.OS{}, write, sync}
}

type hookFS struct {
	disk.OS
	write func(f File, b []byte, off int64) (int, error)
	sync  func(f File) error
}

func (h hookFS) Open(path string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := h.OS.Open(path, flag, perm)
	if err != nil || !strings.Contains(path, segmentSuffix) {
		return f, err
	}
	return &hookFile{File: f, hooks: h, isNew: strings.HasSuffix(path, tmpSuffix)}, nil
}

type hookFile struct {
	disk.File
	hooks hookFS
	isNew bool
}

func (f *hookFile) WriteAt(b []byte, off int64) (int, error) {
	if f.hooks.write == nil {
		return f.File.WriteAt(b, off)
	}
	return f.hooks.write(f.File, b, off)
}

func (f *hookFile) Datasync() error {
	if f.isNew || f.hooks.sync == nil {
		f.isNew = false
		return f.File.Datasync()
	}
	return f.hooks.sync(f.File)
}

// Waiting returns how many appends wait for the leader.
func (s *Store) Waiting() int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return len(s.queue.waiting)
}

// Refusing reports whether nothing is accepted any more.
func (s *Store) Refusing() bool {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return s.queue.refuse != nil
}

// Dir returns the store's directory.
func (s *Store) Dir() string { return s.dir }

// Abandon leaves the store as a process does that is killed.
func (s *Store) Abandon() error {
	s.once.Do(func() {
		s.queue.shut()
		s.ended.Store(true)
		close(s.closed)
		s.sealer.work.Wait()
		s.result = s.release()
	})
	return s.result
}

// Sealed waits until every segment that has ended has its index file.
func (s *Store) Sealed() { s.sealer.work.Wait() }

// Forget lets the store forget the ids of events, when nobody appends.
func (s *Store) Forget() { s.recent, s.remembered = streamrules.Recent{}, true }
