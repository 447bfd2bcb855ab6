package logstore

import (
	"hash/crc32"
	"math"

	"github.com/foldstream/foldstream/eventstore"
)

// A bulk writes the segments of a new store, with their index files, one after
// the other. A segment is in memory until it is whole, because the checksums
// of its frames rest on a header that says where it ends.
type bulk struct {
	*staging

	size int64 // of a segment
	head header
	buf  []byte // frames of the segment at hand
	tail *tail
	born int                 // streams that begin in it
	odd  bool                // its streams or positions have gaps
	last eventstore.Position // 0 before the first event
}

func newBulk(g *staging, size int64) *bulk {
	b := &bulk{staging: g, size: size, head: header{storeID: eventstore.NewID()}}
	b.begin(1)
	return b
}

func (b *bulk) begin(first eventstore.Position) {
	b.head.first, b.buf, b.tail, b.born, b.odd = first, append(b.buf[:0], make([]byte, headerSize)...), newTail(), 0, false
}

// put adds an event whose position is above that of the one before. begins
// says that it is the first of its stream.
func (b *bulk) put(p *place, stream string, e *eventstore.Event, begins bool) error {
	full := int64(len(b.buf))+frameLen(stream, e) > b.size || b.tail.full()
	switch far := p.position-b.head.first > math.MaxUint32; {
	case far:
		if err := b.seal(p.position); err != nil {
			return err
		}
		b.begin(p.position)
	case full && b.tail.events > 0:
		if err := b.seal(b.last + 1); err != nil {
			return err
		}
		b.begin(b.last + 1)
	}
	if b.tail.events == 0 {
		b.head.created = p.created
	}
	g := b.head.base()
	p.base, p.off = &g, int64(len(b.buf))
	b.buf = appendFrame(b.buf, p, stream, e)
	b.tail.add(b.tail.entry(stream), &frameInfo{p.off, uint32(p.position - b.head.first), p.version, e.Type, e.Metadata})
	b.last = p.position
	if begins {
		b.born++
		b.odd = b.odd || p.version > 1
	}
	return nil
}

// seal writes the segment at hand. The next one begins at a position.
func (b *bulk) seal(next eventstore.Position) error {
	b.head.last, b.head.generation = 0, 0
	if b.odd || next-b.head.first != eventstore.Position(b.tail.events) {
		b.head.last, b.head.generation = next-1, 1
	}
	g := b.head.base()
	copy(b.buf, b.head.encode())
	for off := headerSize; off < len(b.buf); {
		n, k := frameLength(b.buf[off:])
		body := b.buf[off+k+4 : off+k+4+n]
		le.PutUint32(b.buf[off+k:], crc32.Update(g.frameSeed(int64(off), n), castagnoli, body))
		off += k + 4 + n
	}
	path := segmentPath(b.dir, b.head.first)
	if err := b.write(path, b.buf); err != nil {
		return err
	}
	sum := indexSummary{last: next - 1, end: int64(len(b.buf)), events: b.tail.events, born: b.born, metas: b.tail.metas}
	return b.write(indexPath(path), encodeIndex(indexStamp{b.head.storeID, b.head.first, g.seed}, sum, b.tail))
}

// finish makes a store of what was put.
func (b *bulk) finish() error {
	if err := b.seal(b.last + 1); err != nil {
		return err
	}
	if b.head.generation > 0 { // nothing can be appended to that
		b.begin(b.last + 1)
		if err := b.seal(b.last + 1); err != nil {
			return err
		}
	}
	return b.staging.finish()
}
