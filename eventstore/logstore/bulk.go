package logstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/disk"
)

// A bulk writes a store that nobody has opened yet, segment by segment, under
// names that mean nothing to [Open]. In the end all get their names, the first
// segment last: without it the directory is no store that can be opened.
type bulk struct {
	fs     disk.FS
	dir    string
	size   int64
	lock   disk.File
	made   bool // the directory, by us
	ready  []string
	header header
	base   base // of header
	last   eventstore.Position
	buf    []byte // the segment at hand
}

// newBulk takes dir, which must be empty or not exist.
func newBulk(fsys disk.FS, dir string, size int64) (_ *bulk, err error) {
	b := &bulk{fs: fsys, dir: dir, size: size, header: header{storeID: eventstore.NewID(), first: 1}}
	if _, err := fsys.ReadDir(dir); errors.Is(err, fs.ErrNotExist) {
		b.made = true
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, err
	}
	if err := b.vacant(); err != nil {
		return nil, err
	}
	if b.lock, err = fsys.Open(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, err
	}
	ok, err := b.lock.TryLock()
	if err == nil && !ok {
		err = &eventstore.UnavailableError{Op: "lock " + dir, Err: errors.New("another process is at work there")}
	}
	if err == nil {
		err = b.vacant() // now that nobody else changes it
	}
	if err != nil {
		return nil, errors.Join(err, b.lock.Close())
	}
	b.begin()
	return b, nil
}

// vacant returns an error unless there is nothing in the directory but what a
// crash in the middle of an earlier attempt has left.
func (b *bulk) vacant() error {
	entries, err := b.fs.ReadDir(b.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if name == lockFile || segmentName.MatchString(strings.TrimSuffix(name, ".tmp")) && strings.HasSuffix(name, ".tmp") {
			continue
		}
		what := name
		if segmentName.MatchString(strings.TrimSuffix(name, indexSuffix)+segmentSuffix) || segmentName.MatchString(name) {
			what = "a store"
		}
		return &eventstore.InvalidError{What: "directory", Value: b.dir, Remedy: fmt.Sprintf("it holds %s; choose a directory that is empty or does not exist", what)}
	}
	return nil
}

func (b *bulk) begin() {
	b.header.first = b.last + 1
	b.buf = append(b.buf[:0], make([]byte, headerSize)...)
}

// put adds an event whose position is above that of the one before.
func (b *bulk) put(p *place, stream string, e *eventstore.Event) error {
	if int64(len(b.buf))+frameLen(stream, e) > b.size && b.last >= b.header.first {
		if err := b.seal(); err != nil {
			return err
		}
		b.begin()
	}
	if len(b.buf) == headerSize {
		b.header.created = p.created
		b.base = b.header.base()
	}
	p.base, p.off = &b.base, int64(len(b.buf))
	b.buf = appendFrame(b.buf, p, stream, e)
	b.last = p.position
	return nil
}

// seal writes the segment at hand.
func (b *bulk) seal() (err error) {
	copy(b.buf, b.header.encode())
	path := segmentPath(b.dir, b.header.first)
	f, err := b.fs.Open(path+".tmp", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	b.ready = append(b.ready, path)
	defer func() { err = errors.Join(err, f.Close()) }()
	for off := 0; off < len(b.buf); {
		n := min(len(b.buf)-off, batchSize)
		if _, err := f.WriteAt(b.buf[off:off+n], int64(off)); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		off += n
	}
	return f.Datasync()
}

// finish makes a store of what was put.
func (b *bulk) finish() error {
	if err := b.seal(); err != nil {
		return err
	}
	for i, path := range slices.Backward(b.ready) {
		if err := b.fs.Rename(path+".tmp", path); err != nil {
			return err
		}
		if i == 1 || i == 0 { // the first is the last to get its name, also after a crash
			if err := b.fs.SyncDir(b.dir); err != nil {
				return err
			}
		}
	}
	if err := b.lock.Close(); err != nil {
		return err
	}
	b.lock = nil
	return nil
}

// abort takes away what was written.
func (b *bulk) abort() error {
	var errs []error
	remove := func(path string) {
		if err := b.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	for _, path := range b.ready {
		remove(path)
		remove(path + ".tmp")
	}
	if b.lock != nil {
		if b.made {
			remove(filepath.Join(b.dir, lockFile))
		}
		errs = append(errs, b.lock.Close())
	}
	if b.made {
		remove(b.dir)
	}
	return errors.Join(errs...)
}
