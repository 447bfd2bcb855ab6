package eventstore

import (
	"bytes"
	"time"
)

// A Version counts the events appended to a stream so far. The first event of
// a stream has version 1; 0 means no stream. EventStoreDB's revision is the
// version less one.
type Version uint64

// A Position orders all events of one store: it is strictly increasing in the
// order in which events became readable. 0 lies before the first event.
// Positions of different stores cannot be compared, and they may have gaps
// unless the store says otherwise.
type Position uint64

// An Event is a fact to be appended. Its zero ID asks the store to make one.
type Event struct {
	ID          ID       // identifies the event; makes a repeated append recognizable
	Type        string   // stable name chosen by the user, such as "order.placed"
	ContentType string   // media type of Data; empty means application/octet-stream
	Data        []byte   // encoded payload; the store copies it
	Metadata    Metadata // facts about the fact
}

// Size returns the bytes that count against a store's limit for one append:
// the data, the metadata and twice the type name, as in EventStoreDB.
func (e Event) Size() int {
	return len(e.Data) + e.Metadata.Size() + 2*len(e.Type)
}

// Recorded is an event as it was stored. It must not be modified.
//
// Data and Metadata may share memory with neighbouring events of the same
// read. They stay valid for as long as they are referenced; a caller that
// keeps a few of many events for long should keep a [Recorded.Clone].
type Recorded struct {
	ID          ID
	Stream      string
	Version     Version
	Position    Position
	Type        string
	ContentType string
	Created     time.Time // when the store accepted it, by the store's clock, UTC
	Data        []byte
	Metadata    Metadata
}

// Clone returns a copy of r that shares no memory with other events.
func (r Recorded) Clone() Recorded {
	r.Data = bytes.Clone(r.Data)
	r.Metadata = r.Metadata.Clone()
	return r
}

// Content types that the codec writes.
const (
	ContentTypeJSON    = "application/json"
	ContentTypeMsgpack = "application/msgpack"
	ContentTypeBinary  = "application/octet-stream"
)

// A Receipt says where an append ended. A reader that has seen Position has
// seen everything the append wrote.
type Receipt struct {
	Stream   string   `json:"stream"`
	Version  Version  `json:"version"`  // version of the last event written
	Position Position `json:"position"` // position of the last event written
	Repeated bool     `json:"repeated"` // the same events were there already; nothing was written
}
