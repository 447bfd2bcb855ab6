package logstore

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
)

// A recovery walks the log when it is opened.
type recovery struct {
	s      *Store
	next   eventstore.Position // of the next append
	group  []int64             // offsets of frames that wait for their commit mark
	synced int64               // where the last write begins, in the segment at hand
	look   eventstore.Position // when to look at the clock next
	report time.Time           // when the progress was last reported
}

// segment adds the events of seg to the index. What follows the last whole
// append is cut if it can be what a crash leaves, which is so in the last
// segment only.
func (r *recovery) segment(seg *segment, last bool) error {
	r.synced, r.group = headerSize, r.group[:0]
	var off int64
	var reason string
	err := guard(seg, &off, func() error {
		var err error
		off, reason, err = r.walk(seg)
		return err
	})
	if err != nil {
		return err
	}
	if !last {
		if reason != "" || len(r.group) > 0 {
			return &eventstore.CorruptError{File: seg.path, Offset: off, Reason: orUnfinished(reason) + ", though later segments exist"}
		}
		return nil
	}
	end, err := dataEnd(seg, seg.end)
	if err != nil {
		return err
	}
	if end > seg.end {
		if err := r.cut(seg, off, end, orUnfinished(reason)); err != nil {
			return err
		}
	}
	return r.settle(seg)
}

func orUnfinished(reason string) string {
	if reason == "" {
		return "an append without its end"
	}
	return reason
}

// walk reads frames until they end, and applies those of whole appends. It
// returns where it stopped, and why when that is not the end.
func (r *recovery) walk(seg *segment) (off int64, reason string, err error) {
	for off = headerSize; ; {
		if off+frameHeader > seg.size() || le.Uint32(seg.data[off:]) == 0 {
			return off, "", nil
		}
		f, reason := decodeFrame(seg.data[off:], seg.seed, off)
		want := r.next + eventstore.Position(len(r.group))
		switch {
		case reason != "":
			return off, reason, nil
		case f.position() != want:
			return off, fmt.Sprintf("position %d where %d was due", f.position(), want), nil
		case f.has(flagSynced):
			r.synced = off
		}
		r.group = append(r.group, off)
		off += f.size()
		if f.has(flagCommit) {
			if err := r.apply(seg); err != nil {
				return off, "", err
			}
			seg.end = off // the file may lack the last padding
			r.progress()
		}
	}
}

// apply adds the events of one append to the index.
func (r *recovery) apply(seg *segment) error {
	for _, off := range r.group {
		n := int64(le.Uint32(seg.data[off:]))
		f := frame(seg.data[off : off+n])
		_, ct, name, _, data := f.parts()
		st := r.s.streams[string(name)]
		if st == nil {
			st = r.s.stream(string(name))
		}
		if f.version() != st.next.Last+1 {
			return &eventstore.CorruptError{File: seg.path, Offset: off, Reason: fmt.Sprintf("version %d of stream %q where %d was due", f.version(), name, st.next.Last+1)}
		}
		st.next.Last++
		st.next.Tombstoned = st.next.Tombstoned || f.has(flagTombstone)
		st.added = append(st.added, f.position())
		seg.added = append(seg.added, uint32(off/frameAlign))
		if orig, isMeta := streamrules.Original(st.name); isMeta {
			r.s.stream(orig).next.Meta = streamrules.Metadata(string(ct), data)
		}
	}
	r.next += eventstore.Position(len(r.group))
	r.group = r.group[:0]
	return nil
}

func (r *recovery) progress() {
	if r.next < r.look {
		return
	}
	r.look = r.next + 4096
	if now := time.Now(); now.Sub(r.report) >= time.Second {
		r.report = now
		r.s.opts.Logger.Info("opening the log store", "dir", r.s.dir, "events", r.next-1)
	}
}

// cut makes zeros of what lies between the last whole append and end, so that
// no old frame can ever be taken for a new one. It refuses when a later write
// follows, because what lies before that was on the disk.
func (r *recovery) cut(seg *segment, bad, end int64, reason string) error {
	later, err := r.laterWrite(seg, bad, end)
	if err != nil {
		return err
	}
	if later > 0 {
		return &eventstore.CorruptError{File: seg.path, Offset: bad, Reason: fmt.Sprintf("%s, though a later write follows at offset %d", reason, later)}
	}
	r.s.opts.Logger.Warn("cutting the end of an append that a crash has torn", "file", seg.path, "offset", seg.end,
		"bytes", end-seg.end, "position", r.next, "reason", reason)
	size := seg.size()
	if err := seg.file.Truncate(seg.end); err != nil {
		return fmt.Errorf("cut %s: %w", seg.path, err)
	}
	if err := seg.file.Truncate(size); err != nil {
		return fmt.Errorf("cut %s: %w", seg.path, err)
	}
	if err := seg.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", seg.path, err)
	}
	return nil
}

// laterWrite returns the offset of a frame behind bad that was written after
// all before it was on the disk, or 0.
func (r *recovery) laterWrite(seg *segment, bad, end int64) (found int64, err error) {
	off := bad
	err = guard(seg, &off, func() error {
		for off = bad + frameAlign; off+frameHeader <= end; off += frameAlign {
			b := seg.data[off:]
			if b[48]&flagSynced == 0 || le.Uint64(b[8:]) < uint64(r.next) {
				continue
			}
			if _, reason := decodeFrame(b, seg.seed, off); reason == "" {
				found = off
				return nil
			}
		}
		return nil
	})
	return found, err
}

// settle makes the last segment ready for appends. The last write is written
// again: after a failed sync it may have been in the page cache only, where
// the system calls it clean.
func (r *recovery) settle(seg *segment) error {
	if size := max(r.s.opts.SegmentSize, roundUp(seg.end, pageSize)); seg.size() < size {
		if err := seg.resize(size); err != nil {
			return err
		}
	}
	if r.synced >= seg.end {
		return nil
	}
	last := make([]byte, seg.end-r.synced)
	if _, err := seg.file.ReadAt(last, r.synced); err != nil {
		return fmt.Errorf("read %s: %w", seg.path, err)
	}
	if _, err := r.s.opts.hooks.write(seg.file, last, r.synced); err != nil {
		return fmt.Errorf("write %s: %w", seg.path, err)
	}
	if err := r.s.opts.hooks.sync(seg.file); err != nil {
		return fmt.Errorf("sync %s: %w", seg.path, err)
	}
	return nil
}

// dataEnd returns the end of the last bytes other than zero at or behind off,
// or off. It looks only where the file has data.
func dataEnd(seg *segment, off int64) (int64, error) {
	end := off
	fd := int(seg.file.Fd())
	for at := off; at < seg.size(); {
		from, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return end, nil // only a hole is left
		}
		to := seg.size()
		if err != nil {
			from = at // the file system cannot tell
		} else if to, err = unix.Seek(fd, from, unix.SEEK_HOLE); err != nil {
			to = seg.size()
		}
		last, err := lastNonZero(seg, max(from, at), to)
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
func lastNonZero(seg *segment, from, to int64) (int64, error) {
	buf := make([]byte, min(1<<20, to-from))
	for to > from {
		n := min(int64(len(buf)), to-from)
		if _, err := seg.file.ReadAt(buf[:n], to-n); err != nil && !errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("read %s: %w", seg.path, err)
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
