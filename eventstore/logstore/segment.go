package logstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"sync/atomic"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/disk"
)

// A segment is one file of consecutive events. What it holds is replaced as a
// whole when the file is rewritten.
type segment struct {
	first   eventstore.Position
	path    string
	content atomic.Pointer[content] // nil once the store is closed
}

// A content is a segment's file and its index, both mapped. Who reads it pins
// it, so that it stays until nobody does.
type content struct {
	base
	header header
	path   string
	file   disk.File
	data   []byte
	refs   atomic.Int64 // one of them is the segment's

	// One of these is set. When the index is written it is set and then tail
	// goes.
	index atomic.Pointer[sealedIndex]
	tail  atomic.Pointer[tail]

	indexFile disk.File // that index lies in, and its mapping
	indexData []byte

	end    int64 // where the next frame goes or the data ends; the leader's until the segment is sealed
	zeroed int64 // up to here the file has blocks, if that is beyond end; the leader's
}

const (
	segmentSuffix = ".log"
	indexSuffix   = ".idx"
	tmpSuffix     = ".tmp"
)

func segmentPath(dir string, first eventstore.Position) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", first, segmentSuffix))
}

// indexPath returns the name of the index file beside a segment.
func indexPath(segment string) string {
	return segment[:len(segment)-len(segmentSuffix)] + indexSuffix
}

// pin returns what the segment holds, or nil once the store is closed. Whoever
// gets it must release it.
func (seg *segment) pin() *content {
	for {
		c := seg.content.Load()
		if c == nil {
			return nil
		}
		for n := c.refs.Load(); n > 0; n = c.refs.Load() {
			if c.refs.CompareAndSwap(n, n+1) {
				return c
			}
		}
	}
}

// replace makes c, which may be nil, what the segment holds. What it held
// before is closed when nobody reads it any more.
func (seg *segment) replace(c *content) error {
	if old := seg.content.Swap(c); old != nil {
		return old.release()
	}
	return nil
}

// release gives c back.
func (c *content) release() error {
	if c.refs.Add(-1) > 0 {
		return nil
	}
	errs := []error{unmap(c.file, c.data), c.file.Close()}
	if c.indexFile != nil {
		errs = append(errs, unmap(c.indexFile, c.indexData), c.indexFile.Close())
	}
	return errors.Join(errs...)
}

func unmap(f disk.File, data []byte) error {
	if data == nil {
		return nil
	}
	return f.Unmap(data)
}

// newContent maps size bytes of a file whose header is h. It takes the file
// over, also when it fails.
func newContent(path string, f disk.File, h header, size int64) (*content, error) {
	c := &content{base: h.base(), header: h, path: path, file: f, end: headerSize}
	c.refs.Store(1)
	data, err := f.Map(size)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	c.data = data
	return c, nil
}

func (c *content) size() int64 { return int64(len(c.data)) }

func (c *content) stamp() indexStamp { return indexStamp{c.header.storeID, c.first, c.seed} }

// indexes returns the index of a segment, of which there is one or the other.
func (c *content) indexes() (*sealedIndex, *tail) {
	if t := c.tail.Load(); t != nil {
		return nil, t
	}
	return c.index.Load(), nil
}

// summary returns what is known of a sealed segment as a whole.
func (c *content) summary() indexSummary {
	x, t := c.indexes()
	if x != nil {
		return x.indexSummary
	}
	return indexSummary{last: t.last, end: c.end, events: t.events, born: t.born, metas: t.metas}
}

// createSegment makes an empty segment that survives a crash once it returns.
// A crash before that leaves at most a .tmp file.
func (s *Store) createSegment(first eventstore.Position, size int64) (seg *segment, err error) {
	path, created := segmentPath(s.dir, first), s.opts.Now().UnixNano()
	h := header{storeID: s.id, first: first, created: created}
	f, err := s.opts.fs.Open(path+tmpSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	err = f.Truncate(size)
	if err == nil {
		_, err = f.WriteAt(h.encode(), 0)
	}
	if err == nil {
		err = f.Datasync()
	}
	if err == nil {
		err = s.opts.fs.Rename(path+tmpSuffix, path)
	}
	if err == nil {
		err = s.opts.fs.SyncDir(s.dir)
	}
	if err != nil {
		return nil, fmt.Errorf("create segment %s: %w", path, errors.Join(err, f.Close()))
	}
	c, err := newContent(path, f, h, size)
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	c.tail.Store(newTail())
	seg = &segment{first: first, path: path}
	seg.content.Store(c)
	return seg, nil
}

// remap returns what seg holds, with a size of its own.
func (s *Store) remap(seg *segment, size int64) (*content, error) {
	old := seg.content.Load()
	if err := old.file.Truncate(size); err != nil {
		return nil, fmt.Errorf("enlarge %s: %w", seg.path, err)
	}
	f, err := s.opts.fs.Open(seg.path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("enlarge %s: %w", seg.path, err)
	}
	c, err := newContent(seg.path, f, old.header, size)
	if err != nil {
		return nil, fmt.Errorf("enlarge %s: %w", seg.path, err)
	}
	c.end = old.end
	c.tail.Store(old.tail.Load())
	return c, nil
}

// A view is the log as it was at one moment. What it shows changes only when a
// segment is rewritten.
type view struct {
	segs  []*segment
	head  eventstore.Position
	grows *content // what the last segment held
	// Of grows, which may have grown since:
	blocks []block
	end    int64
}

// find returns the index of the segment with position p, which the view has.
func (v *view) find(p eventstore.Position) int {
	return max(sort.Search(len(v.segs), func(i int) bool { return v.segs[i].first > p })-1, 0)
}

// endOf returns where the data in c ends.
func (v *view) endOf(c *content) int64 {
	if c == v.grows {
		return v.end
	}
	return c.summary().end
}

// start returns where in c to begin to look for a position.
func (v *view) start(c *content, p eventstore.Position) block {
	l := v.blocksOf(c)
	if l.len() == 0 {
		return block{off: headerSize}
	}
	return l.at(l.find(uint32(max(p, c.first) - c.first)))
}

// A blockList is where the blocks of a segment begin.
type blockList struct {
	x    *sealedIndex // or
	tail []block
}

// blocksOf returns the blocks of c that the view has.
func (v *view) blocksOf(c *content) blockList {
	if c == v.grows {
		return blockList{tail: v.blocks}
	}
	x, t := c.indexes()
	if x == nil {
		return blockList{tail: t.blocks}
	}
	return blockList{x: x}
}

func (l *blockList) len() int {
	if l.x != nil {
		return len(l.x.masks) / 8
	}
	return len(l.tail)
}

func (l *blockList) at(i int) block {
	if l.x != nil {
		return l.x.blockAt(i)
	}
	return l.tail[i]
}

// find returns the last block that begins at or before a position, which is
// given since the segment's first, or 0.
func (l *blockList) find(rel uint32) int {
	return lastBlock(l.len(), rel, func(i int) uint32 { return l.at(i).rel })
}
