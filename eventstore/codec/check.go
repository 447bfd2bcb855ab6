package codec

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// A TypeChecker is an [Encoding] that can say whether it can encode the values
// of a Go type and bring back the same. [New] asks it about each type.
type TypeChecker interface {
	// CheckType returns all reasons why not.
	CheckType(t reflect.Type) error
}

// encodable asks an encoding, or refuses at least what none can bring back as
// the same Go value.
func encodable(enc Encoding, t reflect.Type) error {
	if c, ok := enc.(TypeChecker); ok {
		return c.CheckType(t)
	}
	switch t.Kind() {
	case reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return fmt.Errorf("%v is a %v; register the concrete struct type", t, t.Kind())
	}
	return nil
}

// CheckType implements [TypeChecker].
func (msgpackEncoding) CheckType(t reflect.Type) error {
	w := walk{tag: "msgpack", opaque: msgpackOpaque, cannot: []reflect.Kind{reflect.Uintptr}}
	if t.Kind() != reflect.Pointer && implements[fastUnmarshaler](t) {
		return nil // what is generated knows its type
	}
	return w.check(t)
}

// msgpackByAddress reports whether values of t must be encoded through a
// pointer: they are generated, or have parts that only pointers to can encode.
func msgpackByAddress(t reflect.Type) (yes bool) {
	if implements[fastMarshaler](t) {
		return true
	}
	w := walk{tag: "msgpack", opaque: func(t reflect.Type) bool {
		for _, m := range msgpackMarshalers {
			if t.Implements(m) {
				return true
			}
			yes = yes || reflect.PointerTo(t).Implements(m)
		}
		return msgpackOpaque(t)
	}}
	_ = w.check(t)
	return yes
}

// msgpackMarshalers is what the library looks for, in its order.
var msgpackMarshalers = []reflect.Type{
	reflect.TypeFor[msgpack.CustomEncoder](), reflect.TypeFor[msgpack.Marshaler](),
	reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.TextMarshaler](),
}

// CheckType implements [TypeChecker].
func (jsonEncoding) CheckType(t reflect.Type) error {
	w := walk{tag: "json", opaque: jsonOpaque, key: jsonKey}
	return w.check(t)
}

// msgpackOpaque reports whether the type itself says how it is encoded.
func msgpackOpaque(t reflect.Type) bool {
	return implements[msgpack.CustomDecoder](t) || implements[msgpack.Unmarshaler](t) ||
		implements[encoding.BinaryUnmarshaler](t) || implements[encoding.TextUnmarshaler](t)
}

func jsonOpaque(t reflect.Type) bool {
	return implements[json.Unmarshaler](t) || implements[encoding.TextUnmarshaler](t)
}

func jsonKey(t reflect.Type) bool {
	return t.Kind() == reflect.String || t.Kind() >= reflect.Int && t.Kind() <= reflect.Uintptr || implements[encoding.TextUnmarshaler](t)
}

func implements[I any](t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[I]()) || reflect.PointerTo(t).Implements(reflect.TypeFor[I]())
}

// isFlat reports whether values of t have no room that is made by a number in
// their data, which then need not be plausible.
func isFlat(t reflect.Type) bool {
	switch k := t.Kind(); {
	case k <= reflect.Complex128, k == reflect.String, t == reflect.TypeFor[time.Time]():
		return true
	case k == reflect.Array:
		return isFlat(t.Elem())
	case k == reflect.Struct:
		for f := range t.Fields() {
			if !isFlat(f.Type) {
				return false
			}
		}
		return true
	}
	return false
}

// walk looks at a type and all that is inside.
type walk struct {
	tag    string
	opaque func(reflect.Type) bool
	key    func(reflect.Type) bool // what the key of a map may be; nil: anything
	cannot []reflect.Kind          // besides those that nothing can

	seen map[reflect.Type]bool
	errs []error
}

func (w *walk) check(t reflect.Type) error {
	switch t.Kind() {
	case reflect.Interface, reflect.Pointer:
		return fmt.Errorf("%v is a %v; register the concrete struct type", t, t.Kind())
	}
	w.seen = make(map[reflect.Type]bool)
	w.visit(t, t.String())
	return errors.Join(w.errs...)
}

func (w *walk) refuse(path, why string, args ...any) {
	w.errs = append(w.errs, fmt.Errorf("%s %s", path, fmt.Sprintf(why, args...)))
}

func (w *walk) visit(t reflect.Type, path string) {
	if w.seen[t] || w.opaque(t) {
		return
	}
	w.seen[t] = true
	for _, k := range w.cannot {
		if t.Kind() == k {
			w.refuse(path, "is a %v, which cannot be encoded", t.Kind())
		}
	}
	switch t.Kind() {
	case reflect.Func, reflect.Chan, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		w.refuse(path, "is a %v, which cannot be encoded", t.Kind())
	case reflect.Interface:
		if t.NumMethod() > 0 {
			w.refuse(path, "is the interface %v, of which nothing says what type to decode into", t)
		}
	case reflect.Pointer:
		w.visit(t.Elem(), path)
	case reflect.Slice, reflect.Array:
		w.visit(t.Elem(), path+"[]")
	case reflect.Map:
		if w.key != nil && !w.key(t.Key()) {
			w.refuse(path, "is a %v, whose keys cannot be encoded", t)
		}
		w.visit(t.Key(), path+" (key)")
		w.visit(t.Elem(), path+"[]")
	case reflect.Struct:
		if w.fields(t, path) == 0 && t.NumField() > 0 {
			w.refuse(path, "is a %v, of which no field is encoded: all are unexported or left out", t)
		}
	}
}

// fields visits the fields that are encoded and returns how many there are.
func (w *walk) fields(t reflect.Type, path string) (n int) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get(w.tag), ",")
		inside := f.Type
		if f.Anonymous && inside.Kind() == reflect.Pointer {
			inside = inside.Elem()
		}
		switch at := path + "." + f.Name; {
		case name == "-" && f.Tag.Get(w.tag) == "-":
		case f.Anonymous && name == "" && inside.Kind() == reflect.Struct && !w.opaque(inside):
			n += w.embedded(f, inside, at)
		case f.IsExported():
			n++
			w.visit(f.Type, at)
		}
	}
	return n
}

// embedded visits the fields of an embedded struct, which count as those of
// the one around it.
func (w *walk) embedded(f reflect.StructField, inside reflect.Type, at string) (n int) {
	if f.Type.Kind() == reflect.Pointer {
		if !f.IsExported() {
			w.refuse(at, "is an embedded pointer to an unexported type, which cannot be decoded")
		}
		if w.seen[inside] {
			return 1 // it may go round in a circle
		}
		w.seen[inside] = true
	}
	return w.fields(inside, at)
}
