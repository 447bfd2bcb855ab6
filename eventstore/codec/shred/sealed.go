package shred

import (
	"encoding/base64"

	"github.com/foldstream/foldstream/eventstore"
)

// What is sealed of an event is in its metadata, as base64, which every store
// keeps. It begins with a version, the letter of a layout and a mode.
//
// In mode 'f', of fields, a section follows for each subject: the subject and
// a ciphertext, both with their length before them as a uvarint, and between
// them the 8 bytes of the key's id. The ciphertext is a [patch] of the data.
//
// In mode 'w', of a whole event, the content type and what is read once the
// event is erased follow, with their lengths, and then one section without a
// ciphertext, because that is the event's data.
type sealed struct {
	layout   byte
	whole    bool
	content  string // of a whole event
	blank    []byte // of a whole event
	sections []section
}

type section struct {
	subject string
	id      KeyID
	cipher  []byte
}

const (
	sealedVersion = 1
	modeFields    = 'f'
	modeWhole     = 'w'
)

// prefix appends what comes before the sections.
func (s *sealed) prefix(b []byte) []byte {
	b = append(b, sealedVersion, s.layout)
	if !s.whole {
		return append(b, modeFields)
	}
	return appendBytes(appendBytes(append(b, modeWhole), s.content), s.blank)
}

func (s *sealed) encode() string {
	b := s.prefix(nil)
	for i := range s.sections {
		c := &s.sections[i]
		b = append(appendBytes(b, c.subject), c.id[:]...)
		if !s.whole {
			b = appendBytes(b, c.cipher)
		}
	}
	return base64.RawStdEncoding.EncodeToString(b)
}

// bound returns what a ciphertext is bound to: the type under which the event
// is stored, the subject, the key, and everything before the sections. It can
// be opened nowhere else.
func (s *sealed) bound(typ string, c *section) []byte {
	b := appendBytes([]byte("foldstream sealed\x00"), typ)
	b = append(appendBytes(b, c.subject), c.id[:]...)
	return s.prefix(b)
}

// sealedIn returns what is sealed of an event with some metadata, and nil if
// nothing is.
func sealedIn(m eventstore.Metadata) (*sealed, error) {
	text, ok := m.Lookup(eventstore.KeySealed)
	if !ok {
		return nil, nil
	}
	return parseSealed(text)
}

func parseSealed(text string) (*sealed, error) {
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(b) < 3 || b[0] != sealedVersion {
		return nil, errPatch
	}
	s := &sealed{layout: b[1], whole: b[2] == modeWhole}
	if _, ok := layoutOf(s.layout); !ok || !s.whole && b[2] != modeFields {
		return nil, errPatch
	}
	if b = b[3:]; s.whole {
		var content []byte
		if content, b, err = cutBytes(b); err != nil {
			return nil, err
		}
		s.content = string(content)
		if s.blank, b, err = cutBytes(b); err != nil {
			return nil, err
		}
	}
	for len(b) > 0 {
		var c section
		if b, err = c.parse(b, s.whole); err != nil {
			return nil, err
		}
		s.sections = append(s.sections, c)
	}
	if s.whole && len(s.sections) != 1 {
		return nil, errPatch
	}
	return s, nil
}

func (c *section) parse(b []byte, whole bool) (rest []byte, err error) {
	subject, rest, err := cutBytes(b)
	if err != nil || len(rest) < len(c.id) {
		return nil, errPatch
	}
	c.subject = string(subject)
	c.id, rest = KeyID(rest[:len(c.id)]), rest[len(c.id):]
	if !whole {
		c.cipher, rest, err = cutBytes(rest)
	}
	return rest, err
}

// Subjects returns whose personal data an event with this metadata was written
// with, erased or not. It needs no keys. What it returns for an event that was
// tampered with is not to be trusted.
func Subjects(m eventstore.Metadata) []string {
	s, err := sealedIn(m)
	if s == nil || err != nil {
		return nil
	}
	var all []string
	for i := range s.sections {
		all = append(all, s.sections[i].subject)
	}
	return all
}
