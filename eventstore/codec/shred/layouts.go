package shred

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"

	"github.com/foldstream/foldstream/eventstore"
)

// Layouts are stored by these letters, so that an event is opened as it was
// sealed whatever has become of its content type.
const (
	layoutOpaque  = 'o'
	layoutJSON    = 'j'
	layoutMsgpack = 'm'
)

func layoutFor(contentType string) byte {
	switch contentType {
	case eventstore.ContentTypeJSON:
		return layoutJSON
	case eventstore.ContentTypeMsgpack:
		return layoutMsgpack
	}
	return layoutOpaque
}

func layoutOf(letter byte) (layout, bool) {
	switch letter {
	case layoutOpaque:
		return opaque{}, true
	case layoutJSON:
		return jsonLayout{}, true
	case layoutMsgpack:
		return msgpackLayout{}, true
	}
	return nil, false
}

type jsonLayout struct{}

func (jsonLayout) parts(data []byte) (kind byte, all []part) {
	dec := json.NewDecoder(bytes.NewReader(data))
	switch first, err := dec.Token(); {
	case err != nil:
		return 0, nil
	case first == json.Delim('{'):
		kind = opMap
	case first == json.Delim('['):
		kind = opArray
	default:
		return 0, nil
	}
	for dec.More() {
		var p part
		if kind == opMap {
			key, err := dec.Token()
			name, ok := key.(string)
			if err != nil || !ok {
				return 0, nil
			}
			p.key = []byte(name)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return 0, nil
		}
		p.value = value
		all = append(all, p)
	}
	if _, err := dec.Token(); err != nil {
		return 0, nil
	}
	return kind, all
}

func (jsonLayout) join(kind byte, all []part) []byte {
	ends := "[]"
	if kind == opMap {
		ends = "{}"
	}
	b := []byte{ends[0]}
	for i := range all {
		if i > 0 {
			b = append(b, ',')
		}
		if kind == opMap {
			name, _ := json.Marshal(string(all[i].key)) // a string never fails
			b = append(append(b, name...), ':')
		}
		b = append(b, all[i].value...)
	}
	return append(b, ends[1])
}

type msgpackLayout struct{}

func (msgpackLayout) parts(data []byte) (kind byte, all []part) {
	h, err := headOf(data)
	if err != nil || h.kind == 0 {
		return 0, nil
	}
	rest := data[h.size:]
	cut := func() (value []byte) {
		var n int
		if n, err = skip(rest, maxDepth); err == nil {
			value, rest = rest[:n:n], rest[n:]
		}
		return value
	}
	for i := uint64(0); i < h.count && err == nil; i++ {
		var p part
		if h.kind == opMap {
			p.key = cut()
		}
		if err == nil {
			p.value = cut()
		}
		all = append(all, p)
	}
	if err != nil || len(rest) > 0 {
		return 0, nil
	}
	return h.kind, all
}

func (msgpackLayout) join(kind byte, all []part) []byte {
	n, small, large := len(all), byte(0x80), byte(0xde)
	if kind == opArray {
		small, large = 0x90, 0xdc
	}
	var b []byte
	switch {
	case n < 16:
		b = append(b, small|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, large), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, large+1), uint32(n))
	}
	for i := range all {
		b = append(append(b, all[i].key...), all[i].value...)
	}
	return b
}

// A head is the beginning of a MessagePack value.
type head struct {
	size  int    // of the head
	body  uint64 // bytes behind it
	kind  byte   // opMap, opArray, or 0
	count uint64 // of members or elements
}

// maxDepth is how deep values may be nested.
const maxDepth = 1000

var errMsgpack = errors.New("not MessagePack")

// headOf reads a head, see https://github.com/msgpack/msgpack/blob/master/spec.md.
func headOf(b []byte) (h head, err error) {
	if len(b) == 0 {
		return h, errMsgpack
	}
	c := b[0]
	length := func(bytes int) (n uint64) { // a big-endian number behind c
		if len(b) <= bytes {
			err = errMsgpack
			return 0
		}
		for _, x := range b[1 : 1+bytes] {
			n = n<<8 | uint64(x)
		}
		h.size = 1 + bytes
		return n
	}
	h.size = 1
	switch {
	case c < 0x80 || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3: // small numbers, nil, booleans
	case c < 0x90:
		h.kind, h.count = opMap, uint64(c&0x0f)
	case c < 0xa0:
		h.kind, h.count = opArray, uint64(c&0x0f)
	case c < 0xc0:
		h.body = uint64(c & 0x1f)
	case c >= 0xc4 && c <= 0xc6: // bytes
		h.body = length(1 << (c - 0xc4))
	case c >= 0xc7 && c <= 0xc9: // extensions, which have a type
		h.body = length(1<<(c-0xc7)) + 1
	case c == 0xca || c == 0xcb: // floats
		h.body = 4 << (c - 0xca)
	case c >= 0xcc && c <= 0xcf: // unsigned
		h.body = 1 << (c - 0xcc)
	case c >= 0xd0 && c <= 0xd3: // signed
		h.body = 1 << (c - 0xd0)
	case c >= 0xd4 && c <= 0xd8: // extensions of 1 to 16 bytes
		h.body = 1<<(c-0xd4) + 1
	case c >= 0xd9 && c <= 0xdb: // strings
		h.body = length(1 << (c - 0xd9))
	case c == 0xdc || c == 0xdd:
		h.kind, h.count = opArray, length(2<<(c-0xdc))
	case c == 0xde || c == 0xdf:
		h.kind, h.count = opMap, length(2<<(c-0xde))
	default:
		return h, errMsgpack
	}
	if err == nil && h.body > uint64(len(b)-h.size) {
		err = errMsgpack
	}
	return h, err
}

// skip returns the length of the value that b begins with.
func skip(b []byte, depth int) (n int, err error) {
	h, err := headOf(b)
	if err != nil || depth == 0 {
		return 0, errMsgpack
	}
	n = h.size + int(h.body)
	if h.kind == opMap {
		h.count *= 2
	}
	for ; h.count > 0; h.count-- {
		size, err := skip(b[n:], depth-1)
		if err != nil {
			return 0, err
		}
		n += size
	}
	return n, nil
}
