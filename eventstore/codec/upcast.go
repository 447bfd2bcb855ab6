package codec

import (
	"fmt"
	"reflect"
	"sync"

	"github.com/foldstream/foldstream/eventstore"
)

// step is one upcast: it takes events that are stored under a name at a schema
// version, or values of type old that other steps make.
type step struct {
	name    string
	version int
	old     reflect.Type // nil: a document
	made    reflect.Type // what up makes; an interface: whatever of into
	into    []reflect.Type
	many    bool // any number of them
	decode  func(Encoding, []byte) (any, error)
	up      func(old any, r *eventstore.Recorded) ([]any, error)
	rewrite func(doc map[string]any) error // instead of old, decode and up

	state  int      // of resolve
	leads  []*entry // what its events are in the end
	single bool     // they are always one value of the same type
}

// Raw is an event's data as it is stored. An upcast from Raw decodes for
// itself.
type Raw []byte

// Upcast has events that are stored under a name at a schema version be read
// as what up makes of them. Old is a Go type as which the events can be
// decoded; it may be map[string]any, a document as described at [Rewrite], or
// [Raw]. New is a registered type, or the Old of another upcast, which then
// goes on from there: one for each version is a chain from any version to the
// newest. New may also be an interface: then each registered type that
// implements it may come.
//
// For a type that was renamed, name is the old name and needs no [Type].
//
// Where stored events are read, up must depend on nothing but its argument, or
// a rebuild would give another view. A panic of up is a [*DecodeError].
func Upcast[Old, New any](name string, version int, up func(old Old) New) Registration {
	s := newStep[Old, New](name, version)
	s.up = func(old any, _ *eventstore.Recorded) ([]any, error) { return []any{up(old.(Old))}, nil }
	return s.register
}

// Split is [Upcast] for events that are several today, or none: each element
// of what split returns, in order. They share what is stored beside the data:
// position, version, id, time and metadata. New is usually the interface that
// all events of an aggregate implement. The elements may then be of any
// registered type that implements it; [Into] tells the types, which spares
// views of others from reading these events.
func Split[Old, New any](name string, version int, split func(old Old) []New, into ...Target) Registration {
	return UpcastFrom(name, version, func(old Old, _ eventstore.Recorded) ([]New, error) { return split(old), nil }, into...)
}

// UpcastFrom is [Split] for upcasts that need more of the stored event than its
// data, such as its stream, time or metadata, or that can fail. An error is a
// [*DecodeError], as if the event were damaged.
func UpcastFrom[Old, New any](name string, version int, up func(old Old, r eventstore.Recorded) ([]New, error), into ...Target) Registration {
	s := newStep[Old, New](name, version)
	s.many = true
	for _, t := range into {
		s.into = append(s.into, t.t)
	}
	s.up = func(old any, r *eventstore.Recorded) ([]any, error) {
		made, err := up(old.(Old), *r)
		all := make([]any, len(made))
		for i := range made {
			all[i] = made[i]
		}
		return all, err
	}
	return s.register
}

// A Target is an option of [Split] and [UpcastFrom].
type Target struct{ t reflect.Type }

// Into names a type that a [Split] may return: one that is registered, or the
// Old of another upcast. With Into it returns no others.
func Into[T any]() Target { return Target{reflect.TypeFor[T]()} }

// Rewrite changes the stored document of events of a name from one schema
// version to the next, for those who do not want to keep a Go type for each.
// The document is then read as that next version: by another Rewrite, an
// [Upcast], or [Type].
//
// A document is what MessagePack or JSON calls a map or an object. In it are
// nil, bool, string, []byte, time.Time, []any, map[string]any, and numbers:
// int64 if they are whole and fit, and otherwise float64 or uint64 in
// MessagePack and [encoding/json.Number] in JSON, so that no digit is lost.
func Rewrite(name string, version int, rewrite func(doc map[string]any) error) Registration {
	return (&step{name: name, version: version, rewrite: rewrite}).register
}

// Drop has all events that are stored under a name be read as none: they are
// known, not decoded, and mean nothing any more.
func Drop(name string) Registration {
	return func(c *Codec) error { return c.name(name, &named{name: name, drop: true}) }
}

func newStep[Old, New any](name string, version int) *step {
	values := &sync.Pool{New: func() any { return new(Old) }}
	s := &step{name: name, version: version, old: reflect.TypeFor[Old](), made: reflect.TypeFor[New](), decode: decodeFrom[Old](values)}
	switch s.old {
	case reflect.TypeFor[Raw]():
		s.decode = func(_ Encoding, data []byte) (any, error) { return Raw(data), nil }
	case reflect.TypeFor[map[string]any]():
		s.decode = func(enc Encoding, data []byte) (any, error) { return document(enc, data) }
	}
	return s
}

// register is the [Registration] of s.
func (s *step) register(c *Codec) error {
	if s.version < 1 {
		return fmt.Errorf("codec: upcast of %q from schema version %d: they count from 1", s.name, s.version)
	}
	own := *s // a Registration may be given to several codecs
	c.steps = append(c.steps, &own)
	return nil
}

func (s *step) String() string { return fmt.Sprintf("%q at schema version %d", s.name, s.version) }
