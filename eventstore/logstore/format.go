package logstore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/foldstream/foldstream/eventstore"
)

// The header of a segment; docs/log-format.md specifies all of the format. All
// numbers of fixed size are little endian.
//
//	 0 magic "foldlog\n"
//	 8 format version, uint32
//	12 flags, uint32
//	16 store id
//	32 first position
//	40 base time, ns since 1970: events say how many ticks of 100 ns later they were created
//	48 last position, of a segment that was rewritten
//	56 generation, uint32: how often it was rewritten
//	60 CRC-32C of bytes 0 to 59
const (
	headerSize    = 64
	magic         = "foldlog\n"
	formatVersion = 2
	maxSegment    = 1<<32 - pageSize // offsets have 32 bits
)

// flagRewritten is the flag of a segment from which events were removed.
const flagRewritten = 1

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// A header is what the first bytes of a segment say.
type header struct {
	storeID    eventstore.ID
	first      eventstore.Position
	created    int64               // ns since 1970
	last       eventstore.Position // 0 unless generation > 0
	generation uint32
}

func (h *header) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, magic)
	le.PutUint32(b[8:], formatVersion)
	if h.generation > 0 {
		le.PutUint32(b[12:], flagRewritten)
	}
	copy(b[16:], h.storeID[:])
	le.PutUint64(b[32:], uint64(h.first))
	le.PutUint64(b[40:], uint64(h.created))
	le.PutUint64(b[48:], uint64(h.last))
	le.PutUint32(b[56:], h.generation)
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

// seed returns what the CRCs of a segment start from. (The CRC of all of the
// header would be the same for every header, because it ends in its own.)
func (h *header) seed() uint32 { return le.Uint32(h.encode()[60:]) }

// A versionError is for a file that another foldstream reads.
type versionError struct {
	file    string
	version uint32
}

func (e *versionError) Error() string {
	remedy := "use a newer foldstream"
	if e.version < formatVersion {
		remedy = "it is from before the first release; copy its events with the foldstream that wrote it"
	}
	return fmt.Sprintf("%s has format version %d, and this program reads version %d; %s", e.file, e.version, formatVersion, remedy)
}

func decodeHeader(file string, b []byte) (header, error) {
	damaged := func(reason string) error { return &eventstore.CorruptError{File: file, Reason: reason} }
	switch {
	case len(b) < headerSize:
		return header{}, damaged("shorter than a segment header")
	case string(b[:8]) != magic:
		return header{}, damaged("not the header of a segment")
	case le.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli):
		if v := le.Uint32(b[8:]); v > formatVersion && v < 1<<16 {
			return header{}, &versionError{file, v} // whose header may be another one
		}
		return header{}, damaged("the checksum of the segment header does not match")
	case le.Uint32(b[8:]) != formatVersion:
		return header{}, &versionError{file, le.Uint32(b[8:])}
	}
	h := header{
		storeID: eventstore.ID(b[16:32]), first: eventstore.Position(le.Uint64(b[32:])), created: int64(le.Uint64(b[40:])),
		last: eventstore.Position(le.Uint64(b[48:])), generation: le.Uint32(b[56:]),
	}
	rewritten, flags := h.generation > 0, uint32(0)
	if rewritten {
		flags = flagRewritten
	}
	if h.first == 0 || le.Uint32(b[12:]) != flags || rewritten != (h.last > 0) || rewritten && h.last < h.first {
		return header{}, damaged("the fields of the segment header contradict each other")
	}
	return h, nil
}
