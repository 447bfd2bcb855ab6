package logstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"

	"github.com/foldstream/foldstream/eventstore/logstore/internal/disk"
)

// A rewrite puts a segment without some of its events in the place of it.
type rewrite struct {
	s    *Store
	seg  *segment
	old  *content
	dead *dead

	head header
	base base
	file disk.File // the new segment
	off  int64     // of the end of buf in it
	buf  []byte    // not yet written
	tail *tail
}

func (r *rewrite) run(ctx context.Context) (err error) {
	path := r.seg.path + tmpSuffix
	defer func() {
		if err != nil {
			err = errors.Join(err, r.abandon())
		}
	}()
	r.head = r.old.header
	r.head.generation++
	r.head.last = r.old.summary().last
	r.base, r.tail = r.head.base(), newTail()
	if r.file, err = r.s.opts.fs.Open(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644); err != nil {
		return err
	}
	r.buf = r.head.encode()
	r.off = headerSize
	n := 0
	err = r.s.eachIn(ctx, r.old, func(f *frame, off int64) error {
		gone := r.dead.frames[n/64]&(1<<(n%64)) != 0
		n++
		if gone {
			return nil
		}
		return r.keep(f, off)
	})
	if err == nil {
		err = r.flush()
	}
	if err == nil {
		err = r.file.Datasync()
	}
	if err != nil {
		return err
	}
	return r.swap()
}

// keep adds a frame as it is, but for what depends on its place. Each is an
// append of its own now: those beside it in its group may be gone.
func (r *rewrite) keep(f *frame, off int64) error {
	b := r.old.data[off : off+int64(f.size)]
	n, k := frameLength(b)
	at := len(r.buf)
	r.buf = binary.AppendUvarint(r.buf, uint64(n))
	sum := len(r.buf)
	r.buf = append(r.buf, b[k:]...)
	r.buf[sum+4] |= flagCommit
	le.PutUint32(r.buf[sum:], crc32.Update(r.base.frameSeed(r.off, n), castagnoli, r.buf[sum+4:]))
	r.tail.add(r.tail.entry(string(f.stream)), &frameInfo{r.off, uint32(f.position - r.base.first), f.version, string(f.typ), f.metadata()})
	r.off += int64(len(r.buf) - at)
	if len(r.buf) >= batchSize {
		return r.flush()
	}
	return nil
}

func (r *rewrite) flush() error {
	if _, err := r.file.WriteAt(r.buf, r.off-int64(len(r.buf))); err != nil {
		return fmt.Errorf("write %s: %w", r.seg.path+tmpSuffix, err)
	}
	r.buf = r.buf[:0]
	return nil
}

// swap lets the new files take the place of the old ones, on the disk and for
// readers. A crash in between leaves an index file of another generation, which
// is made again when the store is opened.
func (r *rewrite) swap() error {
	s, before := r.s, r.old.summary()
	c, err := newContent(r.seg.path, r.file, r.head, r.off)
	r.file = nil
	if err != nil {
		return err
	}
	sum := indexSummary{last: before.last, end: r.off, events: r.tail.events, born: before.born, metas: r.tail.metas}
	c.end = r.off
	index := encodeIndex(c.stamp(), sum, r.tail)
	if err := s.opts.fs.Rename(r.seg.path+tmpSuffix, r.seg.path); err != nil {
		return errors.Join(err, c.release())
	}
	// From here on the file is the new one, whatever happens.
	err = s.opts.fs.SyncDir(s.dir)
	if err == nil {
		err = s.writeIndex(c, index)
	}
	if err == nil {
		err = s.mapIndex(c)
	}
	if err != nil {
		x, badIndex := decodeIndex(index, c.stamp()) // the next Open makes the file
		if badIndex != nil {
			return errors.Join(err, badIndex)
		}
		c.index.Store(x)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events -= uint64(before.events - sum.events)
	s.used -= before.end - sum.end
	return errors.Join(err, r.seg.replace(c))
}

// abandon takes away what was written.
func (r *rewrite) abandon() error {
	var errs []error
	if r.file != nil {
		errs = append(errs, r.file.Close())
	}
	if err := r.s.opts.fs.Remove(r.seg.path + tmpSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
