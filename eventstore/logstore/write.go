package logstore

import (
	"fmt"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
)

// A batch is what the leader has encoded and not yet written.
type batch struct {
	buf      []byte
	requests []*request // that depend on it
	events   []pending  // in it
	touched  []*stream
	head     eventstore.Position // of the last event in it, or before it
	unsynced bool                // earlier batches may not be on the disk
	lastSync time.Time
}

// A pending event is one in the batch.
type pending struct {
	id      eventstore.ID
	stream  string
	version eventstore.Version
}

// pending returns the event in the batch at position p, or nil.
func (b *batch) pending(p eventstore.Position) *pending {
	if first := b.head - eventstore.Position(len(b.events)) + 1; p >= first {
		return &b.events[p-first]
	}
	return nil
}

// commit decides and carries out a batch of requests. Only the leader calls it.
func (s *Store) commit(requests []*request) {
	created := s.opts.Now().UnixNano()
	for _, r := range requests {
		if s.failure != nil {
			r.err = s.failure
			continue
		}
		s.batch.requests = append(s.batch.requests, r)
		plan, err := r.op.Decide((*leader)(s))
		if r.receipt, r.err = plan.Receipt, err; err != nil || plan.N == 0 {
			continue
		}
		if err := s.reserve(r, planLen(&plan)); err != nil {
			s.fail(err, r)
			continue
		}
		r.written = true
		s.encode(&plan, created)
		r.receipt.Position = s.batch.head - eventstore.Position(plan.Events()-len(plan.Writes[0].Events))
	}
	if err := s.flush(); err != nil {
		s.fail(err, nil)
	}
}

// planLen returns the bytes that a plan takes in a segment.
func planLen(p *streamrules.Plan) int64 {
	var n int64
	for _, w := range p.Writes[:p.N] {
		for i := range w.Events {
			n += frameLen(w.Stream, &w.Events[i])
		}
	}
	return n
}

// reserve sees to it that n bytes fit into the current segment behind what is
// in the batch. It may write the batch, without r, and begin a new segment.
func (s *Store) reserve(r *request, n int64) error {
	seg := s.current()
	if seg.end+int64(len(s.batch.buf))+n <= seg.size() {
		return nil
	}
	s.batch.requests = s.batch.requests[:len(s.batch.requests)-1]
	if err := s.flush(); err != nil {
		s.batch.requests = append(s.batch.requests, r)
		return err
	}
	s.batch.requests = append(s.batch.requests, r)
	size := max(s.opts.SegmentSize, roundUp(headerSize+n, pageSize))
	if len(seg.added) == 0 {
		s.mapped.Lock()
		defer s.mapped.Unlock()
		return seg.resize(size)
	}
	return s.roll(size)
}

// roll seals the current segment and begins the next.
func (s *Store) roll(size int64) error {
	if err := s.sync(); err != nil {
		return err
	}
	seg, err := s.createSegment(s.batch.head+1, size)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segs = append(s.segs[:len(s.segs):len(s.segs)], seg) // readers hold the old slice
	s.used += headerSize
	return nil
}

func (s *Store) current() *segment { return s.segs[len(s.segs)-1] }

// encode adds a plan to the batch and to what the leader knows.
func (s *Store) encode(plan *streamrules.Plan, created int64) {
	b, seg := &s.batch, s.current()
	left := plan.Events()
	p := place{created: created, seed: seg.seed}
	for wi := range plan.Writes[:plan.N] {
		w := &plan.Writes[wi]
		st := s.stream(w.Stream)
		for i := range w.Events {
			e := &w.Events[i]
			b.head++
			left--
			p.position, p.version, p.id = b.head, w.First+eventstore.Version(i), e.ID
			if p.id.IsZero() {
				p.id = eventstore.NewID()
			}
			p.off, p.flags = seg.end+int64(len(b.buf)), 0
			if left == 0 {
				p.flags |= flagCommit
			}
			if len(b.buf) == 0 && !b.unsynced {
				p.flags |= flagSynced
			}
			if w.Tombstone {
				p.flags |= flagTombstone
			}
			b.buf = appendFrame(b.buf, &p, w.Stream, e)
			b.events = append(b.events, pending{p.id, st.name, p.version})
			seg.added = append(seg.added, uint32(p.off/frameAlign))
			st.added = append(st.added, p.position)
			s.recent.Add(p.id, p.position)
		}
		s.applyWrite(st, w)
	}
}

