package codec

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/foldstream/foldstream/eventstore"
)

// ErrUnregistered is matched by the error for a Go type that was not
// registered with [Type].
var ErrUnregistered = errors.New("codec: Go type is not registered")

// A Codec knows the event types of an application. It is immutable after
// [New] and safe for concurrent use.
type Codec struct {
	byName   map[string]*entry
	byType   map[reflect.Type]*entry
	encoding Encoding // of types that choose none
}

var _ eventstore.Codec = (*Codec)(nil)

// entry is one registered type; the functions hold its Go type.
type entry struct {
	goType   reflect.Type
	ptrType  reflect.Type // pointer to goType
	names    []string     // the first is written
	encoding Encoding     // nil: the codec's
	encode   func(Encoding, any) ([]byte, error)
	decode   func(Encoding, []byte) (any, error)
}

// A Registration is an argument of [New].
type Registration func(*Codec) error

// New returns a codec of the given types. It panics when a name or a Go type
// is registered twice or cannot be encoded: such a program must not start.
func New(types ...Registration) *Codec {
	c := &Codec{byName: map[string]*entry{}, byType: map[reflect.Type]*entry{}, encoding: Msgpack}
	var errs []error
	for _, register := range types {
		errs = append(errs, register(c))
	}
	if err := errors.Join(errs...); err != nil {
		panic(err)
	}
	return c
}

// Default sets the encoding of all types that choose none; it is [Msgpack]
// otherwise.
func Default(e Encoding) Registration {
	return func(c *Codec) error {
		c.encoding = e
		return nil
	}
}

// A TypeOption is an option of [Type].
type TypeOption func(*entry)

// As chooses the encoding in which events of this type are written.
func As(e Encoding) TypeOption { return func(t *entry) { t.encoding = e } }

// Aliases gives further names under which events of this type are found, such
// as names it had before. They are read and never written.
func Aliases(names ...string) TypeOption {
	return func(t *entry) { t.names = append(t.names, names...) }
}

// Type registers Go type T under a name, such as "order.placed".
func Type[T any](name string, opts ...TypeOption) Registration {
	t := &entry{goType: reflect.TypeFor[T](), ptrType: reflect.TypeFor[*T](), names: []string{name}, encode: encode[T], decode: decode[T]}
	for _, opt := range opts {
		opt(t)
	}
	return func(c *Codec) error { return c.add(t) }
}

func encode[T any](enc Encoding, v any) ([]byte, error) {
	if _, ok := any((*T)(nil)).(fastMarshaler); ok && enc == Msgpack {
		t := v.(T) // generated methods have pointer receivers
		return enc.Marshal(&t)
	}
	return enc.Marshal(v)
}

func decode[T any](enc Encoding, data []byte) (any, error) {
	v := new(T)
	if err := enc.Unmarshal(data, v); err != nil {
		return nil, err
	}
	return *v, nil
}

func (c *Codec) add(t *entry) error {
	if err := encodable(t.goType); err != nil {
		return fmt.Errorf("codec: %q: %w", t.names[0], err)
	}
	if other, ok := c.byType[t.goType]; ok {
		return fmt.Errorf("codec: Go type %v is registered as %q and as %q; use codec.Aliases for a second name", t.goType, other.names[0], t.names[0])
	}
	for _, name := range t.names {
		if name == "" || strings.HasPrefix(name, "$") {
			return fmt.Errorf("codec: type name %q of %v: names must not be empty or start with a dollar sign", name, t.goType)
		}
		if other, ok := c.byName[name]; ok {
			return fmt.Errorf("codec: name %q is registered for %v and for %v; names must be unique", name, other.goType, t.goType)
		}
		c.byName[name] = t
	}
	c.byType[t.goType] = t
	return nil
}

// encodable refuses what no encoding can bring back as the same Go value.
func encodable(t reflect.Type) error {
	switch t.Kind() {
	case reflect.Interface, reflect.Pointer, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return fmt.Errorf("%v is a %v; register the concrete struct type", t, t.Kind())
	case reflect.Struct:
		for f := range t.Fields() {
			switch f.Type.Kind() {
			case reflect.Func, reflect.Chan, reflect.UnsafePointer:
				if f.IsExported() {
					return fmt.Errorf("field %s of %v is a %v, which cannot be encoded", f.Name, t, f.Type.Kind())
				}
			}
		}
	}
	return nil
}

// Encode returns event with its name, content type and data. event is a value
// of a registered type.
func (c *Codec) Encode(event any) (eventstore.Event, error) {
	t, ok := c.byType[reflect.TypeOf(event)]
	if !ok {
		return eventstore.Event{}, fmt.Errorf("%w: %T; add codec.Type[%T](name) to codec.New", ErrUnregistered, event, event)
	}
	enc := t.encoding
	if enc == nil {
		enc = c.encoding
	}
	data, err := t.encode(enc, event)
	if err != nil {
		return eventstore.Event{}, fmt.Errorf("codec: encode %q: %w", t.names[0], err)
	}
	return eventstore.Event{Type: t.names[0], ContentType: enc.ContentType(), Data: data}, nil
}

// Decode returns the Go value of r, an [*eventstore.UnknownEventError] for a
// type that is not registered, or a [*DecodeError] for data that does not fit.
func (c *Codec) Decode(r eventstore.Recorded) (any, error) {
	t, ok := c.byName[r.Type]
	if !ok {
		return nil, &eventstore.UnknownEventError{Type: r.Type, Stream: r.Stream, Version: r.Version}
	}
	v, err := t.decode(c.encodingOf(t, r.ContentType), r.Data)
	if err != nil {
		return nil, &DecodeError{Type: r.Type, Stream: r.Stream, Version: r.Version, Err: err}
	}
	return v, nil
}

// DecodeInto sets the value that ptr points to and returns the errors of
// [Codec.Decode]. It returns an error for a ptr to another type than the one
// that is registered for the event.
func (c *Codec) DecodeInto(r eventstore.Recorded, ptr any) error {
	t, ok := c.byName[r.Type]
	if !ok {
		return &eventstore.UnknownEventError{Type: r.Type, Stream: r.Stream, Version: r.Version}
	}
	var err error
	if got := reflect.TypeOf(ptr); got != t.ptrType {
		err = fmt.Errorf("it is a %v and does not go into a %v", t.goType, got)
	} else {
		err = c.encodingOf(t, r.ContentType).Unmarshal(r.Data, ptr)
	}
	if err != nil {
		return &DecodeError{Type: r.Type, Stream: r.Stream, Version: r.Version, Err: err}
	}
	return nil
}

// encodingOf goes by the recorded content type where that says something:
// EventStoreDB keeps application/json and turns everything else into
// application/octet-stream, which then means what the type writes today.
func (c *Codec) encodingOf(t *entry, contentType string) Encoding {
	switch contentType {
	case eventstore.ContentTypeJSON:
		return JSON
	case eventstore.ContentTypeMsgpack:
		return Msgpack
	}
	if t.encoding != nil {
		return t.encoding
	}
	return c.encoding
}

// TypeNames implements [eventstore.Codec].
func (c *Codec) TypeNames(t reflect.Type) []string {
	if e, ok := c.byType[t]; ok {
		return e.names
	}
	return nil
}

// A DecodeError says which stored event could not be decoded.
type DecodeError struct {
	Type    string
	Stream  string
	Version eventstore.Version
	Err     error
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("codec: event %d of stream %q, type %q, cannot be decoded: %v", e.Version, e.Stream, e.Type, e.Err)
}

// Unwrap returns what the encoding said.
func (e *DecodeError) Unwrap() error { return e.Err }
