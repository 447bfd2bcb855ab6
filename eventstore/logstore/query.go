package logstore

import (
	"context"
	"iter"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
)

// ReadQuery implements [eventstore.Conditional]. Index files say where the
// events with a tag are, and pass over those of other types in blocks of 64.
func (s *Store) ReadQuery(ctx context.Context, q eventstore.Query, opts eventstore.ReadQueryOptions) iter.Seq2[eventstore.Recorded, error] {
	return func(yield func(eventstore.Recorded, error) bool) {
		if err := q.Check(); err != nil {
			yield(eventstore.Recorded{}, err)
			return
		}
		s.readFrom(ctx, eventstore.ReadAllOptions{From: opts.From, Backwards: opts.Backwards, Limit: opts.Limit}, q, yield)
	}
}

// AppendIf implements [eventstore.Conditional]. The condition is checked
// against everything that is written before the events, also in the same write.
func (s *Store) AppendIf(ctx context.Context, stream string, c eventstore.Condition, events ...eventstore.Event) (eventstore.Receipt, error) {
	if err := c.Query.Check(); err != nil {
		return eventstore.Receipt{}, err
	}
	return s.append(ctx, streamrules.Op{Kind: streamrules.Append, Stream: stream, Expected: eventstore.Any, Events: events, Condition: &c})
}

// tag notes the tags of an event that the leader has encoded.
func (s *Store) tag(t *tail, m eventstore.Metadata, off int64) {
	if m.MayHaveTags() {
		s.mu.Lock()
		defer s.mu.Unlock()
		t.tag(m, off)
	}
}

// tagsOf returns a function that returns the postings of a tag in c, which is
// pinned.
func (s *Store) tagsOf(c *content) func(tag string) postings {
	x, t := c.indexes()
	if x == nil {
		return func(tag string) postings {
			s.mu.RLock()
			defer s.mu.RUnlock()
			return postings{offs: t.tags[hashTag(tag)]}
		}
	}
	return func(tag string) (p postings) {
		x.tags.find(hashTag(tag), func(raw []byte) bool {
			p.raw = raw
			return true
		})
		return p
	}
}

// fetchQuery copies the next events of a query.
func (d *decoder) fetchQuery(ctx context.Context, c *cursor) error {
	for size := 0; !c.searched; {
		if err := d.s.alive(ctx); err != nil {
			return firstError(err, d.copyItems())
		}
		cont, err := c.enter()
		if err != nil {
			return firstError(err, d.copyItems())
		}
		before := len(d.items)
		more := false
		err = guard(cont, &c.off, func() error {
			more, err = d.findQuery(c, cont, &size)
			return err
		})
		if len(d.items) == before {
			err = firstError(err, cont.release())
		} else {
			d.pinned = append(d.pinned, cont)
		}
		if err != nil || more {
			return firstError(err, d.copyItems())
		}
		c.leave(cont)
	}
	c.ended = len(d.items) == 0
	return d.copyItems()
}

// leave goes on to the next segment, or finds that there is none.
func (c *cursor) leave(cont *content) {
	switch {
	case c.backwards && (c.i == 0 || cont.first <= c.last), !c.backwards && c.i == len(c.segs)-1:
		c.searched = true
	case c.backwards:
		c.i--
		c.c, c.next = nil, cont.first-1
	default:
		c.i++
		c.c, c.next = nil, max(c.next, c.segs[c.i].first)
		c.searched = c.next > c.last
	}
}

// findQuery notes where events of a query are in a segment. It reports that
// there may be more there when these are enough for now.
func (d *decoder) findQuery(c *cursor, cont *content, size *int) (more bool, err error) {
	h := newHunt(&c.view, cont, c.query, c.next, c.last, c.backwards)
	if !h.prepare(d.s.tagsOf(cont)) {
		return false, nil
	}
	var f frame
	for {
		if len(d.items) >= batchEvents || c.left > 0 && len(d.items) >= c.left || *size >= d.size {
			d.size = min(2*d.size, chunkSize)
			return true, nil
		}
		off, ok, err := h.find(&f)
		if err != nil || !ok {
			return false, err
		}
		d.items = append(d.items, item{at: *size, to: *size + f.size, c: cont, off: off, pos: f.position})
		*size += f.size
		c.next, c.off = h.next, off
	}
}

// First implements [streamrules.View].
func (l *leader) First(q eventstore.Query, after eventstore.Position) (r eventstore.Recorded, found bool, err error) {
	s := l.s
	if after >= s.batch.head {
		return r, false, nil
	}
	v := s.all()
	for i := v.find(after + 1); i < len(v.segs) && !found && err == nil; i++ {
		c := v.segs[i].pin()
		if c == nil {
			return r, false, eventstore.ErrClosed
		}
		h := newHunt(&v, c, q, after+1, s.batch.head, false)
		if c == v.grows {
			h.pending = s.batch.buf
			h.end += int64(len(h.pending))
			h.leadersMasks(c.tail.Load())
		}
		var off int64
		err = guard(c, &off, func() (err error) {
			found, err = h.first(s.tagsOf(c), &off, &r)
			return err
		})
		err = firstError(err, c.release())
	}
	return r, found, err
}

// first makes r as much of the first event that matches as a decision needs.
func (h *hunt) first(tags func(tag string) postings, off *int64, r *eventstore.Recorded) (bool, error) {
	if !h.prepare(tags) {
		return false, nil
	}
	var f frame
	var ok bool
	var err error
	if *off, ok, err = h.find(&f); err != nil || !ok {
		return false, err
	}
	b, _ := h.frameBytes(*off)
	if reason := f.decode(b, &h.c.base, *off); reason != "" {
		return false, h.c.damaged(*off, reason)
	}
	r.ID, r.Stream, r.Version, r.Position = f.id, string(f.stream), f.version, f.position
	return true, nil
}
