package codec

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/foldstream/foldstream/eventstore"
)

// entry is one registered type; the functions hold its Go type.
type entry struct {
	goType      reflect.Type
	ptrType     reflect.Type // pointer to goType
	names       []string     // the first is written
	found       []string     // names, and those of events that are upcast to the type
	version     int          // of the schema
	meta        eventstore.Metadata
	encoding    Encoding
	contentType string
	encode      func(Encoding, any) ([]byte, error)
	decode      func(Encoding, []byte) (any, error)
	personal    []any // see [Personal]
	seal        Seal  // nil: nothing is personal
	tagged      bool  // values are eventstore.Tagged
}

// named is what is stored under one name.
type named struct {
	name    string
	current *entry  // what is written under the name, or was before it got another; nil if nothing is any more
	version int     // of current; -1, which is none, without
	steps   []*step // of older schema versions, by version less 1
	drop    bool    // events of this name are none

	goType  reflect.Type // see [eventstore.TypeResolver]
	several int
}

// A TypeOption is an option of [Type].
type TypeOption func(*entry)

// As chooses the encoding in which events of this type are written.
func As(e Encoding) TypeOption { return func(t *entry) { t.encoding = e } }

// Aliases gives further names under which events of this type are found, such
// as names it had before. They are read and never written. Schema versions
// count through all names of a type.
func Aliases(names ...string) TypeOption {
	return func(t *entry) { t.names = append(t.names, names...) }
}

// SchemaVersion says of which version the schema of this type is, counted from
// 1, which it is without this option. It is recorded with each event. For each
// version before there must be an [Upcast], [UpcastFrom], [Split] or [Rewrite].
func SchemaVersion(n int) TypeOption { return func(t *entry) { t.version = n } }

// Type registers Go type T under a name, such as "order.placed". A type that
// its encoding knows as a pointer, such as a Protobuf message, is registered,
// and decoded, as the pointer.
func Type[T any](name string, opts ...TypeOption) Registration {
	values := &sync.Pool{New: func() any { return new(T) }}
	t := &entry{
		goType: reflect.TypeFor[T](), ptrType: reflect.TypeFor[*T](), names: []string{name}, version: 1,
		encode: encodeFrom[T](values), decode: decodeFrom[T](values),
	}
	_, t.tagged = any(*new(T)).(eventstore.Tagged)
	for _, opt := range opts {
		opt(t)
	}
	return func(c *Codec) error {
		own := *t // a Registration may be given to several codecs
		return c.add(&own)
	}
}

// encodeFrom hands a pointer to the encoding, as generated methods have
// pointer receivers. Its value comes from a pool and is empty before and after.
func encodeFrom[T any](values *sync.Pool) func(Encoding, any) ([]byte, error) {
	t := reflect.TypeFor[T]()
	pointer, plain := t.Kind() == reflect.Pointer, !msgpackByAddress(t)
	return func(enc Encoding, v any) ([]byte, error) {
		if pointer || plain && enc == Msgpack { // reflection copies less of what has no address
			return enc.Marshal(v)
		}
		var none T
		ptr := values.Get().(*T)
		*ptr = v.(T)
		data, err := enc.Marshal(ptr)
		*ptr = none
		values.Put(ptr)
		return data, err
	}
}

// decodeFrom returns a copy of what it decodes into, because a value that
// becomes an any is copied in any case.
func decodeFrom[T any](values *sync.Pool) func(Encoding, []byte) (any, error) {
	fast := isFlat(reflect.TypeFor[T]()) && implements[fastUnmarshaler](reflect.TypeFor[T]())
	return func(enc Encoding, data []byte) (v any, err error) {
		var none T
		ptr := values.Get().(*T)
		if fast && enc == Msgpack {
			err = unmarshalFast(any(ptr).(fastUnmarshaler), data)
		} else {
			err = enc.Unmarshal(data, ptr)
		}
		if err == nil {
			v = *ptr
		}
		*ptr = none
		values.Put(ptr)
		return v, err
	}
}

func (c *Codec) add(t *entry) error {
	if other, ok := c.types[t.goType]; ok {
		return fmt.Errorf("codec: Go type %v is registered as %q and as %q; use codec.Aliases for a second name", t.goType, other.names[0], t.names[0])
	}
	c.types[t.goType] = t
	if t.version < 1 {
		return fmt.Errorf("codec: %q: schema version %d: they count from 1", t.names[0], t.version)
	}
	if t.version > 1 {
		t.meta = eventstore.NewMetadata(eventstore.KeySchemaVersion, strconv.Itoa(t.version))
	}
	n := &named{name: t.names[0], current: t, version: t.version}
	for _, name := range t.names {
		if err := c.name(name, n); err != nil {
			return err
		}
	}
	return nil
}

func (c *Codec) name(name string, n *named) error {
	if name == "" || strings.HasPrefix(name, "$") {
		return fmt.Errorf("codec: type name %q%s: names must not be empty or start with a dollar sign", name, n.of())
	}
	if other, ok := c.names[name]; ok {
		return fmt.Errorf("codec: name %q is registered twice%s%s; names must be unique", name, other.of(), n.of())
	}
	c.names[name] = n
	return nil
}

func (n *named) of() string {
	if n.current == nil {
		return ""
	}
	return fmt.Sprintf(", for %v", n.current.goType)
}
