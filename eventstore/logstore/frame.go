package logstore

import (
	"encoding/binary"
	"hash/crc32"

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
//	      created since the segment's base time, ns, zigzag varint
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
	created  int64 // ns since 1970

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
	first   eventstore.Position
	created int64
	seed    uint32
}

func (h *header) base() base { return base{h.first, h.created, h.seed()} }

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
	r := fieldReader{b: body, at: 17}
	f.position = g.first + eventstore.Position(r.uvarint())
	f.version = eventstore.Version(r.uvarint())
	f.created = g.created + r.varint()
	code := f.flags >> codeShift
	typ, stream, ct := r.length(), r.length(), 0
	if code == 0 {
		ct = r.length()
	}
	meta := r.length()
	f.typ, f.stream = r.bytes(typ), r.bytes(stream)
	if f.contentType = contentTypeBytes[code]; code == 0 {
		f.contentType = r.bytes(ct)
	}
	f.meta = r.bytes(meta)
	if r.bad || len(f.contentType) == 0 || f.version == 0 {
		return false
	}
	f.data = body[r.at:]
	return true
}

// A fieldReader reads the fields of a body one after the other.
type fieldReader struct {
	b   []byte
	at  int
	bad bool // something was missing
}

func (r *fieldReader) uvarint() uint64 {
	if r.at < len(r.b) && r.b[r.at] < 0x80 {
		r.at++
		return uint64(r.b[r.at-1])
	}
	v, n := binary.Uvarint(r.b[r.at:])
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.at += n
	return v
}

func (r *fieldReader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *fieldReader) length() int {
	if u := r.uvarint(); u <= uint64(len(r.b)) {
		return int(u)
	}
	r.bad = true
	return 0
}

func (r *fieldReader) bytes(n int) []byte {
	if n > len(r.b)-r.at {
		r.bad = true
		return nil
	}
	r.at += n
	return r.b[r.at-n : r.at : r.at]
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
	h = binary.AppendVarint(h, p.created-p.base.created)
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
