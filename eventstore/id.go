package eventstore

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// An ID is a UUID (RFC 9562) in network byte order. The zero ID is no ID.
type ID [16]byte

// NewID returns a random UUID, version 4.
func NewID() ID {
	var id ID
	_, _ = rand.Read(id[:]) // never fails, see crypto/rand
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// DeriveID returns a UUID, version 8, that depends on the parts and on nothing
// else. Different lists of parts give different ids.
func DeriveID(parts ...string) ID {
	var buf [128]byte
	b := buf[:0]
	for _, p := range parts {
		b = append(b, byte(len(p)>>24), byte(len(p)>>16), byte(len(p)>>8), byte(len(p)))
		b = append(b, p...)
	}
	sum := sha256.Sum256(b)
	id := ID(sum[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// ParseID reads the usual 36 character form of a UUID.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, fmt.Errorf("eventstore: %q is not a UUID such as 6ba7b810-9dad-41d1-80b4-00c04fd430c8", s)
	}
	digits := s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36]
	if _, err := hex.Decode(id[:], []byte(digits)); err != nil {
		return ID{}, fmt.Errorf("eventstore: %q is not a UUID: %w", s, err)
	}
	return id, nil
}

// IsZero reports whether id is the zero ID.
func (id ID) IsZero() bool { return id == ID{} }

// String returns the 36 character form.
func (id ID) String() string {
	b := id.text()
	return string(b[:])
}

// AppendText appends the 36 character form to b.
func (id ID) AppendText(b []byte) ([]byte, error) {
	t := id.text()
	return append(b, t[:]...), nil
}

func (id ID) text() (b [36]byte) {
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return b
}

// MarshalText implements [encoding.TextMarshaler].
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err == nil {
		*id = parsed
	}
	return err
}
