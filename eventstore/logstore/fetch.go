package logstore

import (
	"context"

	"github.com/foldstream/foldstream/eventstore"
)

// fetch copies the next frames of c, or finds that it has ended.
func (d *decoder) fetch(ctx context.Context, c *cursor) error {
	if d.handed {
		d.chunk, d.handed = nil, false
	}
	d.chunk, d.at, d.items, d.i = d.chunk[:0], 0, d.items[:0], 0
	if err := d.s.alive(ctx); err != nil {
		return err
	}
	if c.stream != "" {
		return d.fetchStream(c)
	}
	if c.query != nil {
		return d.fetchQuery(ctx, c)
	}
	cont, err := c.enter()
	if err != nil {
		return err
	}
	d.c = cont
	fetch := d.fetchForward
	if c.backwards {
		fetch = d.fetchBackward
	}
	err = guard(cont, &c.off, func() error { return fetch(c, cont) })
	return firstError(err, cont.release())
}

// fetchForward copies what comes next in a segment, or goes to the next one.
func (d *decoder) fetchForward(c *cursor, cont *content) error {
	to, ok := c.forward(cont)
	if !ok {
		return nil
	}
	b, reason := cont.frameBytes(c.off, c.endOf(cont))
	if reason != "" {
		return cont.damaged(c.off, reason)
	}
	n := max(int64(len(b)), min(int64(d.size), to-c.off))
	d.copy(cont.data[c.off : c.off+n])
	d.size = min(2*d.size, chunkSize)
	return nil
}

// forward finds where to go on in a segment, and up to which offset there are
// neighbours that may be wanted. It reports false when there is nothing more in
// it: then c is at the next segment, or has ended.
func (c *cursor) forward(cont *content) (to int64, ok bool) {
	if c.off == 0 {
		b := c.start(cont, c.next)
		c.off, c.due = int64(b.off), cont.first+eventstore.Position(b.rel)
	}
	end := c.endOf(cont)
	if to = end; c.kinds != ^uint64(0) {
		to = c.skip(cont, end)
	}
	if c.off < end {
		return to, true
	}
	if c.i == len(c.segs)-1 {
		c.ended = true
		return 0, false
	}
	c.i++
	c.c, c.off = nil, 0
	c.next = max(c.next, c.segs[c.i].first)
	c.ended = c.ended || c.next > c.last
	return 0, false
}

// copy appends b to the chunk, which is made large enough for a fetch.
func (d *decoder) copy(b []byte) {
	if cap(d.chunk)-len(d.chunk) < len(b) && len(d.chunk) == 0 {
		d.chunk = append([]byte(nil), b...) // not zeroed first
		return
	}
	d.chunk = append(d.chunk, b...)
}

// skip moves c over blocks of a sealed segment that hold nothing that can
// match, and returns where the next such block begins.
func (c *cursor) skip(cont *content, end int64) int64 {
	x, _ := cont.indexes()
	if x == nil || x.events == 0 {
		return end
	}
	wanted := func(i int) bool { return le.Uint64(x.masks[8*i:])&c.kinds != 0 }
	n := len(x.masks) / 8
	i := x.blockOf(uint32(c.due - cont.first))
	if !wanted(i) {
		for i < n && !wanted(i) {
			i++
		}
		if i == n {
			c.off, c.next = end, max(c.next, x.last+1)
			c.ended = c.next > c.last
			return end
		}
		b := x.blockAt(i)
		c.off, c.due = int64(b.off), cont.first+eventstore.Position(b.rel)
		c.next = max(c.next, c.due)
		c.ended = c.next > c.last
	}
	for i < n && wanted(i) {
		i++
	}
	if i == n {
		return end
	}
	return int64(x.blockAt(i).off)
}

