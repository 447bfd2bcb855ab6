package eventstore

import (
	"reflect"
	"strconv"
)

// A Codec turns the Go values of events into stored events and back. Package
// codec has one. A Codec is safe for concurrent use.
type Codec interface {
	// Encode returns an event with type, content type and data set.
	Encode(event any) (Event, error)

	// Decode returns the Go value of a stored event: a value of the registered
	// type, not a pointer. An event of an older schema that stands for several
	// values today, or for none, is a [Several]. A type that is not registered
	// is an [*UnknownEventError].
	Decode(r Recorded) (any, error)

	// DecodeInto sets the value that ptr points to, which must be of the type
	// that Decode would return. Fields that the event lacks are left as they
	// are. It saves the allocations of Decode. It refuses an event for which
	// Decode returns a [Several].
	DecodeInto(r Recorded, ptr any) error

	// TypeNames returns the names under which values of Go type t are found in
	// stores, the one that Encode writes first, then older names and the names
	// of events that become values of t when they are read; nil when t is not
	// registered. Not every event under one of these names is a t.
	TypeNames(t reflect.Type) []string
}

// Several is what [Codec.Decode] returns for one stored event that stands for
// any number of events today, each a value of a registered type. Whoever gets
// one handles its elements in order and in one step, as if they had been
// stored one after the other; they share the position, the version, the id and
// everything else of the stored event. It may be empty: the event then counts
// as read and means nothing.
type Several []any

// A TypeResolver is a [Codec] that reads some stored events as other things
// than one value of the type that is written under their name. Projections ask
// it, so that all other events are decoded into values that are used again.
type TypeResolver interface {
	// TypeOf returns the Go type t as which events that are stored under name
	// are read. Those of a schema version below several may be read as a
	// [Several] or as a value of another type. t is nil for a name that is not
	// known, or of which all events may.
	TypeOf(name string) (t reflect.Type, several int)
}

// SchemaVersion returns the schema version of an event's type from the event's
// metadata, see [KeySchemaVersion]: 1 when none is given, and 0 for what is not
// a decimal number above 0.
func SchemaVersion(m Metadata) int {
	s, ok := m.Lookup(KeySchemaVersion)
	if !ok {
		return 1
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0
	}
	return n
}
