package logstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
)

// A recovery goes through the segments when a store is opened.
type recovery struct {
	s      *Store
	next   eventstore.Position // of the next append
	made   int                 // indexes that were missing
	report time.Time           // when the progress was last reported
	look   int                 // how many events until it is time to look at the clock
}

// cleanSegment is the part of a segment's size from which on a last segment
// that was closed in order is ended: then opening the store need not read it.
const cleanSegment = 8

// open sees to it that a segment, which is the next one, has an index.
func (r *recovery) open(seg *segment, last bool) error {
	c := seg.content.Load()
	if c.first != r.next {
		return c.damaged(0, fmt.Sprintf("it begins at position %d, and the segment before it ends at %d", c.first, r.next-1))
	}
	err := r.s.mapIndex(c)
	x := c.index.Load()
	if err != nil && !last {
		r.s.opts.Logger.Info("an index file is made again", "segment", c.path, "reason", err)
	}
	switch {
	case x != nil && x.end > c.size():
		err = c.damaged(c.size(), fmt.Sprintf("the file ends here, and there was data up to offset %d", x.end))
	case last:
		err = r.last(seg, c, x)
	case x == nil:
		err = r.index(c)
	default:
		c.end = x.end
	}
	if err != nil {
		return err
	}
	if sum := seg.content.Load().summary(); sum.events > 0 || c.header.generation > 0 {
		r.next = sum.last + 1
	}
	return nil
}

// index makes the index of a sealed segment from the segment.
func (r *recovery) index(c *content) error {
	w, err := r.walk(c)
	if err == nil && w.reason != "" {
		err = c.damaged(w.off, w.reason+", though later segments exist")
	}
	if err != nil {
		return err
	}
	r.made++
	c.tail.Store(w.tail)
	defer c.tail.Store(nil)
	if !r.s.opts.ReadOnly {
		if err = r.s.index(c, w.tail); err == nil {
			return nil
		}
		r.s.opts.Logger.Warn("an index file could not be written; the index stays in memory", "segment", c.path, "error", err)
	}
	x, err := decodeIndex(encodeIndex(c.stamp(), c.summary(), w.tail), c.stamp()) // takes less memory than the tail
	if err != nil {
		return fmt.Errorf("index of %s: %w", c.path, err)
	}
	c.index.Store(x)
	return nil
}

// last makes the last segment ready for appends. x is the index that the last
// Close has left, if it did: then nothing may be missing.
func (r *recovery) last(seg *segment, c *content, x *sealedIndex) error {
	s := r.s
	if x != nil && !s.opts.ReadOnly && x.end >= s.opts.SegmentSize/cleanSegment && x.events > 0 {
		c.end = x.end
		return nil // stays as it is
	}
	w, err := r.walk(c)
	if err != nil {
		return err
	}
	if x != nil && w.end != x.end {
		return c.damaged(w.off, orUnfinished(w.reason)+fmt.Sprintf(", though the store was closed with data up to offset %d", x.end))
	}
	if !s.opts.ReadOnly {
		if err := r.settle(c, w, x != nil); err != nil {
			return err
		}
	}
	if x != nil {
		c.index.Store(nil)
		_ = firstError(unmap(c.indexFile, c.indexData), c.indexFile.Close()) // it was read only
		c.indexFile, c.indexData = nil, nil
	}
	c.tail.Store(w.tail)
	if size := max(s.opts.SegmentSize, roundUp(w.end)); !s.opts.ReadOnly && c.size() < size {
		if c, err = s.remap(seg, size); err == nil {
			err = seg.replace(c)
		}
	}
	return err
}

