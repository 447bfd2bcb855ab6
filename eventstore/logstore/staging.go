package logstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/disk"
)

// A staging is a directory in which a store is made that nobody has opened yet.
// Its files have names that mean nothing to [Open], until in the end all get
// their own, the first segment last: without it there is no store to be opened.
type staging struct {
	fs    disk.FS
	dir   string
	lock  disk.File
	made  bool     // the directory, by us
	ready []string // the final names of what was made
}

// newStaging takes dir, which must be empty or not exist.
func newStaging(fsys disk.FS, dir string) (_ *staging, err error) {
	g := &staging{fs: fsys, dir: dir}
	if _, err := fsys.ReadDir(dir); errors.Is(err, fs.ErrNotExist) {
		g.made = true
	}
	err = fsys.MkdirAll(dir)
	if err == nil {
		err = g.vacant()
	}
	if err == nil {
		g.lock, err = lockDir(fsys, dir)
	}
	if err == nil {
		err = g.vacant() // again, now that nobody else changes it
	}
	if err != nil {
		return nil, errors.Join(err, g.abort())
	}
	return g, nil
}

// vacant returns an error unless there is nothing in the directory but what a
// crash in the middle of an earlier attempt has left.
func (g *staging) vacant() error {
	l, err := list(g.fs, g.dir) // refuses what is not of a store
	if err == nil && len(l.segments)+len(l.indexes) > 0 {
		err = &eventstore.InvalidError{What: "directory", Value: g.dir, Remedy: "it holds a store; choose a directory that is empty or does not exist"}
	}
	return err
}

// temporary returns the name under which a file of the store is to be made.
func (g *staging) temporary(path string) string {
	g.ready = append(g.ready, path)
	return path + tmpSuffix
}

// write makes a file of the parts, which reach the disk.
func (g *staging) write(path string, parts ...[]byte) (err error) {
	f, err := g.fs.Open(g.temporary(path), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	off := int64(0)
	for _, b := range parts {
		for part := range slices.Chunk(b, batchSize) {
			if _, err := f.WriteAt(part, off); err != nil {
				return fmt.Errorf("write %s: %w", path, err)
			}
			off += int64(len(part))
		}
	}
	if err := f.Datasync(); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}

// finish makes a store of what is there.
func (g *staging) finish() error {
	first := segmentPath(g.dir, 1)
	for _, path := range g.ready {
		if path == first {
			continue
		}
		if err := g.fs.Rename(path+tmpSuffix, path); err != nil {
			return err
		}
	}
	if err := g.fs.SyncDir(g.dir); err != nil {
		return err
	}
	if err := g.fs.Rename(first+tmpSuffix, first); err != nil {
		return err
	}
	if err := g.fs.SyncDir(g.dir); err != nil {
		return err
	}
	lock := g.lock
	g.lock = nil
	return lock.Close()
}

// abort takes away what was made.
func (g *staging) abort() error {
	var errs []error
	remove := func(path string) {
		if err := g.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	for _, path := range g.ready { // the first segment first
		remove(path)
		remove(path + tmpSuffix)
	}
	switch {
	case g.lock == nil && g.made:
		_ = g.fs.Remove(g.dir) // unless somebody else has begun something there
	case g.lock != nil && g.made:
		remove(filepath.Join(g.dir, lockFile))
		errs = append(errs, g.lock.Close())
		remove(g.dir)
	case g.lock != nil:
		errs = append(errs, g.lock.Close())
	}
	return errors.Join(errs...)
}
