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
	chunk  []byte // frames, copied and not yet checked
	handed bool   // events share the chunk
	size   int    // of the next chunk

	// Either neighbours: what lies in chunk from at on is at the cursor's offset
	// in c.
	at int
	c  *content
	// Or single frames, in the order in which they are wanted.
	items  []item
	i      int
	pinned []*content // that the items lie in, while they are copied
	runs   []run      // the cursor's
	offs   []uint32   // of the runs

	names [256]string
}

// An item is a frame in the chunk that an index has named.
type item struct {
	at, to  int // in the chunk
	c       *content
	off     int64
	version eventstore.Version // in a stream, or 0
	pos     eventstore.Position
}

const (
	batchEvents   = 256       // copied at a time, of those that an index names
	batchExamined = 1024      // looked at without a match
	firstChunk    = 16 << 10  // copied at first
	chunkSize     = 128 << 10 // copied at a time later, unless one event is larger
	keepOffsets   = 64 << 10  // in an idle decoder
)

var decoders = sync.Pool{New: func() any { return new(decoder) }}

func newDecoder(s *Store) *decoder {
	d := decoders.Get().(*decoder)
	d.s, d.size = s, firstChunk
	return d
}

// release gives d back.
func (d *decoder) release() {
	if d.handed {
		d.chunk = nil
	}
	clear(d.items)
	clear(d.runs)
	if cap(d.offs) > keepOffsets {
		d.offs = nil
	}
	d.s, d.c, d.chunk, d.at, d.handed, d.items, d.i = nil, nil, d.chunk[:0], 0, false, d.items[:0], 0
	decoders.Put(d)
}

// next decodes the next event of c that is wanted into r. It reports false at
// the end, and when many were not wanted.
func (d *decoder) next(ctx context.Context, c *cursor, r *eventstore.Recorded) (bool, error) {
	var f frame
	for range batchExamined {
		if ok, err := d.frame(ctx, c, &f); !ok || err != nil {
			return false, err
		}
		if f.created < c.notBefore || c.match != nil && !c.match(inPlace(f.stream), inPlace(f.typ)) {
			continue
		}
		d.handed = true
		if c.left--; c.left == 0 {
			c.ended = true
		}
		d.event(&f, r)
		return true, nil
	}
	return false, nil
}

// frame decodes the next frame of c into f. It reports false at the end.
func (d *decoder) frame(ctx context.Context, c *cursor, f *frame) (bool, error) {
	for !c.ended {
		switch {
		case d.i < len(d.items):
			d.i++
			return true, d.item(c, &d.items[d.i-1], f)
		case c.stream == "" && c.query == nil && !c.backwards && d.at < len(d.chunk):
			if ok, err := d.neighbour(c, f); ok || err != nil {
				return ok, err
			}
		default:
			if err := d.fetch(ctx, c); err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

// neighbour decodes the frame at hand in the chunk. It reports false when that
// was not one to read: the rest of the chunk is not a whole frame, or it lies
// before the first position that is wanted or behind the last.
func (d *decoder) neighbour(c *cursor, f *frame) (bool, error) {
	rest := d.chunk[d.at:]
	n, k := frameLength(rest)
	if d.at > 0 && (k == 0 || n > len(rest)-k-4) {
		d.at = len(d.chunk)
		return false, nil // copied again, from its beginning
	}
	before := c.off
	ok, err := c.step(d.c, rest, f)
	d.at += int(c.off - before)
	return ok, err
}

// step decodes the frame at the cursor's offset, which rest begins with, and
// moves behind it. It reports false when it is not one of those to read.
func (c *cursor) step(cont *content, rest []byte, f *frame) (bool, error) {
	reason := f.decode(rest, &cont.base, c.off)
	if reason == "" && f.position != c.due && (cont.header.generation == 0 || f.position < c.due) {
		reason = fmt.Sprintf("position %d where %d was due", f.position, c.due)
	}
	if reason != "" {
		return false, cont.damaged(c.off, reason)
	}
	c.off += int64(f.size)
	c.due = f.position + 1
	if f.position < c.next {
		return false, nil // on the way there
	}
	if c.ended = f.position >= c.last; f.position > c.last {
		return false, nil
	}
	c.next = c.due
	return true, nil
}

// item decodes a frame that an index has named.
func (d *decoder) item(c *cursor, it *item, f *frame) error {
	reason := f.decode(d.chunk[it.at:it.to:it.to], &it.c.base, it.off)
	switch {
	case reason != "":
	case it.version > 0 && (f.version != it.version || inPlace(f.stream) != c.stream):
		reason = fmt.Sprintf("version %d of stream %q where version %d of %q was due", f.version, f.stream, it.version, c.stream)
	case it.version == 0 && f.position != it.pos:
		reason = fmt.Sprintf("position %d where %d was due", f.position, it.pos)
	}
	if reason != "" {
		return it.c.damaged(it.off, reason)
	}
	if c.query != nil {
		return nil // fetchQuery has moved on
	}
	if it.version == 0 {
		c.next, c.ended = f.position-1, f.position == c.last
		return nil
	}
	c.ended = f.version == c.to
	if c.at = f.version + 1; c.backwards {
		c.at = f.version - 1
	}
	return nil
}

// event makes r the event in a frame. It is faster when r is the one of the
// last call.
func (d *decoder) event(f *frame, r *eventstore.Recorded) {
	r.Metadata = f.metadata()
	r.ID, r.Version, r.Position = f.id, f.version, f.position
	if r.Stream != inPlace(f.stream) { // r still holds the event before
		r.Stream = d.name(f.stream)
	}
	if r.Type != inPlace(f.typ) {
		r.Type = d.name(f.typ)
	}
	if r.ContentType != inPlace(f.contentType) {
		r.ContentType = d.name(f.contentType)
	}
	r.Created = time.Unix(0, f.created).UTC()
	r.Data = f.data[:len(f.data):len(f.data)]
}

// metadata shares memory with f. It is checked by the CRC.
func (f *frame) metadata() eventstore.Metadata { return eventstore.StoredMetadata(inPlace(f.meta)) }

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
