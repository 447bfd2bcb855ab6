package logstore

import (
	"fmt"
	"slices"
	"sort"

	"github.com/foldstream/foldstream/eventstore"
)

// A hunt goes through the events of one segment that match a query, in either
// direction. Each item of the query has a source of offsets at which its events
// may be, and the next one of them all is looked at: nothing is listed that is
// not read. It touches mappings: the caller guards it.
type hunt struct {
	q         eventstore.Query
	backwards bool
	next      eventstore.Position // to look at, included; moves on
	last      eventstore.Position // included

	c       *content
	blocks  blockList
	masks   func(i int) uint64 // kinds in a block; nil when that is not known
	kinds   kindTable
	end     int64  // of what may be seen
	pending []byte // what lies at c.end and is not written yet; the leader's

	sources []source
	at      int64 // where to look next
}

// A source yields offsets of a segment that may be those of an item's events.
// It never goes back.
type source interface {
	// seek returns the first of them at or behind off, or backwards the last at
	// or before it; or -1 when there is none.
	seek(off int64) (int64, error)
}

// newHunt returns a hunt in c for the events of the view from one position to
// another, both included.
func newHunt(v *view, c *content, q eventstore.Query, next, last eventstore.Position, backwards bool) *hunt {
	h := &hunt{q: q, next: next, last: last, backwards: backwards, c: c, blocks: v.blocksOf(c), end: v.endOf(c)}
	x, t := c.indexes()
	switch {
	case x != nil:
		h.kinds, h.masks = x.kinds, func(i int) uint64 { return le.Uint64(x.masks[8*i:]) }
	case c != v.grows:
		h.leadersMasks(t)
	}
	return h
}

// leadersMasks lets the leader, or anybody once the segment has ended, pass
// over blocks of a tail.
func (h *hunt) leadersMasks(t *tail) {
	h.kinds, h.masks = t.kinds, func(i int) uint64 { return t.mask[i] }
}

// prepare finds the sources; tags returns the postings of a tag. It reports
// false when there is nothing.
func (h *hunt) prepare(tags func(tag string) postings) bool {
	if h.blocks.len() == 0 {
		return false
	}
	rel := uint32(max(h.next, h.c.first) - h.c.first)
	b := h.blocks.find(rel)
	if h.at = int64(h.blocks.at(b).off); h.backwards {
		h.at = h.blockEnd(b) - 1
	}
	for i := range h.q {
		if s := h.source(&h.q[i], tags); s != nil {
			h.sources = append(h.sources, s)
		}
	}
	return len(h.sources) > 0
}

// blockEnd returns where a block ends.
func (h *hunt) blockEnd(i int) int64 {
	if i+1 == h.blocks.len() {
		return h.end
	}
	return min(int64(h.blocks.at(i+1).off), h.end)
}

// source returns where the events of an item may be, or nil for nowhere.
func (h *hunt) source(item *eventstore.QueryItem, tags func(tag string) postings) source {
	if len(item.Tags) == 0 {
		return h.kindSource(item)
	}
	s := &tagSource{backwards: h.backwards}
	for _, tag := range item.Tags {
		p := tags(tag)
		if p.len() == 0 {
			return nil
		}
		s.lists = append(s.lists, p)
	}
	slices.SortFunc(s.lists, func(a, b postings) int { return a.len() - b.len() })
	return s
}

// find makes f the next event that matches, and reports false when there is
// none. Of what it finds the checksum is still to be checked.
func (h *hunt) find(f *frame) (off int64, ok bool, err error) {
	for {
		off, err = h.seek()
		if err != nil || off < 0 {
			return 0, false, err
		}
		if h.at = off + 1; h.backwards {
			h.at = off - 1
		}
		b, reason := h.frameBytes(off)
		if reason == "" {
			reason = f.glance(b, &h.c.base)
		}
		if reason != "" {
			return 0, false, h.c.damaged(off, reason)
		}
		if h.q.Matches(inPlace(f.typ), f.metadata()) && h.inRange(f.position) {
			if h.next = f.position + 1; h.backwards {
				h.next = f.position - 1
			}
			return off, true, nil
		}
		if reason = f.decode(b, &h.c.base, off); reason != "" { // else damage might hide an event
			return 0, false, h.c.damaged(off, reason)
		}
		if h.backwards && f.position < h.last || !h.backwards && f.position > h.last {
			return 0, false, nil
		}
	}
}

func (h *hunt) inRange(p eventstore.Position) bool {
	if h.backwards {
		return p <= h.next && p >= h.last
	}
	return p >= h.next && p <= h.last
}

// seek returns the next offset of all sources, or -1.
func (h *hunt) seek() (int64, error) {
	found := int64(-1)
	for i := 0; i < len(h.sources); i++ {
		off, err := h.sources[i].seek(h.at)
		switch {
		case err != nil:
			return 0, err
		case off < 0:
			h.sources = slices.Delete(h.sources, i, i+1)
			i--
		case off >= h.end && !h.backwards: // not to be seen yet
		case found < 0 || h.backwards == (off > found):
			found = off
		}
	}
	return found, nil
}

