package logstore

import (
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
// It reads the last segment only, and after [Store.Close] not even all of
// that, unless an index file is missing, stale or damaged: then it makes that
// again from its segment, and the logger hears of the progress every second.
// The end of an append that a crash has torn is cut, which the logger hears
// too. Other damage gives an [*eventstore.CorruptError] and changes nothing;
// damage in a segment that need not be read is found when it is read, see
// [Verify]. A directory that is open already gives [eventstore.ErrUnavailable],
// one that holds something else [eventstore.ErrInvalid].
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
	if !opts.ReadOnly {
		if err := opts.fs.MkdirAll(dir); err != nil {
			return nil, err
		}
	}
	l, err := list(opts.fs, dir)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, opts: opts, closed: make(chan struct{})}
	s.queue.idle.L = &s.queue.mu
	s.batch.lastSync = time.Now()
	s.states.limit = opts.StreamCache
	defer func() {
		if err != nil {
			err = errors.Join(err, s.release())
		}
	}()
	if opts.ReadOnly {
		s.queue.refuse = &eventstore.UnavailableError{Op: "write to " + dir, Err: errors.New("it was opened with ReadOnly")}
		return s, s.load(l)
	}
	if s.lock, err = lockDir(opts.fs, dir); err != nil {
		return nil, err
	}
	if l, err = list(opts.fs, dir); err != nil { // again, now that nobody else changes it
		return nil, err
	}
	if err := s.tidy(l); err != nil {
		return nil, err
	}
	return s, s.load(l)
}

// tidy removes what a crash has left.
func (s *Store) tidy(l listing) error {
	for i := range l.segments {
		delete(l.indexes, indexPath(l.segments[i]))
	}
	for path := range l.indexes { // of no segment
		l.leftovers = append(l.leftovers, path)
	}
	for _, path := range l.leftovers {
		if err := s.opts.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// load opens the segments and their indexes, or makes the first segment.
func (s *Store) load(l listing) error {
	start := time.Now()
	if len(l.segments) == 0 {
		if s.opts.ReadOnly {
			return &eventstore.InvalidError{What: "directory", Value: s.dir, Remedy: "it holds no log, and ReadOnly makes none"}
		}
		s.id = eventstore.NewID()
		seg, err := s.createSegment(1, s.opts.SegmentSize)
		if err == nil {
			s.grow(seg)
		}
		return err
	}
	if !s.opts.ReadOnly {
		// Who made the last segment may have died before its name was safe.
		if err := s.opts.fs.SyncDir(s.dir); err != nil {
			return err
		}
	}
	r := &recovery{s: s, next: 1, report: start}
	for i, path := range l.segments {
		seg, err := s.openSegment(path)
		if err != nil {
			return err
		}
		s.segs = append(s.segs, seg) // from here on release closes it
		if err := r.open(seg, i == len(l.segments)-1); err != nil {
			return err
		}
	}
	if err := s.begin(r); err != nil {
		return err
	}
	s.opts.Logger.Info("log store opened", "dir", s.dir, "events", s.events, "streams", s.known, "segments", len(s.segs),
		"indexes_made", r.made, "took", time.Since(start))
	return nil
}

// openSegment opens and maps an existing segment. The first one tells the
// store's id.
func (s *Store) openSegment(path string) (*segment, error) {
	flag := os.O_RDWR
	if s.opts.ReadOnly {
		flag = os.O_RDONLY
	}
	f, err := s.opts.fs.Open(path, flag, 0)
	if err != nil {
		return nil, err
	}
	h, size, err := readHeader(path, f)
	if err == nil && len(s.segs) == 0 {
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
		return nil, errors.Join(err, f.Close())
	}
	c, err := newContent(path, f, h, size)
	if err != nil {
		return nil, err
	}
	seg := &segment{first: h.first, path: path}
	seg.content.Store(c)
	return seg, nil
}

type reader interface {
	ReadAt(b []byte, off int64) (int, error)
	Size() (int64, error)
}

func readHeader(path string, f reader) (h header, size int64, err error) {
	if size, err = f.Size(); err != nil {
		return header{}, 0, err
	}
	b := make([]byte, min(headerSize, size))
	if _, err := f.ReadAt(b, 0); err != nil {
		return header{}, 0, fmt.Errorf("read %s: %w", path, err)
	}
	h, err = decodeHeader(path, b)
	return h, size, err
}

// begin lets readers see what was found, and sees to it that there is a
// segment to append to.
func (s *Store) begin(r *recovery) error {
	for _, seg := range s.segs {
		c := seg.content.Load()
		sum := c.summary()
		s.used += sum.end
		s.events += uint64(sum.events)
		s.known += sum.born
	}
	s.head = r.next - 1
	s.batch.head = s.head
	s.states.covers = len(s.segs) - 1
	c := s.current()
	if t := c.tail.Load(); t != nil {
		s.grows, s.end, s.blocks = c, c.end, t.blocks
		return nil
	}
	s.states.covers++ // the last one is sealed too
	seg, err := s.createSegment(r.next, s.opts.SegmentSize)
	if err == nil {
		s.grow(seg)
	}
	return err
}

// remember tells the ids of the last events to the memory of recent ones. The
// leader does so before the first append, rather than whoever opens the store.
func (s *Store) remember() error {
	v := s.view()
	if s.remembered || v.head == 0 {
		s.remembered = true
		return nil
	}
	first := eventstore.Position(1)
	if v.head > streamrules.RecentLimit {
		first = v.head - streamrules.RecentLimit + 1
	}
	s.recent = streamrules.Recent{} // of an attempt before
	err := s.eachFrame(v, first, v.head, func(f *frame) { s.recent.Add(f.id, f.position) })
	s.remembered = err == nil
	return err
}
