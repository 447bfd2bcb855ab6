package logstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
)

// Open opens the store in dir, and makes dir when it does not exist. A nil
// opts means the defaults.
//
// It reads every segment to build the index; the logger hears of the progress
// every second. The end of an append that a crash has torn is cut, which the
// logger hears too. Other damage gives an [*eventstore.CorruptError] and
// changes nothing. A directory that is open already gives
// [eventstore.ErrUnavailable], one that holds something else
// [eventstore.ErrInvalid].
func Open(dir string, opts *Options) (*Store, error) {
	s, err := open(dir, opts.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("open log store %s: %w", dir, err)
	}
	return s, nil
}

func open(dir string, opts Options) (_ *Store, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if _, _, err := listSegments(dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, opts: opts, lock: lock, closed: make(chan struct{}), streams: make(map[string]*stream)}
	s.queue.idle.L = &s.queue.mu
	s.batch.lastSync = time.Now()
	defer func() {
		if err != nil {
			_ = s.release()
		}
	}()
	segments, leftovers, err := listSegments(dir) // again, now that nobody else changes it
	if err != nil {
		return nil, err
	}
	if err := s.load(segments); err != nil {
		return nil, err
	}
	for _, path := range leftovers {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // load has renamed the first one
			return nil, err
		}
	}
	return s, nil
}

// load opens the segments and builds the index, or makes the first segment.
func (s *Store) load(paths []string) error {
	if len(paths) == 0 {
		s.id = eventstore.NewID()
		seg, err := s.createSegment(1, s.opts.SegmentSize)
		if err != nil {
			return err
		}
		s.segs, s.used = []*segment{seg}, headerSize
		return syncDir(filepath.Dir(s.dir))
	}
	for i, path := range paths {
		seg, err := s.openSegment(path, i)
		if err != nil {
			return err
		}
		s.segs = append(s.segs, seg)
	}
	start := time.Now()
	r := &recovery{s: s, next: 1, report: start}
	for i, seg := range s.segs {
		if seg.first != r.next {
			return &eventstore.CorruptError{File: seg.path, Reason: fmt.Sprintf("it begins at position %d, and the segment before it ends at %d", seg.first, r.next-1)}
		}
		if err := r.segment(seg, i == len(s.segs)-1); err != nil {
			return err
		}
	}
	s.publishAll()
	if err := s.remember(); err != nil {
		return err
	}
	s.opts.Logger.Info("log store opened", "dir", s.dir, "events", s.head, "streams", s.known, "segments", len(s.segs), "took", time.Since(start))
	return nil
}

// openSegment opens and maps an existing segment. The first one tells the
// store's id.
func (s *Store) openSegment(path string, i int) (*segment, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	seg := &segment{path: path, file: f, end: headerSize}
	h, err := seg.readHeader()
	if err == nil && i == 0 {
		s.id = h.storeID
	}
	switch {
	case err != nil:
	case h.storeID != s.id:
		err = &eventstore.CorruptError{File: path, Reason: "it belongs to another store than the first segment"}
	case path != segmentPath(s.dir, h.first):
		err = &eventstore.CorruptError{File: path, Reason: fmt.Sprintf("its name is not that of a segment that begins at position %d", h.first)}
	}
	if err != nil {
		_ = seg.close()
		return nil, err
	}
	seg.first, seg.seed = h.first, h.seed()
	return seg, nil
}

func (seg *segment) readHeader() (header, error) {
	info, err := seg.file.Stat()
	if err != nil {
		return header{}, err
	}
	b := make([]byte, min(headerSize, info.Size()))
	if _, err := seg.file.ReadAt(b, 0); err != nil {
		return header{}, err
	}
	h, err := decodeHeader(seg.path, b)
	if err != nil {
		return header{}, err
	}
	return h, seg.mmap(info.Size())
}

// publishAll lets readers see all that recovery found.
func (s *Store) publishAll() {
	for _, seg := range s.segs {
		seg.offs, seg.counted = seg.added, seg.end
		s.used += seg.end
		s.head += eventstore.Position(len(seg.added))
	}
	for _, st := range s.streams {
		st.state, st.positions = st.next, st.added
		if st.state.Last > 0 {
			s.known++
		}
	}
	s.batch.head = s.head
}

// remember tells the ids of the last events to the memory of recent ones.
func (s *Store) remember() error {
	v := s.view()
	if v.head == 0 {
		return nil
	}
	first := eventstore.Position(1)
	if s.head > streamrules.RecentLimit {
		first = s.head - streamrules.RecentLimit + 1
	}
	d := newDecoder(s)
	defer d.release()
	c := cursor{view: v, next: first, last: s.head, step: 1}
	for r := (eventstore.Recorded{}); !d.done(&c); {
		found, err := d.next(context.Background(), &c, &r)
		if err != nil {
			return err
		}
		if found {
			s.recent.Add(r.ID, r.Position)
		}
	}
	return nil
}
