package logstore

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"

	"github.com/foldstream/foldstream/eventstore"
)

// A frame is the encoded form of one event:
//
//	length of the body, uvarint
//	CRC-32C of the body
//	body: flags and content type, 1 byte
//	      event id, 16 bytes
//	      position since the segment's first, uvarint
//	      version in the stream, uvarint
//	      created since the segment's base time, in 100 ns, zigzag varint
//	      lengths of type, stream, content type (unless it has a code) and metadata, uvarints
//	      type, stream, content type, metadata, and the data is the rest
//
// A zero byte instead of a length ends a segment. The CRC starts from a value
// made of the segment and the frame's offset, so that a copy of a frame
// elsewhere, such as inside the data of an event, is never valid.
type frame struct {
	size     int // of all of it
	flags    byte
	id       eventstore.ID
	position eventstore.Position
	version  eventstore.Version
	created  int64 // ns since 1970, whole ticks

	// These share memory with what was decoded.
	typ, stream, contentType, meta, data []byte
}

// Flags of a frame, beside the code of its content type in the upper half.
const (
	flagCommit    = 1 << iota // last frame of an append
	flagSynced                // all before it was on the disk when it was written
	flagTombstone             // ends its stream

	codeShift = 4
)

const (
	minBody       = 1 + 16 + 3 + 3          // flags, id, three numbers, three lengths
	maxFrameFixed = 5 + 4 + 17 + 3*10 + 4*5 // bytes of a frame besides names, metadata and data, at most
)

// contentTypes are those that a frame says by a code: its index here.
var contentTypes = [16]string{1: eventstore.ContentTypeBinary, 2: eventstore.ContentTypeJSON, 3: eventstore.ContentTypeMsgpack, 4: "application/protobuf"}

// contentTypeBytes are contentTypes for decoding.
var contentTypeBytes = func() (b [16][]byte) {
	for i, ct := range contentTypes {
		b[i] = []byte(ct)
	}
	return b
}()

func contentTypeCode(ct string) byte {
	switch ct {
	case "", eventstore.ContentTypeBinary:
		return 1
	case eventstore.ContentTypeJSON:
		return 2
	case eventstore.ContentTypeMsgpack:
		return 3
	case contentTypes[4]:
		return 4
	}
	return 0
}

func (f *frame) has(flag byte) bool { return f.flags&flag != 0 }

// A base is what the frames of a segment refer to.
type base struct {
	first eventstore.Position
	ticks int64 // of the base time
	seed  uint32
}

func (h *header) base() base { return base{h.first, ticks(h.created), h.seed()} }

// tick is how exact the time of an event is, in ns, as in EventStoreDB.
const tick = 100

// ticks returns the whole ticks until a time, which is in ns since 1970.
func ticks(ns int64) int64 { return (ns - (ns%tick+tick)%tick) / tick }

func (b *base) frameSeed(off int64, n int) uint32 {
	return b.seed ^ uint32(off) ^ uint32(n)*0x9E3779B1
}

// decode makes f the frame at the start of b, which lies at off in its
// segment, or returns what is wrong with it.
func (f *frame) decode(b []byte, g *base, off int64) (reason string) {
	n, k := frameLength(b)
	if k == 0 || n < minBody {
		return "impossible length of a frame"
	}
	if n > len(b)-k-4 {
		return "less than a frame is left"
	}
	body := b[k+4 : k+4+n : k+4+n]
	if le.Uint32(b[k:]) != crc32.Update(g.frameSeed(off, n), castagnoli, body) {
		return "the checksum of a frame does not match"
	}
	f.size = k + 4 + n
	if !f.parse(body, g) {
		return "the fields of a frame contradict each other"
	}
	return ""
}

// frameLength returns the length of the body of the frame at the start of b,
// and how many bytes say so; 0, 0 when they do not.
func frameLength(b []byte) (n, k int) {
	if len(b) > 1 && b[0] >= 0x80 && b[1]-1 < 0x7f { // most frames have from 128 to 16383 bytes
		return int(b[0]&0x7f) | int(b[1])<<7, 2
	}
	u, k := binary.Uvarint(b)
	if k <= 0 || u > maxSegment {
		return 0, 0
	}
	return int(u), k
}

