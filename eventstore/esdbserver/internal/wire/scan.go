package wire

import (
	"bytes"
	"unicode/utf8"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/foldstream/foldstream/eventstore"
)

// A scan goes over the fields of a message that official clients write. What
// they never write makes it fail, and is for the generated code.
type scan struct {
	rest     []byte
	repeated protowire.Number // the one field that may come more than once

	tag    byte
	number uint64 // of a field with a number
	bytes  []byte // of a field with bytes, not copied
	seen   uint16 // fields, by number
	failed bool
}

// tag is the first byte of a field below 16.
func tag(num protowire.Number, typ protowire.Type) byte { return byte(num)<<3 | byte(typ) }

const (
	number = protowire.VarintType
	text   = protowire.BytesType
)

// next takes a field, and reports false at the end.
func (s *scan) next() bool {
	if len(s.rest) == 0 || s.failed {
		return false
	}
	n := -1
	s.tag = s.rest[0]
	switch protowire.Type(s.tag & 7) {
	case number:
		s.number, n = protowire.ConsumeVarint(s.rest[1:])
	case text:
		s.bytes, n = protowire.ConsumeBytes(s.rest[1:])
	}
	num := s.tag >> 3
	if n < 0 || num == 0 || num > 15 || s.seen&(1<<num) != 0 {
		s.failed = true
		return false
	}
	if protowire.Number(num) != s.repeated {
		s.seen |= 1 << num
	}
	s.rest = s.rest[1+n:]
	return true
}

// fail makes the scan fail unless ok.
func (s *scan) fail(ok bool) {
	if !ok {
		s.failed = true
	}
}

// empty makes the scan fail unless the field is an empty message.
func (s *scan) empty() { s.fail(len(s.bytes) == 0) }

// known are texts that come with every event.
const (
	metaType        = "type"
	metaContentType = "content-type"
)

// text returns the field as a text, without copying one that is known.
func (s *scan) text() string {
	switch string(s.bytes) {
	case metaType:
		return metaType
	case metaContentType:
		return metaContentType
	case eventstore.ContentTypeJSON:
		return eventstore.ContentTypeJSON
	case eventstore.ContentTypeBinary:
		return eventstore.ContentTypeBinary
	}
	s.fail(utf8.Valid(s.bytes))
	return string(s.bytes)
}

// entry reads an entry of a map of texts.
func (s *scan) entry() (key, value string) {
	e := scan{rest: s.bytes}
	for e.next() {
		switch e.tag {
		case tag(1, text):
			key = e.text()
		case tag(2, text):
			value = e.text()
		default:
			e.fail(false)
		}
	}
	s.fail(!e.failed)
	return key, value
}

func (s *scan) stream(id *shared.StreamIdentifier) *shared.StreamIdentifier {
	f := scan{rest: s.bytes}
	for f.next() {
		f.fail(f.tag == tag(fieldName, text))
		id.StreamName = bytes.Clone(f.bytes)
	}
	s.fail(!f.failed)
	return id
}

// A uuid is an id with all that it consists of.
type uuid struct {
	id         shared.UUID
	option     shared.UUID_Structured_
	structured shared.UUID_Structured
}

func (s *scan) id(into *uuid) *shared.UUID {
	f := scan{rest: s.bytes}
	for f.next() {
		f.fail(into.id.Value == nil)
		switch f.tag {
		case tag(fieldStructured, text):
			f.halves(&into.structured)
			into.option.Structured = &into.structured
			into.id.Value = &into.option
		case tag(fieldText, text):
			into.id.Value = &shared.UUID_String_{String_: f.text()}
		default:
			f.fail(false)
		}
	}
	s.fail(!f.failed)
	return &into.id
}

func (s *scan) halves(into *shared.UUID_Structured) {
	f := scan{rest: s.bytes}
	for f.next() {
		switch f.tag {
		case tag(fieldMost, number):
			into.MostSignificantBits = int64(f.number)
		case tag(fieldLeast, number):
			into.LeastSignificantBits = int64(f.number)
		default:
			f.fail(false)
		}
	}
	s.fail(!f.failed)
}
