// Package jsonmeta is the form that event metadata has on EventStoreDB: a JSON
// object. What others write there need not be one, or not one of strings; it is
// then kept as it was given under [eventstore.KeyRaw], so that nothing is lost
// on the way through a store of ours.
package jsonmeta

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"unicode/utf8"

	"github.com/foldstream/foldstream/eventstore"
)

// Encode returns m as a JSON object of strings in the order of its keys, or
// what [eventstore.KeyRaw] holds. Metadata without pairs is no bytes at all.
func Encode(m eventstore.Metadata) []byte {
	if m.Size() == 0 {
		return nil
	}
	return Append(nil, m)
}

// Append appends what [Encode] returns to b.
func Append(b []byte, m eventstore.Metadata) []byte {
	if m.Size() == 0 {
		return b
	}
	start := len(b)
	b = append(b, '{')
	for k, v := range m.All() {
		if k == eventstore.KeyRaw {
			return append(b[:start], v...)
		}
		if len(b) > start+1 {
			b = append(b, ',')
		}
		b = appendString(b, k)
		b = append(b, ':')
		b = appendString(b, v)
	}
	return append(b, '}')
}

// appendString writes s as JSON. encoding/json does what is not plain ASCII;
// a value that is not UTF-8 loses the offending bytes there, as JSON must.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if !plain(s[i]) {
			quoted, _ := json.Marshal(s) // a string always encodes
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// plain reports whether encoding/json writes c as it is.
func plain(c byte) bool {
	return c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
}

// Decode returns the string values of a JSON object as pairs, other values as
// their JSON text. Unless [Encode] gives data back byte by byte from those
// pairs, data is kept under [eventstore.KeyRaw] as well: Encode(Decode(data))
// is data, whatever data is.
func Decode(data []byte) eventstore.Metadata {
	if len(data) == 0 {
		return eventstore.Metadata{}
	}
	if m, ok := decodePlain(data); ok {
		return m
	}
	var values map[string]json.RawMessage
	if json.Unmarshal(data, &values) != nil {
		return eventstore.NewMetadata(eventstore.KeyRaw, string(data))
	}
	pairs := make(map[string]string, len(values)+1)
	for k, v := range values {
		var s string
		if json.Unmarshal(v, &s) != nil || v[0] != '"' {
			s = string(v)
		}
		pairs[k] = s
	}
	delete(pairs, eventstore.KeyRaw) // or Encode would take it for the whole
	m := eventstore.MetadataFromMap(pairs)
	if string(Encode(m)) != string(data) {
		m = m.With(eventstore.KeyRaw, string(data))
	}
	return m
}

// decodePlain reads what [Encode] writes for pairs of plain strings, which is
// nearly all there is, without encoding/json.
func decodePlain(data []byte) (eventstore.Metadata, bool) {
	if data[0] != '{' || data[len(data)-1] != '}' {
		return eventstore.Metadata{}, false
	}
	var room [512]byte
	enc, rest := room[:0], data[1:]
	for last := []byte(nil); ; {
		k, after, ok := cutString(rest, ':')
		if !ok {
			return eventstore.Metadata{}, false
		}
		more := true
		v, next, ok := cutString(after, ',')
		if !ok {
			more = false
			if v, next, ok = cutString(after, '}'); !ok {
				return eventstore.Metadata{}, false
			}
		}
		if last != nil && bytes.Compare(k, last) <= 0 || string(k) == eventstore.KeyRaw {
			return eventstore.Metadata{}, false // not as Encode orders them
		}
		enc = append(binary.AppendUvarint(enc, uint64(len(k))), k...)
		enc = append(binary.AppendUvarint(enc, uint64(len(v))), v...)
		if !more {
			m, err := eventstore.ParseMetadata(string(enc))
			return m, err == nil && len(next) == 0
		}
		last, rest = k, next
	}
}

// cutString takes a plain string and the byte that must follow it from data.
func cutString(data []byte, then byte) (s, rest []byte, ok bool) {
	if len(data) < 3 || data[0] != '"' {
		return nil, nil, false
	}
	for i := 1; i+1 < len(data); i++ {
		if data[i] == '"' {
			return data[1:i], data[i+2:], data[i+1] == then
		}
		if !plain(data[i]) {
			return nil, nil, false
		}
	}
	return nil, nil, false
}
