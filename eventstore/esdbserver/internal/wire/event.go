package wire

import (
	"encoding/binary"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/jsonmeta"
)

// arenaSize is how many bytes of frames share one allocation. Events that are
// larger than half of it have one of their own.
const (
	arenaSize   = 32 << 10
	framesAtOne = 64 // and so do so many Frames
)

// An Encoder writes events into frames. It is for one goroutine; its zero
// value is ready and writes ids in the structured form.
type Encoder struct {
	TextIDs bool // ids as text, as some clients ask for

	arena  []byte  // has room for more frames
	frames []Frame // not used yet
	event  part
	linked part
}

// A part is one of the two events of a message, measured.
type part struct {
	r        *eventstore.Recorded
	custom   []byte // metadata as JSON
	created  [20]byte
	ticks    []byte // created as decimal 100 ns ticks since 1970, in created
	revision uint64
	size     int
}

// Release lets go of memory that is kept for frames to come. A subscription
// that waits calls it.
func (e *Encoder) Release() {
	e.arena, e.frames = nil, nil
	e.event.r, e.linked.r = nil, nil
}

// Field numbers of the messages, from streams.proto and persistent.proto, which
// agree on events.
const (
	fieldEvent      = 1 // ReadResp.event and ReadEvent.event
	fieldLink       = 2 // ReadEvent
	fieldCommit     = 3
	fieldRetryCount = 5

	fieldID       = 1 // RecordedEvent
	fieldStream   = 2
	fieldRevision = 3
	fieldPrepare  = 4
	fieldCommits  = 5
	fieldMetadata = 6
	fieldCustom   = 7
	fieldData     = 8

	fieldName = 3 // StreamIdentifier.stream_name

	fieldStructured = 1 // UUID
	fieldText       = 2
	fieldMost       = 1 // UUID.Structured
	fieldLeast      = 2
)

const textIDSize = 36

// Event returns a ReadResp with an event, with the link that led to it, or with
// a link that leads nowhere. One of the two may be nil.
func (e *Encoder) Event(event, link *eventstore.Recorded) *Frame {
	return e.encode(event, link, -1)
}

// Delivery returns the ReadResp of a persistent subscription, which says
// besides how often the event was handed out before.
func (e *Encoder) Delivery(event, link *eventstore.Recorded, retries int) *Frame {
	return e.encode(event, link, max(retries, 0))
}

func (e *Encoder) encode(event, link *eventstore.Recorded, retries int) *Frame {
	original := event
	if link != nil {
		original = link
	}
	body := 0
	if event != nil {
		body += 1 + protowire.SizeBytes(e.event.measure(event, e.TextIDs))
	}
	if link != nil {
		body += 1 + protowire.SizeBytes(e.linked.measure(link, e.TextIDs))
	}
	body += 1 + protowire.SizeVarint(uint64(original.Position))
	if retries >= 0 {
		body += 1 + protowire.SizeVarint(uint64(retries))
	}
	b := e.room(1 + protowire.SizeBytes(body))
	start := len(b)
	b = appendHeader(b, fieldEvent, body)
	if event != nil {
		b = e.event.append(b, fieldEvent, e.TextIDs)
	}
	if link != nil {
		b = e.linked.append(b, fieldLink, e.TextIDs)
	}
	b = appendNumber(b, fieldCommit, uint64(original.Position))
	if retries >= 0 {
		b = appendNumber(b, fieldRetryCount, uint64(retries))
	}
	if e.arena != nil {
		e.arena = b
	}
	if len(e.frames) == 0 {
		e.frames = make([]Frame, framesAtOne)
	}
	f := &e.frames[0]
	e.frames = e.frames[1:]
	f.set(b[start:len(b):len(b)])
	return f
}

// room returns where to append a frame of size bytes: the arena, or memory of
// the frame's own.
func (e *Encoder) room(size int) []byte {
	if size > arenaSize/2 {
		e.arena = nil
		return make([]byte, 0, size)
	}
	if cap(e.arena)-len(e.arena) < size {
		e.arena = make([]byte, 0, arenaSize)
	}
	return e.arena
}

