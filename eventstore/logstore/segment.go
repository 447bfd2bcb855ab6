package logstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"

	"github.com/foldstream/foldstream/eventstore"
)

// A segment is one file of consecutive events, mapped whole.
type segment struct {
	first eventstore.Position
	path  string
	file  *os.File
	data  []byte // the mapping; guarded by Store.mapped
	seed  uint32

	end   int64    // where the next frame goes; the leader's
	added []uint32 // offset of each event in units of frameAlign; the leader's
	offs  []uint32 // those of added that may be read; guarded by Store.mu

	counted int64 // bytes that are part of Store.used; guarded by Store.mu
}

const segmentSuffix = ".log"

func segmentPath(dir string, first eventstore.Position) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", first, segmentSuffix))
}

// createSegment makes an empty segment that survives a crash once it returns.
// A crash before that leaves at most a .tmp file.
func (s *Store) createSegment(first eventstore.Position, size int64) (seg *segment, err error) {
	path := segmentPath(s.dir, first)
	f, err := os.OpenFile(path+".tmp", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	h := header{s.id, first}
	if err := f.Truncate(size); err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	if _, err := s.opts.hooks.write(f, h.encode(), 0); err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("sync %s: %w", f.Name(), err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	if err := syncDir(s.dir); err != nil {
		return nil, err
	}
	seg = &segment{first: first, path: path, file: f, seed: h.seed(), end: headerSize, counted: headerSize}
	return seg, seg.mmap(size)
}

func (seg *segment) mmap(size int64) error {
	data, err := unix.Mmap(int(seg.file.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", seg.path, err)
	}
	seg.data = data
	return nil
}

// resize makes an empty segment larger.
func (seg *segment) resize(size int64) error {
	if err := seg.file.Truncate(size); err != nil {
		return fmt.Errorf("enlarge %s: %w", seg.path, err)
	}
	if err := unix.Munmap(seg.data); err != nil {
		return fmt.Errorf("unmap %s: %w", seg.path, err)
	}
	return seg.mmap(size)
}

func (seg *segment) size() int64 { return int64(len(seg.data)) }

// close unmaps and closes; nobody may read any more.
func (seg *segment) close() error {
	var err error
	if seg.data != nil {
		err = unix.Munmap(seg.data)
		seg.data = nil
	}
	return errors.Join(err, seg.file.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// A view is the log as it was at one moment. What it shows never changes.
type view struct {
	segs []*segment
	tail []uint32 // offsets in the last segment
	head eventstore.Position
}

// find returns the index of the segment with position p, which the view has.
func (v *view) find(p eventstore.Position) int {
	return sort.Search(len(v.segs), func(i int) bool { return v.segs[i].first > p }) - 1
}