// fetchBackward copies the events of the block that the next position is in,
// or goes to the segment before.
func (d *decoder) fetchBackward(c *cursor, cont *content) error {
	end := c.endOf(cont)
	b := c.start(cont, c.next)
	c.off = int64(b.off)
	pos := cont.first + eventstore.Position(b.rel)
	size := 0
	for n := 0; n < blockEvents && c.off < end && pos <= c.next; n++ {
		f, reason := cont.frameBytes(c.off, end)
		if reason != "" {
			return cont.damaged(c.off, reason)
		}
		if cont.header.generation > 0 {
			pos = cont.first + peekPosition(f)
		}
		if pos <= c.next && pos >= c.last {
			d.items = append(d.items, item{c: cont, off: c.off, pos: pos, to: len(f)})
		}
		c.off += int64(len(f))
		pos++
	}
	if len(d.items) == 0 {
		if c.ended = c.i == 0 || cont.first <= c.last; !c.ended {
			c.i--
			c.c, c.next = nil, cont.first-1
		}
		return nil
	}
	// The last ones first, and no more than are likely to be read.
	for i, j := 0, len(d.items)-1; i < j; i, j = i+1, j-1 {
		d.items[i], d.items[j] = d.items[j], d.items[i]
	}
	keep := 0
	for keep < len(d.items) && (keep == 0 || size+d.items[keep].to <= d.size) {
		it := &d.items[keep]
		it.at, it.to = size, size+it.to
		size = it.to
		keep++
	}
	d.items = d.items[:keep]
	d.reserve(size)
	for _, it := range d.items {
		c.off = it.off
		d.chunk = append(d.chunk, cont.data[it.off:it.off+int64(it.to-it.at)]...)
	}
	d.size = min(2*d.size, chunkSize)
	return nil
}

// peekPosition returns the position in a frame that was not checked yet, since
// the first of its segment.
func peekPosition(f []byte) eventstore.Position {
	_, k := frameLength(f)
	p, _ := uvarint(f, k+4+17)
	return eventstore.Position(p)
}

func (d *decoder) reserve(size int) {
	if size > cap(d.chunk) {
		d.chunk = make([]byte, 0, size)
	}
}

// fetchStream copies the next events of a stream.
func (d *decoder) fetchStream(c *cursor) error {
	if !c.planned {
		if err := c.plan(d); err != nil || c.ended {
			return err
		}
	}
	// First where they are, so that the memory is made once.
	for size := 0; len(c.runs) > 0; c.runs = c.runs[1:] {
		more, err := d.findRun(c, &c.runs[0], &size)
		if err != nil || !more {
			return firstError(err, d.copyItems())
		}
	}
	c.ended = len(d.items) == 0 && len(c.runs) == 0
	d.size = min(2*d.size, chunkSize)
	return d.copyItems()
}

// findRun notes where events of a run are, and pins the segment for
// [decoder.copyItems]. It reports false when it did not get to its end.
func (d *decoder) findRun(c *cursor, r *run, size *int) (bool, error) {
	cont := c.segs[r.i].pin()
	if cont == nil {
		return false, eventstore.ErrClosed
	}
	if cont != r.c { // rewritten meanwhile
		c.runs, c.planned = nil, false
		err := cont.release()
		if err == nil {
			_, c.tailRun, c.view, err = c.s.look(c.stream)
		}
		return false, err
	}
	d.pinned = append(d.pinned, cont)
	var off int64
	done := false
	err := guard(cont, &off, func() error {
		for len(r.offs) > 0 {
			k := 0
			if c.backwards {
				k = len(r.offs) - 1
			}
			off = int64(r.offs[k])
			b, reason := cont.frameBytes(off, cont.size())
			if reason != "" {
				return cont.damaged(off, reason)
			}
			if len(d.items) >= batchEvents || len(d.items) > 0 && *size+len(b) > d.size {
				return nil
			}
			d.items = append(d.items, item{at: *size, to: *size + len(b), c: cont, off: off, version: r.first + eventstore.Version(k)})
			*size += len(b)
			if c.backwards {
				r.offs = r.offs[:k]
			} else {
				r.offs, r.first = r.offs[1:], r.first+1
			}
		}
		done = true
		return nil
	})
	return done, err
}

// copyItems copies what the items are about, and unpins their segments.
func (d *decoder) copyItems() (err error) {
	if n := len(d.items); n > 0 {
		d.reserve(d.items[n-1].to)
	}
	for i := 0; i < len(d.items) && err == nil; {
		cont, off := d.items[i].c, d.items[i].off
		err = guard(cont, &off, func() error {
			for ; i < len(d.items) && d.items[i].c == cont; i++ {
				off = d.items[i].off
				d.chunk = append(d.chunk, cont.data[off:off+int64(d.items[i].to-d.items[i].at)]...)
			}
			return nil
		})
	}
	for _, cont := range d.pinned {
		err = firstError(err, cont.release())
	}
	clear(d.pinned)
	d.pinned = d.pinned[:0]
	return err
}