func (f *frame) parse(body []byte, g *base) bool {
	f.flags = body[0]
	f.id = eventstore.ID(body[1:17])
	position, at := uvarint(body, 17)
	version, at := uvarint(body, at)
	created, at := uvarint(body, at)
	var typ, stream, ct, meta uint64
	code := f.flags >> codeShift
	if code != 0 && at+3 < len(body) && body[at]|body[at+1] < 0x80 { // as most frames are
		typ, stream = uint64(body[at]), uint64(body[at+1])
		if at += 2; body[at] < 0x80 {
			meta, at = uint64(body[at]), at+1
		} else {
			meta, at = uvarint(body, at)
		}
	} else {
		typ, at = uvarint(body, at)
		stream, at = uvarint(body, at)
		if code == 0 {
			ct, at = uvarint(body, at)
		}
		meta, at = uvarint(body, at)
	}
	n := uint64(len(body) - at)
	if at > len(body) || typ > n || stream > n || ct > n || meta > n || typ+stream+ct+meta > n {
		return false
	}
	rest := body[at:]
	f.position = g.first + eventstore.Position(position)
	f.version = eventstore.Version(version)
	f.created = (g.ticks + (int64(created>>1) ^ -int64(created&1))) * tick
	stream += typ
	ct += stream
	meta += ct
	f.typ, f.stream, f.meta, f.data = rest[:typ:typ], rest[typ:stream:stream], rest[ct:meta:meta], rest[meta:]
	if f.contentType = contentTypeBytes[code]; code == 0 {
		f.contentType = rest[stream:ct:ct]
	}
	return version > 0 && len(f.contentType) > 0
}

// uvarint returns the number at an offset and the offset behind it, which lies
// behind the end of b when there is no whole number.
func uvarint(b []byte, at int) (uint64, int) {
	if at+8 > len(b) {
		return slowUvarint(b, at)
	}
	x := le.Uint64(b[at:])
	if x&0x80 == 0 {
		return x & 0x7f, at + 1
	}
	more := ^x & 0x8080808080808080 // the bytes that end a number
	if more == 0 {
		return slowUvarint(b, at)
	}
	x &= more ^ (more - 1) // up to the first of them
	x &= 0x7f7f7f7f7f7f7f7f
	x = x&0x007f007f007f007f | x&0x7f007f007f007f00>>1
	x = x&0x00003fff00003fff | x&0x3fff00003fff0000>>2
	x = x&0x000000000fffffff | x&0x0fffffff00000000>>4
	return x, at + bits.TrailingZeros64(more)/8 + 1
}

func slowUvarint(b []byte, at int) (uint64, int) {
	if at >= len(b) {
		return 0, len(b) + 1
	}
	v, n := binary.Uvarint(b[at:])
	if n <= 0 {
		return 0, len(b) + 1
	}
	return v, at + n
}

// A place is where and how an event is about to be written.
type place struct {
	base     *base
	off      int64
	position eventstore.Position
	version  eventstore.Version
	id       eventstore.ID
	created  int64
	flags    byte
}

// appendFrame appends the frame of e to b.
func appendFrame(b []byte, p *place, stream string, e *eventstore.Event) []byte {
	var fields [maxFrameFixed]byte
	code := contentTypeCode(e.ContentType)
	fields[0] = p.flags | code<<codeShift
	copy(fields[1:], p.id[:])
	h := binary.AppendUvarint(fields[:17], uint64(p.position-p.base.first))
	h = binary.AppendUvarint(h, uint64(p.version))
	h = binary.AppendVarint(h, ticks(p.created)-p.base.ticks)
	h = binary.AppendUvarint(h, uint64(len(e.Type)))
	h = binary.AppendUvarint(h, uint64(len(stream)))
	n := len(e.Type) + len(stream) + e.Metadata.Size() + len(e.Data)
	if code == 0 {
		h = binary.AppendUvarint(h, uint64(len(e.ContentType)))
		n += len(e.ContentType)
	}
	h = binary.AppendUvarint(h, uint64(e.Metadata.Size()))
	n += len(h)

	b = binary.AppendUvarint(b, uint64(n))
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	b = append(b, h...)
	b = append(b, e.Type...)
	b = append(b, stream...)
	if code == 0 {
		b = append(b, e.ContentType...)
	}
	b = append(b, e.Metadata.Encoded()...)
	b = append(b, e.Data...)
	le.PutUint32(b[at:], crc32.Update(p.base.frameSeed(p.off, n), castagnoli, b[at+4:]))
	return b
}

// frameLen returns how many bytes e takes in a segment at most.
func frameLen(stream string, e *eventstore.Event) int64 {
	return int64(maxFrameFixed + len(e.Type) + len(e.ContentType) + len(stream) + e.Metadata.Size() + len(e.Data))
}
