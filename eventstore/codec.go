package eventstore

import "reflect"

// A Codec turns the Go values of events into stored events and back. Package
// codec has one. A Codec is safe for concurrent use.
type Codec interface {
	// Encode returns an event with type, content type and data set.
	Encode(event any) (Event, error)

	// Decode returns the Go value of a stored event: a value of the registered
	// type, not a pointer. A type that is not registered is an
	// [*UnknownEventError].
	Decode(r Recorded) (any, error)

	// DecodeInto sets the value that ptr points to, which must be of the type
	// that Decode would return. Fields that the event lacks are left as they
	// are. It saves the allocations of Decode.
	DecodeInto(r Recorded, ptr any) error

	// TypeNames returns the names under which values of Go type t are found in
	// stores, the one that Encode writes first; nil when t is not registered.
	TypeNames(t reflect.Type) []string
}
