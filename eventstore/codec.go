package eventstore

import "reflect"

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
