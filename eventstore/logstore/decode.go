package logstore

import (
	"context"
	"fmt"
	"sync"
	"time"
	"unsafe"

	"github.com/foldstream/foldstream/eventstore"
)

// A decoder turns frames into events on a copy of its own: an event is valid
// for as long as anybody holds it, and a frame is checked and used in the same
// memory. It is cheap because neighbours are copied at once, and because the
// names seen last are kept as strings.
type decoder struct {
	s      *Store
	frames []copied
	i      int    // of the frame to decode next
	chunk  []byte // holds the frames
	handed bool   // events share the chunk
	names  [256]string
}

// A copied frame is in the decoder's chunk and not yet checked.
type copied struct {
	at, to int // in the chunk
	seg    int // in the view
	off    int64
	pos    eventstore.Position
}

const (
	batchEvents   = 64       // copied at a time
	batchExamined = 1024     // looked at without a match
	chunkSize     = 64 << 10 // copied at a time, unless one event is larger
)

var decoders = sync.Pool{New: func() any { return &decoder{frames: make([]copied, 0, batchEvents)} }}

func newDecoder(s *Store) *decoder {
	d := decoders.Get().(*decoder)
	d.s = s
	return d
}

// release gives d back.
func (d *decoder) release() {
	d.s, d.chunk, d.frames, d.i, d.handed = nil, nil, d.frames[:0], 0, false
	decoders.Put(d)
}

// done reports whether there is nothing left of c.
func (d *decoder) done(c *cursor) bool { return c.ended && d.i == len(d.frames) }

// next decodes the next event of c that is wanted into r. It reports false at
// the end, and when many were not wanted.
func (d *decoder) next(ctx context.Context, c *cursor, r *eventstore.Recorded) (bool, error) {
	for examined := 0; ; examined++ {
		if d.i == len(d.frames) {
			if c.ended || examined >= batchExamined {
				return false, nil
			}
			if err := d.fetch(ctx, c); err != nil {
				return false, err
			}
		}
		k := &d.frames[d.i]
		d.i++
		wanted, err := d.decode(c, k, r)
		if err != nil {
			return false, err
		}
		if !wanted {
			continue
		}
		d.handed = true
		if c.left--; c.left == 0 {
			c.ended, d.i = true, len(d.frames)
		}
		return true, nil
	}
}

// fetch copies the next frames of c, which has some.
func (d *decoder) fetch(ctx context.Context, c *cursor) error {
	if d.handed {
		d.chunk, d.handed = nil, false
	}
	d.frames, d.i, d.chunk = d.frames[:0], 0, d.chunk[:0]
	d.s.mapped.RLock()
	defer d.s.mapped.RUnlock()
	if err := d.s.alive(ctx); err != nil {
		return err
	}
	n := batchEvents
	if c.left > 0 && c.match == nil {
		n = min(n, c.left)
	}
	return c.guard(func() error {
		if c.positions == nil && c.step == 1 {
			d.copyRun(c, n)
		} else {
			d.copyEach(c, n)
		}
		return nil
	})
}

// copyRun copies up to n frames that lie behind one another.
func (d *decoder) copyRun(c *cursor, n int) {
	c.seek(c.next)
	first := int(c.next - c.seg.first)
	n = min(n, len(c.offs)-first)
	if rest := c.last - c.next; rest < eventstore.Position(n) {
		n = int(rest) + 1
	}
	start := c.offset(first)
	for n > 1 && c.offset(first+n-1)-start > chunkSize {
		n--
	}
	end := c.frameEnd(first + n - 1)
	d.chunk = append(d.chunk, c.seg.data[start:end]...)
	for i := first; i < first+n; i++ {
		off := c.offset(i)
		if i > first {
			d.frames[len(d.frames)-1].to = int(off - start)
		}
		d.frames = append(d.frames, copied{int(off - start), int(end - start), c.segIndex, off, c.next})
		c.advance()
	}
}

// copyEach copies up to n frames that may lie anywhere.
func (d *decoder) copyEach(c *cursor, n int) {
	size := 0
	for ; n > 0 && !c.ended && size < chunkSize; n-- {
		p := c.next
		if c.positions != nil {
			p = c.positions[c.next-1]
		}
		c.seek(p)
		i := int(p - c.seg.first)
		off, end := c.offset(i), c.frameEnd(i)
		d.frames = append(d.frames, copied{size, size + int(end-off), c.segIndex, off, p})
		size += int(end - off)
		c.advance()
	}
	if size > cap(d.chunk) {
		d.chunk = make([]byte, 0, size)
	}
	for i := range d.frames {
		k := &d.frames[i]
		c.fault, c.off = c.segs[k.seg], k.off
		d.chunk = append(d.chunk, c.fault.data[k.off:k.off+int64(k.to-k.at)]...)
	}
}

// check returns a copied frame if it is what was written.
func (d *decoder) check(c *cursor, k *copied) (frame, error) {
	seg := c.segs[k.seg]
	f, reason := decodeFrame(d.chunk[k.at:k.to:k.to], seg.seed, k.off)
	if reason == "" && f.position() != k.pos {
		reason = fmt.Sprintf("position %d where %d was written", f.position(), k.pos)
	}
	if reason != "" {
		return nil, &eventstore.CorruptError{File: seg.path, Offset: k.off, Reason: reason}
	}
	return f, nil
}

// decode makes r the event in a frame, if it is wanted. It is faster when r is
// the one of the last call.
func (d *decoder) decode(c *cursor, k *copied, r *eventstore.Recorded) (wanted bool, err error) {
	f, err := d.check(c, k)
	if err != nil {
		return false, err
	}
	typ, ct, stream, meta, data := f.parts()
	if f.created() < c.notBefore || c.match != nil && !c.match(inPlace(stream), inPlace(typ)) {
		return false, nil
	}
	if r.Metadata, err = eventstore.ParseMetadata(inPlace(meta)); err != nil {
		return false, &eventstore.CorruptError{File: c.segs[k.seg].path, Offset: k.off, Reason: err.Error()}
	}
	r.ID, r.Version, r.Position = f.id(), f.version(), k.pos
	if r.Stream != inPlace(stream) { // r still holds the event before
		r.Stream = d.name(stream)
	}
	if r.Type != inPlace(typ) {
		r.Type = d.name(typ)
	}
	if r.ContentType != inPlace(ct) {
		r.ContentType = d.name(ct)
	}
	r.Created = time.Unix(0, f.created()).UTC()
	r.Data = data[:len(data):len(data)]
	return true, nil
}

// inPlace returns b as a string without a copy; b must not change while the
// string is in use.
func inPlace(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // names are looked up without a copy; see above
}

// name returns b as a string, one that was made before if it was seen lately.
func (d *decoder) name(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	var h uint64
	if len(b) >= 8 {
		h = le.Uint64(b[len(b)-8:])
	} else {
		for _, c := range b {
			h = h<<8 | uint64(c)
		}
	}
	slot := &d.names[(h^uint64(len(b)))*0x9E3779B97F4A7C15>>56]
	if *slot != string(b) {
		*slot = string(b)
	}
	return *slot
}

// frameAt returns a checked copy of the frame at a published position.
func (s *Store) frameAt(p eventstore.Position) (frame, error) {
	d := newDecoder(s)
	defer d.release()
	c := cursor{view: s.view(), next: p, last: p, step: 1}
	if err := d.fetch(context.Background(), &c); err != nil {
		return nil, err
	}
	return d.check(&c, &d.frames[0])
}
