package logstore

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/foldstream/foldstream/eventstore"
)

// A line is an event as [Export] writes it and [Import] reads it, in the form
// that foldstream streams read -o json has too.
type line struct {
	Position          eventstore.Position `json:"position"`
	Stream            string              `json:"stream"`
	Version           eventstore.Version  `json:"version"`
	Type              string              `json:"type"`
	ID                eventstore.ID       `json:"id"`
	Created           *time.Time          `json:"created"`
	ContentType       string              `json:"contentType"`
	ContentTypeBase64 []byte              `json:"contentTypeBase64"` // instead, when it is not UTF-8
	Metadata          json.RawMessage     `json:"metadata"`          // an object, or the binary form in base64
	Encoding          string              `json:"encoding"`          // of Data: base64, or empty
	Data              json.RawMessage     `json:"data"`
}

const base64Encoding = "base64"

// appendLine appends r as a line of JSON, with its end.
func appendLine(b []byte, r *eventstore.Recorded) []byte {
	b = strconv.AppendUint(append(b, `{"position":`...), uint64(r.Position), 10)
	b = appendQuoted(append(b, `,"stream":`...), r.Stream)
	b = strconv.AppendUint(append(b, `,"version":`...), uint64(r.Version), 10)
	b = appendQuoted(append(b, `,"type":`...), r.Type)
	b = append(b, `,"id":"`...)
	b, _ = r.ID.AppendText(b) // never fails
	b = append(b, `","created":"`...)
	b = append(r.Created.UTC().AppendFormat(b, time.RFC3339Nano), '"')
	if utf8.ValidString(r.ContentType) {
		b = appendQuoted(append(b, `,"contentType":`...), r.ContentType)
	} else {
		b = appendBase64(append(b, `,"contentTypeBase64":`...), []byte(r.ContentType))
	}
	b = appendMetadata(b, r.Metadata)
	switch {
	case len(r.Data) == 0:
	case r.ContentType == eventstore.ContentTypeJSON && fitsLine(r.Data):
		b = append(append(b, `,"data":`...), r.Data...)
	default:
		b = appendBase64(append(b, `,"encoding":"base64","data":`...), r.Data)
	}
	return append(b, "}\n"...)
}

// jsonDepth is how deep encoding/json follows brackets.
const jsonDepth = 10_000

// fitsLine reports whether data is JSON that can be a part of a line as it is
// and be cut out of it again, byte for byte.
func fitsLine(data []byte) bool {
	if c := data[0]; c <= ' ' || data[len(data)-1] <= ' ' || bytes.ContainsAny(data, "\n\r") || !utf8.Valid(data) || !json.Valid(data) {
		return false
	}
	return len(data) < 2*jsonDepth || json.Valid(bytes.Join([][]byte{{'['}, data, {']'}}, nil)) // the line around it is one level more
}

// appendMetadata appends an object of strings, or the binary form in base64
// when that would not give the same metadata again.
func appendMetadata(b []byte, m eventstore.Metadata) []byte {
	if m.Size() == 0 {
		return b
	}
	b = append(b, `,"metadata":`...)
	if enc := m.Encoded(); !utf8Pairs(m) || eventstore.MetadataFromMap(m.Map()).Encoded() != enc {
		return appendBase64(b, []byte(enc))
	}
	comma := byte('{')
	for k, v := range m.All() {
		b = appendQuoted(append(b, comma), k)
		b = appendQuoted(append(b, ':'), v)
		comma = ','
	}
	return append(b, '}')
}

func utf8Pairs(m eventstore.Metadata) bool {
	for k, v := range m.All() {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return false
		}
	}
	return true
}

// appendQuoted appends a JSON string; s is UTF-8.
func appendQuoted(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

func appendBase64(b, data []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(b, '"'), data), '"')
}

// parseLine reads a line.
func parseLine(text []byte) (line, eventstore.Event, error) {
	var l line
	if !utf8.Valid(text) {
		return l, eventstore.Event{}, errors.New("it is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields() // a misspelt name would be a lost value
	if err := dec.Decode(&l); err != nil {
		return l, eventstore.Event{}, fmt.Errorf(`not an event such as {"stream":"order-42","type":"order.placed","data":{}}: %w`, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return l, eventstore.Event{}, errors.New("there is more than one JSON object")
	}
	e, err := l.event()
	return l, e, err
}

func (l *line) event() (e eventstore.Event, err error) {
	e = eventstore.Event{ID: l.ID, Type: l.Type, ContentType: l.ContentType}
	if len(l.ContentTypeBase64) > 0 {
		e.ContentType = string(l.ContentTypeBase64)
	}
	if e.ContentType == "" {
		e.ContentType = eventstore.ContentTypeBinary
		if len(l.Data) > 0 && l.Encoding == "" {
			e.ContentType = eventstore.ContentTypeJSON
		}
	}
	if e.Metadata, err = l.metadata(); err != nil {
		return e, err
	}
	e.Data, err = l.data(e.ContentType)
	return e, err
}

// metadata reads an object of strings, keeps one of other values as it is, and
// takes a string for the binary form.
func (l *line) metadata() (eventstore.Metadata, error) {
	var m eventstore.Metadata
	switch {
	case len(l.Metadata) == 0 || string(l.Metadata) == "null":
		return m, nil
	case l.Metadata[0] == '"':
		var enc []byte
		if err := json.Unmarshal(l.Metadata, &enc); err != nil {
			return m, fmt.Errorf("metadata that is a string must be base64: %w", err)
		}
		return eventstore.ParseMetadata(string(enc))
	case l.Metadata[0] != '{':
		return m, errors.New(`metadata is not a JSON object such as {"actor":"ada"}`)
	case m.UnmarshalJSON(l.Metadata) == nil:
		return m, nil
	}
	return eventstore.NewMetadata(eventstore.KeyRaw, string(l.Metadata)), nil
}

// data returns JSON as it stands in the line, and otherwise what the string
// there says, in base64 if encoding says so.
func (l *line) data(contentType string) ([]byte, error) {
	switch {
	case l.Encoding != "" && l.Encoding != base64Encoding:
		return nil, fmt.Errorf("encoding %q is not known; leave it out or use base64", l.Encoding)
	case len(l.Data) == 0:
		return nil, nil
	case l.Encoding == base64Encoding:
		var data []byte
		if err := json.Unmarshal(l.Data, &data); err != nil {
			return nil, fmt.Errorf("data is not base64, as encoding says: %w", err)
		}
		return data, nil
	case contentType == eventstore.ContentTypeJSON:
		return l.Data, nil
	}
	var text string
	if err := json.Unmarshal(l.Data, &text); err != nil {
		return nil, fmt.Errorf(`data of content type %q must be a string, with "encoding":"base64" if it is binary`, contentType)
	}
	return []byte(text), nil
}