// settle cuts what a crash has left behind the data and takes the mark of a
// clean close away, before anything is appended. The last write is written
// again: after a failed sync it may have been in the page cache only, where
// the system calls it clean.
func (r *recovery) settle(c *content, w *walked, clean bool) error {
	s := r.s
	end, err := dataEnd(c, w.end)
	if err != nil {
		return err
	}
	if end > w.end {
		if clean {
			return c.damaged(w.end, fmt.Sprintf("there is something behind the data, though the store was closed with data up to offset %d", w.end))
		}
		if err := r.cut(c, w, end); err != nil {
			return err
		}
	}
	if err := s.opts.fs.Remove(indexPath(c.path)); err == nil {
		if err := s.opts.fs.SyncDir(s.dir); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if clean || w.synced >= w.end {
		return nil
	}
	last := make([]byte, w.end-w.synced)
	if _, err := c.file.ReadAt(last, w.synced); err != nil {
		return fmt.Errorf("read %s: %w", c.path, err)
	}
	if _, err := c.file.WriteAt(last, w.synced); err != nil {
		return fmt.Errorf("write %s: %w", c.path, err)
	}
	if err := c.file.Datasync(); err != nil {
		return fmt.Errorf("sync %s: %w", c.path, err)
	}
	return nil
}

// cut makes zeros of what lies between the last whole append and end, so that
// no old frame can ever be taken for a new one. It refuses when a later write
// follows, because what lies before that was on the disk.
func (r *recovery) cut(c *content, w *walked, end int64) error {
	reason := orUnfinished(w.reason)
	later, err := laterWrite(c, w, end)
	if err != nil {
		return err
	}
	if later > 0 {
		return c.damaged(w.off, fmt.Sprintf("%s, though a later write follows at offset %d", reason, later))
	}
	r.s.opts.Logger.Warn("cutting the end of an append that a crash has torn", "file", c.path, "offset", w.end,
		"bytes", end-w.end, "position", w.next, "reason", reason)
	size, err := c.file.Size()
	if err == nil {
		err = c.file.Truncate(w.end)
	}
	if err == nil {
		err = c.file.Truncate(size)
	}
	if err == nil {
		err = c.file.Datasync()
	}
	if err != nil {
		return fmt.Errorf("cut %s: %w", c.path, err)
	}
	return nil
}

func orUnfinished(reason string) string {
	if reason == "" {
		return "an append without its end"
	}
	return reason
}

// laterWrite returns the offset of a frame behind what is damaged that was
// written after all before it was on the disk, or 0.
func laterWrite(c *content, w *walked, end int64) (found int64, err error) {
	off := w.off
	err = guard(c, &off, func() error {
		var f frame
		for off = w.off + 1; off+minBody < end; off++ {
			b := c.data[off:end]
			n, k := frameLength(b)
			if n < minBody || n > len(b)-k-4 || b[k+4]&flagSynced == 0 || c.first+peekPosition(b) < w.next {
				continue
			}
			if f.decode(b, &c.base, off) == "" && f.has(flagSynced) {
				found = off
				return nil
			}
		}
		return nil
	})
	return found, err
}

// dataEnd returns the end of the last bytes other than zero at or behind off,
// or off. It looks only where the file has data.
func dataEnd(c *content, off int64) (int64, error) {
	end := off
	for at := off; at < c.size(); {
		from, to, err := c.file.Data(at)
		if err != nil {
			return 0, fmt.Errorf("look for data in %s: %w", c.path, err)
		}
		if from >= to {
			break
		}
		last, err := lastNonZero(c, max(from, at), to)
		if err != nil {
			return 0, err
		}
		end = max(end, last)
		at = to
	}
	return end, nil
}

// lastNonZero returns the offset behind the last byte in the file from one
// offset to another that is not zero, or 0.
func lastNonZero(c *content, from, to int64) (int64, error) {
	buf := make([]byte, min(1<<20, to-from))
	for to > from {
		n := min(int64(len(buf)), to-from)
		if _, err := c.file.ReadAt(buf[:n], to-n); err != nil && !errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("read %s: %w", c.path, err)
		}
		for i := n - 1; i >= 0; i-- {
			if buf[i] != 0 {
				return to - n + i + 1, nil
			}
		}
		to -= n
	}
	return 0, nil
}

// progress says now and then how far the opening is.
func (r *recovery) progress(next eventstore.Position) {
	if r.look--; r.look > 0 {
		return
	}
	r.look = 4096
	if now := time.Now(); now.Sub(r.report) >= time.Second {
		r.report = now
		r.s.opts.Logger.Info("opening the log store", "dir", r.s.dir, "position", next-1)
	}
}

// walked is what a walk through a segment has found.
type walked struct {
	tail   *tail
	end    int64 // behind the last whole append
	next   eventstore.Position
	synced int64  // where the last write begins
	off    int64  // where the walk stopped
	reason string // why, when that is not the end of the data
}

// walk reads the frames of a segment until they end, and makes a tail of those
// of whole appends.
func (r *recovery) walk(c *content) (*walked, error) {
	w := &walked{tail: newTail(), end: headerSize, next: c.first, synced: headerSize, off: headerSize}
	b := tailBuilder{t: w.tail, c: c, whole: c.first == 1 && c.header.generation == 0}
	err := guard(c, &w.off, func() error {
		var group []frame
		var offs []int64
		due := c.first
		for w.off < c.size() && c.data[w.off] != 0 {
			var f frame
			if w.reason = f.decode(c.data[w.off:], &c.base, w.off); w.reason != "" {
				return nil
			}
			if f.position != due && (c.header.generation == 0 || f.position < due) {
				w.reason = fmt.Sprintf("position %d where %d was due", f.position, due)
				return nil
			}
			if f.has(flagSynced) {
				w.synced = w.off
			}
			group, offs = append(group, f), append(offs, w.off)
			w.off += int64(f.size)
			due = f.position + 1
			if !f.has(flagCommit) {
				continue
			}
			for i := range group {
				if err := b.add(&group[i], offs[i]); err != nil {
					return err
				}
			}
			group, offs = group[:0], offs[:0]
			w.end, w.next = w.off, due
			r.progress(due)
		}
		if len(group) > 0 {
			w.reason = orUnfinished("")
		}
		return nil
	})
	for _, st := range w.tail.streams {
		st.state, st.offs = st.next, st.added
	}
	w.tail.last = w.next - 1
	if c.header.generation > 0 {
		w.tail.last = c.header.last
	}
	c.end = w.end
	return w, err
}

// A tailBuilder makes a tail from the frames of a segment.
type tailBuilder struct {
	t     *tail
	c     *content
	whole bool // nothing was before
}

func (b *tailBuilder) stream(name []byte) *stream {
	st := b.t.streams[string(name)]
	if st == nil {
		st = &stream{name: string(name), complete: b.whole}
		b.t.streams[st.name] = st
	}
	return st
}

func (b *tailBuilder) add(f *frame, off int64) error {
	st := b.stream(f.stream)
	if want := st.next.Last + 1; f.version != want && (len(st.added) > 0 || b.whole) {
		return b.c.damaged(off, fmt.Sprintf("version %d of stream %q where %d was due", f.version, f.stream, want))
	}
	st.next.Last = f.version
	st.next.Tombstoned = st.next.Tombstoned || f.has(flagTombstone)
	b.t.add(st, &frameInfo{off, uint32(f.position - b.c.first), f.version, inPlace(f.typ), f.metadata()})
	if orig, isMeta := streamrules.Original(st.name); isMeta {
		o := b.stream([]byte(orig))
		o.next.Meta, o.hasMeta = streamrules.Metadata(string(f.contentType), f.data), true
	}
	return nil
}
