package eventstore

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Metadata keys with a meaning to foldstream. The two that start with a dollar
// sign are EventStoreDB's own names.
const (
	KeyCorrelationID = "$correlationId" // what the whole conversation is about
	KeyCausationID   = "$causationId"   // the message that caused this one
	KeyCommandID     = "command_id"     // the command that decided the event
	KeySchemaVersion = "schema_version" // of the event's type, when above 1
	KeyContentType   = "content_type"   // of the data, on stores that keep no other than JSON and octet-stream
	KeySealed        = "sealed"         // personal data, encrypted; see package shred
	KeyTraceParent   = "traceparent"    // W3C trace context
	KeyTraceState    = "tracestate"
	KeyTenant        = "tenant"
	KeyActor         = "actor" // who asked for it
	KeyTags          = "tags"  // what the event is about, see [Metadata.WithTags]

	// KeyRaw holds metadata that another system wrote through EventStoreDB's
	// protocol and that is not an object of strings, as it was given. The pairs
	// beside it were read from it; they do not count when it goes back there.
	KeyRaw = "$raw"
)

// Metadata maps strings to strings. It is an immutable value: the zero value
// is empty, and every change returns a new one, so that events can share it.
// Get is a scan, which is fastest for the handful of keys that events have.
type Metadata struct{ enc string } // pairs in key order, each string with a uvarint length before it

// NewMetadata returns metadata of the given key and value pairs; of a key that
// is given twice the last value counts. It panics if pairs has odd length.
func NewMetadata(pairs ...string) Metadata {
	if len(pairs)%2 != 0 {
		panic(fmt.Sprintf("eventstore: NewMetadata wants pairs of key and value, got %d strings", len(pairs)))
	}
	if len(pairs) == 2 {
		return Metadata{string(appendPair(nil, pairs[0], pairs[1]))}
	}
	m := make(map[string]string, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return MetadataFromMap(m)
}

// MetadataFromMap returns metadata with the keys and values of m.
func MetadataFromMap(m map[string]string) Metadata {
	if len(m) == 0 {
		return Metadata{}
	}
	var b []byte
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b = appendPair(b, k, m[k])
	}
	return Metadata{string(b)}
}

// ParseMetadata returns the metadata whose encoded form, see
// [Metadata.Encoded], is enc. It keeps enc.
func ParseMetadata(enc string) (Metadata, error) {
	for rest := enc; rest != ""; {
		var ok bool
		if _, _, rest, ok = cutPair(rest); !ok {
			return Metadata{}, errors.New("eventstore: metadata is not a list of length-prefixed pairs")
		}
	}
	return Metadata{enc}, nil
}

// StoredMetadata is [ParseMetadata] without a check, for stores that know that
// enc is what [Metadata.Encoded] once returned. Of anything else the pairs are
// seen up to the first that is not whole.
func StoredMetadata(enc string) Metadata { return Metadata{enc} }

// Encoded returns the binary form that stores keep and [ParseMetadata] reads.
func (m Metadata) Encoded() string { return m.enc }

// Get returns the value of key, or "" when there is none.
func (m Metadata) Get(key string) string {
	v, _ := m.Lookup(key)
	return v
}

// Lookup returns the value of key and whether there is one.
func (m Metadata) Lookup(key string) (string, bool) {
	for rest := m.enc; rest != ""; {
		k, v, next, ok := cutPair(rest)
		if !ok {
			break
		}
		if k == key {
			return v, true
		}
		rest = next
	}
	return "", false
}

// All yields keys and values in the order of the keys.
func (m Metadata) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for rest := m.enc; rest != ""; {
			k, v, next, ok := cutPair(rest)
			if !ok || !yield(k, v) {
				return
			}
			rest = next
		}
	}
}

// With returns m with key set to value.
func (m Metadata) With(key, value string) Metadata {
	b := make([]byte, 0, len(m.enc)+len(key)+len(value)+4)
	placed := false
	for k, v := range m.All() {
		if !placed && key <= k {
			b, placed = appendPair(b, key, value), true
		}
		if k != key {
			b = appendPair(b, k, v)
		}
	}
	if !placed {
		b = appendPair(b, key, value)
	}
	return Metadata{string(b)}
}

// Without returns m without key.
func (m Metadata) Without(key string) Metadata {
	if _, ok := m.Lookup(key); !ok {
		return m
	}
	b := make([]byte, 0, len(m.enc))
	for k, v := range m.All() {
		if k != key {
			b = appendPair(b, k, v)
		}
	}
	return Metadata{string(b)}
}

// Merge returns m with the pairs of other added; where both have a key, the
// value of other counts.
func (m Metadata) Merge(other Metadata) Metadata {
	if m.enc == "" {
		return other
	}
	for k, v := range other.All() {
		m = m.With(k, v)
	}
	return m
}

// Map returns the pairs as a new map.
func (m Metadata) Map() map[string]string { return maps.Collect(m.All()) }

// Len returns the number of keys.
func (m Metadata) Len() int {
	n := 0
	for range m.All() {
		n++
	}
	return n
}

// Size returns the encoded size in bytes.
func (m Metadata) Size() int { return len(m.enc) }

// Clone returns a copy that shares no memory with m.
func (m Metadata) Clone() Metadata { return Metadata{strings.Clone(m.enc)} }

// MarshalJSON writes a JSON object of strings.
func (m Metadata) MarshalJSON() ([]byte, error) { return json.Marshal(m.Map()) }

// UnmarshalJSON reads a JSON object of strings.
func (m *Metadata) UnmarshalJSON(data []byte) error {
	var pairs map[string]string
	if err := json.Unmarshal(data, &pairs); err != nil {
		return fmt.Errorf("eventstore: metadata wants an object of strings: %w", err)
	}
	*m = MetadataFromMap(pairs)
	return nil
}

func appendPair(b []byte, k, v string) []byte { return appendString(appendString(b, k), v) }

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func cutPair(s string) (k, v, rest string, ok bool) {
	if k, rest, ok = cutString(s); ok {
		v, rest, ok = cutString(rest)
	}
	return k, v, rest, ok
}

func cutString(s string) (head, rest string, ok bool) {
	var n uint64
	for i := 0; i < len(s) && i < binary.MaxVarintLen64; i++ {
		n |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			if s = s[i+1:]; n > uint64(len(s)) {
				return "", "", false
			}
			return s[:n], s[n:], true
		}
	}
	return "", "", false
}
