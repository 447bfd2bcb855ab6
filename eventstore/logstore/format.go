package logstore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/foldstream/foldstream/eventstore"
)

// All numbers are little endian.
//
//	segment header, 64 bytes          frame header, 64 bytes
//	 0 magic "foldlog\n"               0 length of the frame without padding
//	 8 format version, uint32          4 CRC-32C of the frame from byte 8 on
//	12 zero                            8 position
//	16 store id                       16 version in the stream
//	32 first position                 24 event id
//	40 zero                           40 created, ns since 1970
//	60 CRC-32C of bytes 0 to 59       48 flags, uint8
//	                                  49 length of content type, uint8
//	                                  50 length of type, uint16
//	                                  52 length of stream, uint16
//	                                  54 zero
//	                                  56 length of metadata
//	                                  60 length of data
//
// Type, content type, stream, metadata and data follow the frame header, and
// zeros up to a multiple of 8. A length of zero ends a segment. The CRC starts
// from a value made of the segment and the frame's offset, so that a copy of a
// frame elsewhere, such as inside the data of an event, is never valid.
const (
	headerSize    = 64
	frameHeader   = 64
	frameAlign    = 8
	magic         = "foldlog\n"
	formatVersion = 1
)

// Flags of a frame.
const (
	flagCommit    = 1 << iota // last frame of an append
	flagSynced                // all before it was on the disk when it was written
	flagTombstone             // ends its stream
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

type header struct {
	storeID eventstore.ID
	first   eventstore.Position
}

func (h header) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, magic)
	le.PutUint32(b[8:], formatVersion)
	copy(b[16:], h.storeID[:])
	le.PutUint64(b[32:], uint64(h.first))
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

// seed returns what the CRCs of a segment start from. (The CRC of all of the
// header would be the same for every header, because it ends in its own.)
func (h header) seed() uint32 { return le.Uint32(h.encode()[60:]) }

// A newerFormatError is for a file that only a later foldstream reads.
type newerFormatError struct {
	file    string
	version uint32
}

func (e *newerFormatError) Error() string {
	return fmt.Sprintf("%s has format version %d, and this program reads version %d; use a newer foldstream", e.file, e.version, formatVersion)
}

func decodeHeader(file string, b []byte) (header, error) {
	damaged := func(reason string) error { return &eventstore.CorruptError{File: file, Reason: reason} }
	switch {
	case len(b) < headerSize:
		return header{}, damaged("shorter than a segment header")
	case string(b[:8]) != magic:
		return header{}, damaged("not the header of a segment")
	case le.Uint32(b[8:]) > formatVersion:
		return header{}, &newerFormatError{file, le.Uint32(b[8:])}
	case le.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli):
		return header{}, damaged("the checksum of the segment header does not match")
	}
	return header{eventstore.ID(b[16:32]), eventstore.Position(le.Uint64(b[32:]))}, nil
}

// A frame is the encoded form of one event, checked and without padding.
type frame []byte

func (f frame) position() eventstore.Position { return eventstore.Position(le.Uint64(f[8:])) }
func (f frame) version() eventstore.Version   { return eventstore.Version(le.Uint64(f[16:])) }
func (f frame) id() eventstore.ID             { return eventstore.ID(f[24:40]) }
func (f frame) created() int64                { return int64(le.Uint64(f[40:])) }
func (f frame) has(flag byte) bool            { return f[48]&flag != 0 }
func (f frame) size() int64                   { return roundUp(int64(len(f)), frameAlign) }

// parts returns type, content type, stream, metadata and data.
func (f frame) parts() (typ, contentType, stream, meta, data []byte) {
	a := frameHeader + int(le.Uint16(f[50:]))
	b := a + int(f[49])
	c := b + int(le.Uint16(f[52:]))
	d := c + int(le.Uint32(f[56:]))
	return f[frameHeader:a], f[a:b], f[b:c], f[c:d], f[d:]
}

// decodeFrame returns the frame at the start of b, or what is wrong with it.
func decodeFrame(b []byte, seed uint32, off int64) (frame, string) {
	if len(b) < frameHeader {
		return nil, "less than a frame is left"
	}
	n := uint64(le.Uint32(b))
	if n < frameHeader || n > uint64(len(b)) {
		return nil, "impossible length of a frame"
	}
	want := frameHeader + uint64(b[49]) + uint64(le.Uint16(b[50:])) + uint64(le.Uint16(b[52:])) +
		uint64(le.Uint32(b[56:])) + uint64(le.Uint32(b[60:]))
	if n != want {
		return nil, "the lengths in a frame disagree"
	}
	if le.Uint32(b[4:]) != crc32.Update(frameSeed(seed, off, uint32(n)), castagnoli, b[8:n]) {
		return nil, "the checksum of a frame does not match"
	}
	return b[:n:n], ""
}

func frameSeed(seed uint32, off int64, n uint32) uint32 {
	return seed ^ uint32(off>>3) ^ n*0x9E3779B1
}

// frameLen returns the bytes that e takes in a segment, padding included.
func frameLen(stream string, e *eventstore.Event) int64 {
	n := frameHeader + len(e.Type) + len(contentType(e)) + len(stream) + e.Metadata.Size() + len(e.Data)
	return roundUp(int64(n), frameAlign)
}

func contentType(e *eventstore.Event) string {
	if e.ContentType == "" {
		return eventstore.ContentTypeBinary
	}
	return e.ContentType
}

// A place is where and how an event is about to be written.
type place struct {
	position eventstore.Position
	version  eventstore.Version
	id       eventstore.ID
	created  int64
	flags    byte
	seed     uint32
	off      int64
}

// appendFrame appends the frame of e to b.
func appendFrame(b []byte, p *place, stream string, e *eventstore.Event) []byte {
	ct := contentType(e)
	var h [frameHeader]byte
	n := frameHeader + len(e.Type) + len(ct) + len(stream) + e.Metadata.Size() + len(e.Data)
	le.PutUint32(h[0:], uint32(n))
	le.PutUint64(h[8:], uint64(p.position))
	le.PutUint64(h[16:], uint64(p.version))
	copy(h[24:], p.id[:])
	le.PutUint64(h[40:], uint64(p.created))
	h[48], h[49] = p.flags, byte(len(ct))
	le.PutUint16(h[50:], uint16(len(e.Type)))
	le.PutUint16(h[52:], uint16(len(stream)))
	le.PutUint32(h[56:], uint32(e.Metadata.Size()))
	le.PutUint32(h[60:], uint32(len(e.Data)))
	at := len(b)
	b = append(b, h[:]...)
	b = append(b, e.Type...)
	b = append(b, ct...)
	b = append(b, stream...)
	b = append(b, e.Metadata.Encoded()...)
	b = append(b, e.Data...)
	sum := crc32.Update(frameSeed(p.seed, p.off, uint32(n)), castagnoli, b[at+8:])
	le.PutUint32(b[at+4:], sum)
	for len(b)%frameAlign != 0 { // b starts aligned
		b = append(b, 0)
	}
	return b
}
