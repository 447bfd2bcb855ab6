package logstore

import (
	"bytes"
	"errors"
	"io/fs"

	"github.com/foldstream/foldstream/eventstore/logstore/internal/disk"
)

// readIndex reads the index file, if there is one. Of the last segment it is
// there after a clean close, and then all that it tells of was on the disk.
func (w *segmentCheck) readIndex() error {
	err := w.v.reading(indexPath(w.path), func(f disk.File) error {
		size, err := f.Size()
		if err != nil {
			return err
		}
		w.index = make([]byte, size)
		_, err = f.ReadAt(w.index, 0)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it is made when the store is opened
	}
	if err != nil {
		return err
	}
	if x, err := decodeIndex(w.index, w.c.stamp()); err == nil {
		w.closed = x.end
	}
	return nil
}

// compare compares the index file, if there is one, with what the segment says.
func (w *segmentCheck) compare() {
	if w.index == nil {
		return
	}
	x, err := decodeIndex(w.index, w.c.stamp())
	if errors.Is(err, errStaleIndex) {
		w.v.report.Stale++
		return
	}
	path := indexPath(w.path)
	w.v.report.Indexes++
	switch {
	case err != nil:
		w.v.damage(path, 0, true, "%v; it is made again when the store is opened", err)
	case !w.broken:
		if want := encodeIndex(w.c.stamp(), w.summary(x), w.t); !bytes.Equal(w.index, want) {
			w.v.damage(path, firstDifference(w.index, want), true, "it is not what its segment says; remove it while the store is closed")
		}
	}
}

// summary returns what the index file x has to say of the segment as a whole.
func (w *segmentCheck) summary(x *sealedIndex) indexSummary {
	sum := indexSummary{last: w.due - 1, end: w.end, events: w.t.events, born: w.t.born, metas: w.t.metas}
	if w.c.header.generation > 0 {
		sum.last = w.c.header.last
		sum.born = max(sum.born, x.born) // the events that would tell may be gone
	}
	return sum
}

func firstDifference(a, b []byte) int64 {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return int64(i)
		}
	}
	return int64(min(len(a), len(b)))
}
