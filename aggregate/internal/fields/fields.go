// Package fields turns a Go value into bytes and back with all of its fields,
// exported or not, so that the state of an aggregate can be kept without
// changing its type.
//
// The bytes name nothing: fields lie in the order of their declaration. They
// can only be read into the type that wrote them, which a snapshot makes sure
// of by its schema. Nil and empty slices and maps stay apart, map keys are in
// the order of their bytes, and equal values give equal bytes. A type with
// MarshalBinary and UnmarshalBinary, such as [time.Time], is written by these.
// Pointers are followed: two pointers to one value become two values.
package fields

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
)

// maxDepth bounds the nesting of values: a cycle is an error, and hostile
// bytes do not use up the stack.
const maxDepth = 10_000

var errDeep = fmt.Errorf("fields: nested more than %d deep, or a cycle", maxDepth)

// A Codec is how values of one type are written. It is safe for concurrent use.
type Codec struct {
	goType reflect.Type
	root   *node
}

// A node is how values of one type within it are written. Values are
// addressable and settable.
type node struct {
	append func(b []byte, v reflect.Value, depth int) ([]byte, error)
	read   func(in *reader, v reflect.Value, depth int) error
}

// Compile returns the codec of t. An error names the field that cannot be
// brought back: a channel, a function, an unsafe pointer, or an interface,
// whose types nobody can list.
func Compile(t reflect.Type) (*Codec, error) {
	c := compiler{}
	n, err := c.node(t, t.String())
	if err != nil {
		return nil, err
	}
	return &Codec{goType: t, root: n}, nil
}

// Append appends the bytes of the value that ptr points to.
func (c *Codec) Append(b []byte, ptr any) ([]byte, error) {
	v, err := c.value(ptr)
	if err != nil {
		return b, err
	}
	return c.root.append(b, v, 0)
}

// Unmarshal sets the value that ptr points to. It keeps nothing of data. On an
// error the value is of no use.
func (c *Codec) Unmarshal(data []byte, ptr any) error {
	v, err := c.value(ptr)
	if err != nil {
		return err
	}
	in := &reader{data}
	if err := c.root.read(in, v, 0); err != nil {
		return err
	}
	if len(in.data) > 0 {
		return errors.New("fields: data goes on after the value")
	}
	return nil
}

func (c *Codec) value(ptr any) (reflect.Value, error) {
	v := reflect.ValueOf(ptr)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Type().Elem() != c.goType {
		return v, fmt.Errorf("fields: got a %T and want a *%v", ptr, c.goType)
	}
	return v.Elem(), nil
}

var (
	marshaler   = reflect.TypeFor[encoding.BinaryMarshaler]()
	unmarshaler = reflect.TypeFor[encoding.BinaryUnmarshaler]()
)

// Marshals reports whether values of t are written by their own methods.
func Marshals(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(marshaler) && p.Implements(unmarshaler) && t.Kind() != reflect.Interface && t.Kind() != reflect.Pointer
}
