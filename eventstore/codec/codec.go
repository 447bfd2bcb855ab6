package codec

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/foldstream/foldstream/eventstore"
)

// A Codec knows the event types of an application. It is immutable after
// [New] and safe for concurrent use.
type Codec struct {
	names     map[string]*named
	types     map[reflect.Type]*entry
	steps     []*step
	byOld     map[reflect.Type][]*step // by the Go type that they take
	encoding  Encoding                 // of types that choose none
	encodings map[string]Encoding      // by content type
	sealer    Sealer                   // nil: nothing is sealed
}

var (
	_ eventstore.Codec        = (*Codec)(nil)
	_ eventstore.TypeResolver = (*Codec)(nil)
)

// A Registration is an argument of [New].
type Registration func(*Codec) error

// New returns a codec of the given types, in any order. It panics with all
// that is wrong with them: such a program must not start. Wrong are a name, a
// Go type, or a schema version of a name that is registered twice; a type that
// cannot be encoded and brought back, however deep inside; and upcasts with a
// gap, in a circle, or to a type that is not registered.
func New(types ...Registration) *Codec {
	c := &Codec{
		names: make(map[string]*named), types: make(map[reflect.Type]*entry), byOld: make(map[reflect.Type][]*step),
		encoding: Msgpack, encodings: make(map[string]Encoding),
	}
	var errs []error
	for _, register := range types {
		errs = append(errs, register(c))
	}
	errs = append(errs, c.finish()...)
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

// Reads has events be read that were stored in an encoding which no type is
// written in any more. [Msgpack], [JSON] and what types are written in need no
// mention.
func Reads(encodings ...Encoding) Registration {
	return func(c *Codec) error {
		var errs []error
		for _, e := range encodings {
			errs = append(errs, c.reads(e))
		}
		return errors.Join(errs...)
	}
}

func (c *Codec) reads(e Encoding) error {
	other, ok := c.encodings[e.ContentType()]
	if ok && reflect.TypeOf(e).Comparable() && other != e {
		return fmt.Errorf("codec: two encodings, %T and %T, have content type %q; what is stored could be either", other, e, e.ContentType())
	}
	c.encodings[e.ContentType()] = e
	return nil
}

// Encode returns event with its name, content type and data. In the metadata
// are its schema version, if that is above 1, and its tags, if it is an
// [eventstore.Tagged]. event is a value of a registered
// type.
func (c *Codec) Encode(event any) (eventstore.Event, error) {
	e, t, err := c.plain(event)
	if err != nil || t.seal == nil {
		return e, err
	}
	sealed, err := t.seal(event, e, func(v any) ([]byte, error) { return t.encode(t.encoding, v) })
	if err != nil {
		return eventstore.Event{}, fmt.Errorf("codec: encode %q: %w", t.names[0], err)
	}
	return sealed, nil
}

// plain is Encode without a seal.
func (c *Codec) plain(event any) (eventstore.Event, *entry, error) {
	t, ok := c.types[reflect.TypeOf(event)]
	if !ok {
		return eventstore.Event{}, nil, fmt.Errorf("%w: %T; add codec.Type[%T](name) to codec.New", ErrUnregistered, event, event)
	}
	data, err := t.encode(t.encoding, event)
	if err != nil {
		return eventstore.Event{}, nil, fmt.Errorf("codec: encode %q: %w", t.names[0], err)
	}
	e := eventstore.Event{Type: t.names[0], ContentType: t.contentType, Data: data, Metadata: t.meta}
	if t.tagged {
		if e.Metadata, err = t.meta.WithTags(event.(eventstore.Tagged).Tags()...); err != nil {
			return eventstore.Event{}, nil, fmt.Errorf("codec: encode %q: %w", t.names[0], err)
		}
	}
	return e, t, nil
}

// Decode returns the Go value of r, or an [eventstore.Several] if that is what
// it is upcast to. It returns an [*eventstore.UnknownEventError] for a type
// that is not registered, an [*eventstore.NewerSchemaError] for a schema
// version that is not, or a [*DecodeError] for data that does not fit.
func (c *Codec) Decode(r eventstore.Recorded) (any, error) {
	n, ok := c.names[r.Type]
	if !ok {
		return nil, unknown(&r)
	}
	if c.sealer != nil && !n.drop {
		if err := c.open(&r); err != nil {
			return nil, err
		}
	}
	if version := schemaVersion(r.Metadata); version != n.version {
		return c.decodeOld(n, version, r)
	}
	enc, err := c.encodingOf(n.current, &r)
	if err == nil {
		var v any
		if v, err = n.current.decode(enc, r.Data); err == nil {
			return v, nil
		}
	}
	return nil, failed(&r, err)
}

// DecodeInto sets the value that ptr points to and returns the errors of
// [Codec.Decode]. It returns an error for a ptr to another type than the one
// that r is read as.
func (c *Codec) DecodeInto(r eventstore.Recorded, ptr any) error {
	n, ok := c.names[r.Type]
	if !ok {
		return unknown(&r)
	}
	if c.sealer != nil && !n.drop {
		if err := c.open(&r); err != nil {
			return err
		}
	}
	if version := schemaVersion(r.Metadata); version != n.version {
		return c.decodeOldInto(n, version, r, ptr)
	}
	if got := reflect.TypeOf(ptr); got != n.current.ptrType {
		return failed(&r, fmt.Errorf("it is a %v and does not go into a %v", n.current.goType, got))
	}
	enc, err := c.encodingOf(n.current, &r)
	if err == nil {
		if err = enc.Unmarshal(r.Data, ptr); err == nil {
			return nil
		}
	}
	return failed(&r, err)
}

// schemaVersion is [eventstore.SchemaVersion]. A search for the bytes of the
// key is quicker than one for the pair, and most metadata has neither.
func schemaVersion(m eventstore.Metadata) int {
	if !strings.Contains(m.Encoded(), eventstore.KeySchemaVersion) {
		return 1
	}
	return eventstore.SchemaVersion(m)
}

func unknown(r *eventstore.Recorded) error {
	return &eventstore.UnknownEventError{Type: r.Type, Stream: r.Stream, Version: r.Version}
}

func failed(r *eventstore.Recorded, err error) error {
	return &DecodeError{Type: r.Type, Stream: r.Stream, Version: r.Version, Err: err}
}

// encodingOf goes by the recorded content type. t, which may be nil, is the
// type that is written under the event's name today.
func (c *Codec) encodingOf(t *entry, r *eventstore.Recorded) (Encoding, error) {
	if t != nil && r.ContentType == t.contentType {
		return t.encoding, nil
	}
	return c.otherEncoding(t, r.ContentType, r.Metadata)
}

// otherEncoding finds the encoding of an event that is not in the one of its
// type today. EventStoreDB keeps application/json and turns everything else
// into application/octet-stream. esdbstore puts what that was into the
// metadata; of events that others have written it is what the type writes.
func (c *Codec) otherEncoding(t *entry, contentType string, m eventstore.Metadata) (Encoding, error) {
	if contentType == "" || contentType == eventstore.ContentTypeBinary {
		if contentType = m.Get(eventstore.KeyContentType); contentType == "" {
			if t != nil {
				return t.encoding, nil
			}
			return c.encoding, nil
		}
	}
	if e, ok := c.encodings[contentType]; ok {
		return e, nil
	}
	return nil, fmt.Errorf("no encoding has its content type %q; add codec.Reads to codec.New", contentType)
}

// TypeNames implements [eventstore.Codec].
func (c *Codec) TypeNames(t reflect.Type) []string {
	if e, ok := c.types[t]; ok {
		return e.found
	}
	return nil
}

// TypeOf implements [eventstore.TypeResolver].
func (c *Codec) TypeOf(name string) (t reflect.Type, several int) {
	if n, ok := c.names[name]; ok {
		return n.goType, n.several
	}
	return nil, 0
}
