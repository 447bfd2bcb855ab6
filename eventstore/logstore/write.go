package logstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
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
	ids      idSource
	unsynced bool // earlier batches may not be on the disk
	lastSync time.Time
}

// A pending event is one in the batch.
type pending struct {
	id      eventstore.ID
	stream  string
	version eventstore.Version
	off     int64 // in the segment
}

// An idSource makes ids as [eventstore.NewID] does, and asks the system for the
// randomness of many at once, which is most of what one costs.
type idSource struct {
	random [64 * len(eventstore.ID{})]byte
	left   int // bytes
}

func (s *idSource) next() (id eventstore.ID) {
	if s.left == 0 {
		_, _ = rand.Read(s.random[:]) // never fails, see crypto/rand
		s.left = len(s.random)
	}
	s.left -= len(id)
	copy(id[:], s.random[s.left:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
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
	unread := s.remember()
	force := false
	for _, r := range requests {
		if r.err = firstError(s.failure, unread); r.err != nil {
			continue
		}
		s.batch.requests = append(s.batch.requests, r)
		if r.sync {
			force = true
			continue
		}
		l := leader{s: s}
		plan, err := r.op.Decide(&l)
		if r.receipt, r.err = plan.Receipt, firstError(l.err, err); r.err != nil || plan.N == 0 {
			continue
		}
		if err := s.reserve(r, planLen(&plan)); err != nil {
			s.fail(err, r)
			continue
		}
		targets, err := s.targets(&plan)
		if err != nil {
			r.err = err
			continue
		}
		r.written = true
		s.encode(&plan, &targets, created)
		r.receipt.Position = s.batch.head - eventstore.Position(plan.Events()-len(plan.Writes[0].Events))
	}
	err := s.flush()
	if err == nil && force && s.failure == nil {
		err = s.sync()
	}
	if err != nil {
		s.fail(err, nil)
	}
}

// planLen returns the bytes that a plan takes in a segment at most.
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
	c := s.current()
	t := c.tail.Load()
	if c.end+int64(len(s.batch.buf))+n <= c.size() && !t.full() {
		return nil
	}
	s.batch.requests = s.batch.requests[:len(s.batch.requests)-1]
	if err := s.flush(); err != nil {
		s.batch.requests = append(s.batch.requests, r)
		return err
	}
	s.batch.requests = append(s.batch.requests, r)
	size := max(s.opts.SegmentSize, roundUp(headerSize+n))
	if t.events == 0 {
		return s.enlarge(size)
	}
	return s.roll(size)
}

// enlarge gives the current segment, which is empty, more room.
func (s *Store) enlarge(size int64) error {
	seg := s.segs[len(s.segs)-1]
	c, err := s.remap(seg, size)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grows = c
	return seg.replace(c)
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
	sealed := s.segs[len(s.segs)-1]
	s.mu.Lock()
	s.grow(seg)
	s.mu.Unlock()
	s.sealLater(sealed)
	return nil
}

// grow makes seg, which is empty, the last segment. The lock is held, or
// nobody knows the store yet.
func (s *Store) grow(seg *segment) {
	if s.grows != nil {
		s.grows.tail.Load().last = seg.first - 1
	}
	s.segs = append(s.segs[:len(s.segs):len(s.segs)], seg) // readers hold the old slice
	s.grows, s.blocks, s.end = seg.content.Load(), nil, headerSize
	s.used += headerSize
	s.rolls++
}

// A target is a stream that is written to, and the one whose metadata that is.
type target struct{ to, of *stream }

// targets returns the streams that a plan changes.
func (s *Store) targets(plan *streamrules.Plan) (ts [2]target, err error) {
	for i := range plan.Writes[:plan.N] {
		name := plan.Writes[i].Stream
		if ts[i].to, err = s.stream(name); err != nil {
			return ts, err
		}
		if orig, isMeta := streamrules.Original(name); isMeta {
			if ts[i].of, err = s.stream(orig); err != nil {
				return ts, err
			}
		}
	}
	return ts, nil
}

// encode adds a plan to the batch and to what the leader knows.
func (s *Store) encode(plan *streamrules.Plan, targets *[2]target, created int64) {
	b, c := &s.batch, s.current()
	t := c.tail.Load()
	left := plan.Events()
	p := place{base: &c.base, created: created}
	for wi := range plan.Writes[:plan.N] {
		w, st := &plan.Writes[wi], targets[wi].to
		for i := range w.Events {
			e := &w.Events[i]
			b.head++
			left--
			p.position, p.version, p.id = b.head, w.First+eventstore.Version(i), e.ID
			if p.id.IsZero() {
				p.id = b.ids.next()
			}
			p.off, p.flags = c.end+int64(len(b.buf)), 0
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
			b.events = append(b.events, pending{p.id, st.name, p.version, p.off})
			t.add(st, &frameInfo{p.off, uint32(p.position - c.first), p.version, e.Type, eventstore.Metadata{}})
			s.tag(t, e.Metadata, p.off)
			s.recent.Add(p.id, p.position)
		}
		st.next = w.After(st.next)
		b.touched = append(b.touched, st)
		if of := targets[wi].of; of != nil {
			of.next.Meta = w.Metadata()
			b.touched = append(b.touched, of)
		}
	}
}

// flush writes the batch, syncs as the policy says and publishes.
func (s *Store) flush() error {
	b, c := &s.batch, s.current()
	if len(b.buf) > 0 {
		if _, err := c.file.WriteAt(b.withZeros(c), c.end); err != nil {
			return fmt.Errorf("write %s: %w", c.path, err)
		}
		b.unsynced = true
		if s.opts.Sync == SyncAlways || s.opts.Sync == SyncInterval && time.Since(b.lastSync) >= s.opts.SyncEvery {
			if err := s.sync(); err != nil {
				return err
			}
		}
		c.end += int64(len(b.buf))
		s.publish(b.touched, b.head)
	}
	b.reset()
	return nil
}

// A write into a hole makes the next sync wait for the file system's journal,
// one over zeros that are there does not. So small writes, of which many come
// between two steps, take zeros up to the next step along; a large one would
// write twice as much for nothing.
const (
	zeroStep  = 256 << 10
	zeroBelow = 16 << 10 // bytes of a write that takes zeros along
)

// withZeros returns what is to be written for the batch at the end of c.
func (b *batch) withZeros(c *content) []byte {
	end := c.end + int64(len(b.buf))
	if end <= c.zeroed || len(b.buf) >= zeroBelow {
		return b.buf
	}
	c.zeroed = min((end+zeroStep-1)/zeroStep*zeroStep, c.size())
	n := len(b.buf)
	b.buf = append(b.buf, make([]byte, c.zeroed-end)...)
	defer func() { b.buf = b.buf[:n] }()
	return b.buf
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
	c := s.current()
	if err := c.file.Datasync(); err != nil {
		return fmt.Errorf("sync %s: %w", c.path, err)
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
type leader struct {
	s   *Store
	err error // why an answer of State is worth nothing
}

func (l *leader) State(name string) streamrules.State {
	s := l.s
	st := s.current().tail.Load().streams[name]
	if st != nil && st.complete {
		return st.next
	}
	var state streamrules.State
	var err error
	if st != nil {
		state, err = s.complete(st, st.next, view{segs: s.segs})
	} else {
		state, err = s.past(name, view{segs: s.segs})
	}
	l.err = firstError(l.err, err)
	return state
}

func (l *leader) EventAt(name string, at eventstore.Version) (eventstore.ID, eventstore.Position, error) {
	s := l.s
	c := &cursor{s: s, view: s.all(), stream: name, at: at, to: at}
	if st := c.grows.tail.Load().streams[name]; st != nil && len(st.added) > 0 && at >= st.first {
		off := int64(st.added[at-st.first])
		if off >= c.grows.end {
			i, _ := slices.BinarySearchFunc(s.batch.events, off, func(e pending, off int64) int { return cmp.Compare(e.off, off) })
			return s.batch.events[i].id, s.batch.head - eventstore.Position(len(s.batch.events)-1-i), nil
		}
		c.tailRun = run{i: len(c.segs) - 1, c: c.grows, first: st.first, offs: st.added}
	}
	d := newDecoder(s)
	defer d.release()
	var f frame
	ok, err := d.frame(context.Background(), c, &f)
	if !ok || err != nil {
		return eventstore.ID{}, 0, err // it was removed, and is like no other
	}
	return f.id, f.position, nil
}

func (l *leader) Recent(id eventstore.ID) (streamrules.Place, bool, error) {
	s := l.s
	p := s.recent.Find(id)
	if p == 0 {
		return streamrules.Place{}, false, nil
	}
	if e := s.batch.pending(p); e != nil {
		return streamrules.Place{Stream: e.stream, Version: e.version, Position: p}, true, nil
	}
	d := newDecoder(s)
	defer d.release()
	var f frame
	ok, err := d.frame(context.Background(), s.cursor(s.all(), p, p), &f)
	if !ok || err != nil {
		return streamrules.Place{}, false, err
	}
	return streamrules.Place{Stream: string(f.stream), Version: f.version, Position: p}, true, nil
}

// all returns the leader's own view: with what is written and not yet
// published.
func (s *Store) all() view {
	c := s.current()
	return view{segs: s.segs, head: s.batch.head, grows: c, blocks: c.tail.Load().blocks, end: c.end}
}
