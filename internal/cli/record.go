package cli

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/foldstream/foldstream/eventstore"
)

// A record is an event as a line of JSON, as read and tail write it and append
// --lines takes it.
type record struct {
	Stream      string              `json:"stream,omitempty"`
	Version     eventstore.Version  `json:"version,omitempty"`
	Position    eventstore.Position `json:"position,omitempty"`
	Type        string              `json:"type"`
	ID          eventstore.ID       `json:"id,omitzero"`
	Created     time.Time           `json:"created,omitzero"`
	ContentType string              `json:"contentType,omitempty"`
	Data        json.RawMessage     `json:"data,omitempty"`     // JSON, else a string
	Encoding    string              `json:"encoding,omitempty"` // of Data: base64, or empty
	Metadata    json.RawMessage     `json:"metadata,omitempty"`
}

const base64Encoding = "base64"

// recordOf returns the form of an event. Data that is JSON is there as JSON,
// other data in base64.
func recordOf(r *eventstore.Recorded) record {
	out := record{
		Stream: r.Stream, Version: r.Version, Position: r.Position,
		Type: r.Type, ID: r.ID, Created: r.Created.UTC(), ContentType: r.ContentType, Metadata: metadataJSON(r.Metadata),
	}
	switch {
	case len(r.Data) == 0:
	case isJSON(r):
		out.Data = r.Data
	default:
		out.Encoding = base64Encoding
		out.Data = fmt.Appendf(nil, "%q", base64.StdEncoding.EncodeToString(r.Data))
	}
	return out
}

func isJSON(r *eventstore.Recorded) bool {
	return r.ContentType == eventstore.ContentTypeJSON && validJSON(r.Data)
}

func validJSON(b []byte) bool { return utf8.Valid(b) && json.Valid(b) }

// metadataJSON returns metadata as it was given, if it can be shown so.
func metadataJSON(m eventstore.Metadata) json.RawMessage {
	if m.Size() == 0 {
		return nil
	}
	if raw, ok := m.Lookup(eventstore.KeyRaw); ok && validJSON([]byte(raw)) {
		return json.RawMessage(raw)
	}
	text, _ := m.MarshalJSON() // strings always encode
	return text
}

// parseMetadata reads a JSON object. One that is not of strings is kept as it is.
func parseMetadata(text []byte) (eventstore.Metadata, error) {
	var m eventstore.Metadata
	var object map[string]json.RawMessage
	switch {
	case len(text) == 0 || string(text) == "null":
		return m, nil
	case json.Unmarshal(text, &object) != nil || !utf8.Valid(text):
		return m, fmt.Errorf("metadata %s is not a JSON object such as {\"actor\":\"ada\"}", shown(string(text), 60))
	case m.UnmarshalJSON(text) == nil:
		return m, nil
	}
	return eventstore.NewMetadata(eventstore.KeyRaw, string(text)), nil
}

// event returns what is to be appended.
func (r *record) event() (eventstore.Event, error) {
	e := eventstore.Event{ID: r.ID, Type: r.Type, ContentType: r.ContentType}
	if e.ID.IsZero() {
		e.ID = eventstore.NewID()
	}
	if e.Type == "" {
		return e, errors.New(`the event has no "type"; give it one, or --type for all that have none`)
	}
	var err error
	if e.Metadata, err = parseMetadata(r.Metadata); err != nil {
		return e, err
	}
	if e.Data, err = r.data(); err != nil {
		return e, err
	}
	if e.ContentType == "" {
		e.ContentType = eventstore.ContentTypeBinary
		if r.Encoding == "" && len(e.Data) > 0 {
			e.ContentType = eventstore.ContentTypeJSON
		}
	}
	return e, nil
}

// data returns the bytes: of JSON itself, in base64 if the record says so, and
// the text of a string when the content type is another one.
func (r *record) data() ([]byte, error) {
	if len(r.Data) == 0 {
		return nil, nil
	}
	isJSON := r.ContentType == "" || r.ContentType == eventstore.ContentTypeJSON
	if r.Encoding == "" && isJSON {
		return r.Data, nil
	}
	var text string
	if err := json.Unmarshal(r.Data, &text); err != nil {
		return nil, fmt.Errorf("data of content type %q must be a string, with \"encoding\":\"base64\" if it is binary", r.ContentType)
	}
	switch r.Encoding {
	case "":
		return []byte(text), nil
	case base64Encoding:
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("data is not base64: %w", err)
		}
		return b, nil
	}
	return nil, fmt.Errorf("encoding %q is not known; leave it out or use base64", r.Encoding)
}
