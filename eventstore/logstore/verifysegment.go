package logstore

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"os"

	"github.com/foldstream/foldstream/eventstore"
)

// A segmentCheck checks one segment.
type segmentCheck struct {
	v         *verifier
	path      string
	bytes     int64               // of data in it
	last      bool                // of the store
	following eventstore.Position // first of the next segment

	c      *content
	t      *tail
	due    eventstore.Position // of the next frame
	broken bool                // t is not all of it
	end    int64               // behind the last commit mark
	open   int                 // frames behind it
	index  []byte              // the index file, if there is one
	closed int64               // end of the data when that was written
}

func (w *segmentCheck) run(ctx context.Context) (err error) {
	v := w.v
	v.report.Segments++
	if err := w.load(); w.c == nil {
		v.next = 0
		return err
	}
	c := w.c
	defer func() { err = errors.Join(err, c.release()) }()
	if v.next > 0 && c.first != v.next {
		v.damage(w.path, 32, false, "it begins at position %d, and the segment before it ends at %d", c.first, v.next-1)
	}
	if c.header.generation > 0 {
		v.gaps = true
	}
	w.t, w.due, w.end = newTail(), c.first, headerSize
	if err := w.readIndex(); err != nil {
		return err
	}
	var off int64
	err = guard(c, &off, func() error { return w.walk(ctx, &off) })
	if corrupt, ok := errors.AsType[*eventstore.CorruptError](err); ok { // a page that cannot be read
		v.damage(w.path, corrupt.Offset, false, "%s", corrupt.Reason)
		w.broken, v.gaps, err = true, true, nil
	}
	if err == nil {
		err = w.ends()
	}
	if err == nil {
		w.compare()
	}
	return err
}

// load opens the segment. It leaves c nil when there is no use in going on.
func (w *segmentCheck) load() error {
	v := w.v
	f, err := v.opts.fs.Open(w.path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	h, size, err := readHeader(w.path, f)
	if corrupt, ok := errors.AsType[*eventstore.CorruptError](err); ok {
		v.damage(w.path, corrupt.Offset, false, "%s; none of its events can be read", corrupt.Reason)
		return f.Close()
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	switch {
	case v.storeID.IsZero():
		v.storeID = h.storeID
	case h.storeID != v.storeID:
		v.damage(w.path, 16, false, "it belongs to another store than the first segment")
	}
	if w.path != segmentPath(v.dir, h.first) {
		v.damage(w.path, 32, false, "its name is not that of a segment that begins at position %d", h.first)
	}
	w.c, err = newContent(w.path, f, h, size)
	return err
}

// walk reads frames until they end.
func (w *segmentCheck) walk(ctx context.Context, off *int64) error {
	var f frame
	for *off = headerSize; ; {
		ended, reason := w.frame(&f, *off)
		switch {
		case reason != "":
			found, err := w.skip(*off, reason)
			if err != nil || found == 0 {
				return err
			}
			*off = found
			continue
		case ended:
			return nil
		}
		w.take(&f, *off)
		*off += int64(f.size)
		if w.t.events%progressEvery == 0 {
			if err := w.tell(ctx, *off); err != nil {
				return err
			}
		}
	}
}

// frame makes f the frame at off, or reports that the data ends there, or says
// what is wrong. Another process may be writing: no byte is looked at twice.
func (w *segmentCheck) frame(f *frame, off int64) (ended bool, reason string) {
	c := w.c
	if off >= c.size() || c.data[off] == 0 {
		if end, err := dataEnd(c, off); err == nil && end > off {
			return false, "zeros where an event was due"
		}
		return true, ""
	}
	if reason := f.decode(c.data[off:], &c.base, off); reason != "" {
		return false, reason
	}
	switch rewritten := c.header.generation > 0; {
	case f.position < w.due, !rewritten && f.position > w.due:
		return false, fmt.Sprintf("position %d where %d was due", f.position, w.due)
	case rewritten && f.position > c.header.last:
		return false, fmt.Sprintf("position %d in a segment that ends at %d", f.position, c.header.last)
	}
	return false, ""
}

// take counts a frame and checks what it says.
func (w *segmentCheck) take(f *frame, off int64) {
	v := w.v
	w.due = f.position + 1
	w.open++
	if f.has(flagCommit) {
		v.report.Events += uint64(w.open)
		v.report.Bytes += off + int64(f.size) - w.end
		v.report.Head = f.position
		w.end, w.open = off+int64(f.size), 0
	}
	h := maphash.Bytes(v.seed, f.stream)
	last := v.versions[h]
	switch {
	case last&tombstoned != 0:
		v.damage(w.path, off, false, "version %d of stream %q, which has ended at version %d", f.version, f.stream, last&^tombstoned)
	case f.version != last+1 && (f.version <= last || !v.gaps):
		v.damage(w.path, off, false, "version %d of stream %q where %d was due", f.version, f.stream, last+1)
	}
	if v.versions[h] = f.version; f.has(flagTombstone) {
		v.versions[h] |= tombstoned
	}
	if _, err := eventstore.ParseMetadata(string(f.meta)); err != nil {
		v.damage(w.path, off, false, "the event's metadata is not a list of pairs")
	}
	if !w.broken {
		w.t.add(w.t.entry(string(f.stream)), &frameInfo{off: off, rel: uint32(f.position - w.c.first), version: f.version, typ: string(f.typ), meta: f.metadata()})
	}
}

// tell reports the progress, and whether to go on.
func (w *segmentCheck) tell(ctx context.Context, off int64) error {
	if w.v.opts.Progress != nil {
		w.v.opts.Progress(Progress{Events: w.v.report.Events, Done: min(w.v.done+off, w.v.total), Total: w.v.total})
	}
	return ctx.Err()
}

// ends checks that the segment has all that was in it.
func (w *segmentCheck) ends() error {
	v, c := w.v, w.c
	ended := w.due // where the next segment begins
	if c.header.generation > 0 {
		ended = c.header.last + 1
		v.report.Removed += uint64(ended-c.first) - uint64(w.t.events)
	}
	if w.last {
		if w.end < w.closed && !w.broken {
			v.damage(w.path, w.end, false, "the data ends here, and the store was closed with data up to offset %d", w.closed)
			w.broken = true
		}
		end, err := dataEnd(c, w.end)
		v.report.Unfinished = end - w.end
		return err
	}
	if w.open > 0 && !w.broken {
		v.damage(w.path, w.end, false, "an append without its end, though later segments exist")
		w.broken = true
	}
	if ended != w.following && !w.broken {
		v.damage(w.path, w.end, false, "it ends at position %d, and the next segment begins at %d", ended-1, w.following)
	}
	v.next = w.following
	return nil
}