// measure prepares r for append and returns the size of its RecordedEvent.
func (p *part) measure(r *eventstore.Recorded, textIDs bool) int {
	p.r, p.revision = r, Revision(r)
	p.custom = jsonmeta.Append(p.custom[:0], r.Metadata)
	p.ticks = strconv.AppendInt(p.created[:0], r.Created.UnixNano()/100, 10)
	size := 1 + protowire.SizeBytes(idSize(r.ID, textIDs))
	size += 1 + protowire.SizeBytes(1+protowire.SizeBytes(len(r.Stream)))
	if p.revision > 0 {
		size += 1 + protowire.SizeVarint(p.revision)
	}
	size += 2 * (1 + protowire.SizeVarint(uint64(r.Position)))
	size += entrySize(keyType, len(r.Type)) + entrySize(keyCreated, len(p.ticks)) + entrySize(keyContentType, len(ContentType(r.ContentType)))
	if len(p.custom) > 0 {
		size += 1 + protowire.SizeBytes(len(p.custom))
	}
	if len(r.Data) > 0 {
		size += 1 + protowire.SizeBytes(len(r.Data))
	}
	p.size = size
	return size
}

// append writes what was measured as field number num.
func (p *part) append(b []byte, num protowire.Number, textIDs bool) []byte {
	r := p.r
	b = appendHeader(b, num, p.size)
	b = appendID(b, r.ID, textIDs)
	b = appendHeader(b, fieldStream, 1+protowire.SizeBytes(len(r.Stream)))
	b = appendText(b, fieldName, r.Stream)
	if p.revision > 0 {
		b = appendNumber(b, fieldRevision, p.revision)
	}
	b = appendNumber(b, fieldPrepare, uint64(r.Position))
	b = appendNumber(b, fieldCommits, uint64(r.Position))
	b = appendEntry(b, keyType, r.Type)
	b = appendEntry(b, keyCreated, p.ticks)
	b = appendEntry(b, keyContentType, ContentType(r.ContentType))
	if len(p.custom) > 0 {
		b = appendText(b, fieldCustom, p.custom)
	}
	if len(r.Data) > 0 {
		b = appendText(b, fieldData, r.Data)
	}
	return b
}

func halves(id eventstore.ID) (most, least uint64) {
	return binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
}

func idSize(id eventstore.ID, text bool) int {
	if text {
		return 1 + protowire.SizeBytes(textIDSize)
	}
	most, least := halves(id)
	return 1 + protowire.SizeBytes(numberSize(most)+numberSize(least))
}

func appendID(b []byte, id eventstore.ID, text bool) []byte {
	b = appendHeader(b, fieldID, idSize(id, text))
	if text {
		b = appendHeader(b, fieldText, textIDSize)
		b, _ = id.AppendText(b) // never fails
		return b
	}
	most, least := halves(id)
	b = appendHeader(b, fieldStructured, numberSize(most)+numberSize(least))
	if most != 0 {
		b = appendNumber(b, fieldMost, most)
	}
	if least != 0 {
		b = appendNumber(b, fieldLeast, least)
	}
	return b
}

// numberSize is the size of a field whose zero is left out.
func numberSize(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

// Entries of the metadata map have known keys, so they are written from what is
// the same in all of them.
const (
	keyType        = "\x0a\x04type\x12"
	keyCreated     = "\x0a\x07created\x12"
	keyContentType = "\x0a\x0ccontent-type\x12"
)

func entrySize(key string, value int) int {
	return 1 + protowire.SizeBytes(len(key)+protowire.SizeBytes(value))
}

func appendEntry[T string | []byte](b []byte, key string, value T) []byte {
	b = appendHeader(b, fieldMetadata, len(key)+protowire.SizeBytes(len(value)))
	b = append(b, key...)
	return append(appendVarint(b, uint64(len(value))), value...)
}

// appendHeader writes the tag of a field below 16, and the size of its bytes.
func appendHeader(b []byte, num protowire.Number, size int) []byte {
	return appendVarint(append(b, byte(num)<<3|byte(protowire.BytesType)), uint64(size))
}

func appendText[T string | []byte](b []byte, num protowire.Number, v T) []byte {
	return append(appendHeader(b, num, len(v)), v...)
}

func appendNumber(b []byte, num protowire.Number, v uint64) []byte {
	return appendVarint(append(b, byte(num)<<3|byte(protowire.VarintType)), v)
}

// appendVarint is short for short numbers, which most are.
func appendVarint(b []byte, v uint64) []byte {
	if v < 1<<7 {
		return append(b, byte(v))
	}
	if v < 1<<14 {
		return append(b, byte(v)|0x80, byte(v>>7))
	}
	return protowire.AppendVarint(b, v)
}