// frameBytes is that of the content, and knows what is pending.
func (h *hunt) frameBytes(off int64) ([]byte, string) {
	written := h.end - int64(len(h.pending))
	if off < written || len(h.pending) == 0 {
		return h.c.frameBytes(off, written)
	}
	n, k := frameLength(h.pending[off-written:])
	return h.pending[off-written:][:k+4+n], ""
}

// postings are offsets of events in rising order, in memory or in an index
// file.
type postings struct {
	offs []uint32 // or
	raw  []byte
}

func (p *postings) len() int { return len(p.offs) + len(p.raw)/4 }

func (p *postings) at(i int) int64 {
	if p.raw != nil {
		return int64(le.Uint32(p.raw[4*i:]))
	}
	return int64(p.offs[i])
}

// skip leaves out those before off and returns the first one left, or -1.
func (p *postings) skip(off int64) int64 {
	n := p.len()
	i := 0
	if n > 0 && p.at(0) < off {
		i = 1 + sort.Search(n-1, func(i int) bool { return p.at(i+1) >= off })
	}
	if i == n {
		return -1
	}
	if p.raw != nil {
		p.raw = p.raw[4*i:]
	} else {
		p.offs = p.offs[i:]
	}
	return p.at(0)
}

// cut leaves out those behind off and returns the last one left, or -1.
func (p *postings) cut(off int64) int64 {
	n := p.len()
	if n > 0 && p.at(n-1) > off {
		n = sort.Search(n-1, func(i int) bool { return p.at(i) > off })
	}
	if n == 0 {
		return -1
	}
	if p.raw != nil {
		p.raw = p.raw[:4*n]
	} else {
		p.offs = p.offs[:n]
	}
	return p.at(n - 1)
}

// A tagSource yields the offsets that are in all of its lists.
type tagSource struct {
	lists     []postings // not empty
	backwards bool
}

func (s *tagSource) seek(off int64) (int64, error) {
	for agreed := 0; agreed < len(s.lists); {
		for i := range s.lists {
			var at int64
			if s.backwards {
				at = s.lists[i].cut(off)
			} else {
				at = s.lists[i].skip(off)
			}
			switch {
			case at < 0:
				return -1, nil
			case at == off && agreed < len(s.lists):
				agreed++
			case at != off:
				off, agreed = at, 1
			}
		}
	}
	return off, nil
}

// A kindSource yields the offsets of the events in blocks that have some of the
// kinds that an item without tags wants.
type kindSource struct {
	h      *hunt
	kinds  uint64
	loaded int // block whose offsets offs has, or -1
	offs   []int64
}

func (h *hunt) kindSource(item *eventstore.QueryItem) source {
	s := &kindSource{h: h, kinds: ^uint64(0), loaded: -1}
	if h.masks != nil && len(item.Types) > 0 {
		s.kinds = 1 << (maxKinds - 1)
		for i, k := range h.kinds {
			if slices.Contains(item.Types, k.typ) {
				s.kinds |= 1 << i
			}
		}
	}
	return s
}

func (s *kindSource) seek(off int64) (int64, error) {
	h, step := s.h, 1
	if h.backwards {
		step = -1
	}
	n := h.blocks.len()
	i := max(sort.Search(n, func(i int) bool { return int64(h.blocks.at(i).off) > off })-1, 0)
	for ; i >= 0 && i < n; i += step {
		if h.masks != nil && h.masks(i)&s.kinds == 0 {
			continue
		}
		if err := s.load(i); err != nil {
			return 0, err
		}
		at, found := slices.BinarySearch(s.offs, off)
		if h.backwards && !found {
			at--
		}
		if at >= 0 && at < len(s.offs) {
			return s.offs[at], nil
		}
	}
	return -1, nil
}

// load finds the frames of a block.
func (s *kindSource) load(i int) error {
	if s.loaded == i {
		return nil
	}
	s.loaded, s.offs = i, s.offs[:0]
	for off, end := int64(s.h.blocks.at(i).off), s.h.blockEnd(i); off < end; {
		b, reason := s.h.frameBytes(off)
		if reason != "" {
			return s.h.c.damaged(off, reason)
		}
		s.offs = append(s.offs, off)
		off += int64(len(b))
	}
	return nil
}

// glance makes f the frame in b, which is whole, without checking the
// checksum. It says what is wrong when it is none.
func (f *frame) glance(b []byte, g *base) (reason string) {
	n, k := frameLength(b)
	if n < minBody || !f.parse(b[k+4:k+4+n], g) {
		return fmt.Sprintf("the fields of a frame of %d bytes contradict each other", n)
	}
	f.size = len(b)
	return ""
}