// applyWrite moves what the leader knows of a stream, and of the one whose
// metadata it holds, behind w.
func (s *Store) applyWrite(st *stream, w *streamrules.Write) {
	st.next = w.After(st.next)
	s.batch.touched = append(s.batch.touched, st)
	if orig, isMeta := streamrules.Original(w.Stream); isMeta {
		o := s.stream(orig)
		o.next.Meta = w.Metadata()
		s.batch.touched = append(s.batch.touched, o)
	}
}

// flush writes the batch, syncs as the policy says and publishes.
func (s *Store) flush() error {
	b, seg := &s.batch, s.current()
	if len(b.buf) > 0 {
		if _, err := s.opts.hooks.write(seg.file, b.buf, seg.end); err != nil {
			return fmt.Errorf("write %s: %w", seg.path, err)
		}
		b.unsynced = true
		if s.opts.Sync == SyncAlways || s.opts.Sync == SyncInterval && time.Since(b.lastSync) >= s.opts.SyncEvery {
			if err := s.sync(); err != nil {
				return err
			}
		}
		seg.end += int64(len(b.buf))
		s.publish(b.touched, b.head)
	}
	b.reset()
	return nil
}

func (b *batch) reset() {
	if cap(b.buf) > 2*batchSize {
		b.buf = nil
	}
	clear(b.touched)
	clear(b.requests)
	clear(b.events)
	b.buf, b.events, b.touched, b.requests = b.buf[:0], b.events[:0], b.touched[:0], b.requests[:0]
}

// sync forces what was written to the disk.
func (s *Store) sync() error {
	if !s.batch.unsynced {
		return nil
	}
	seg := s.current()
	if err := s.opts.hooks.sync(seg.file); err != nil {
		return fmt.Errorf("sync %s: %w", seg.path, err)
	}
	s.batch.unsynced, s.batch.lastSync = false, time.Now()
	return nil
}

// fail stops all appending. What the requests of the batch were told may rest
// on events that are not written, so all of them get an error, an uncertain
// one if they may be; r has certainly not been written.
func (s *Store) fail(cause error, r *request) {
	s.opts.Logger.Error("appending has stopped; close and open the store to recover", "dir", s.dir, "error", cause)
	s.failure = &eventstore.UnavailableError{Op: "append to " + s.dir, Err: cause}
	for _, q := range s.batch.requests {
		uncertain := q != r && q.err == nil && (q.written || q.receipt.Repeated)
		q.receipt, q.err = eventstore.Receipt{}, &eventstore.UnavailableError{Op: "append to " + s.dir, Uncertain: uncertain, Err: cause}
	}
	s.batch.reset()
}

// leader is the store as a decision sees it: with what is still in the batch.
type leader Store

func (l *leader) State(name string) streamrules.State {
	if st := l.streams[name]; st != nil {
		return st.next
	}
	return streamrules.State{}
}

func (l *leader) EventAt(name string, at eventstore.Version) (eventstore.ID, eventstore.Position, error) {
	s := (*Store)(l)
	p := s.streams[name].added[at-1]
	if e := s.batch.pending(p); e != nil {
		return e.id, p, nil
	}
	f, err := s.frameAt(p)
	if err != nil {
		return eventstore.ID{}, 0, err
	}
	return f.id(), p, nil
}

func (l *leader) Recent(id eventstore.ID) (streamrules.Place, bool, error) {
	s := (*Store)(l)
	p := s.recent.Find(id)
	if p == 0 {
		return streamrules.Place{}, false, nil
	}
	if e := s.batch.pending(p); e != nil {
		return streamrules.Place{Stream: e.stream, Version: e.version, Position: p}, true, nil
	}
	f, err := s.frameAt(p)
	if err != nil {
		return streamrules.Place{}, false, err
	}
	_, _, name, _, _ := f.parts()
	return streamrules.Place{Stream: string(name), Version: f.version(), Position: p}, true, nil
}
