// Package narrate tells people who read a failed test what was there.
package narrate

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
	"unsafe"
)

const (
	maxDepth = 8   // what lies deeper is an ellipsis
	maxItems = 6   // of a list or map
	maxText  = 600 // bytes
)

// Text returns a value in one line, much as Go has it in a program: with the
// name of its type and without fields that are zero. It looks at fields that
// are not exported too, and follows pointers, so that equal values have equal
// texts. Long lists and texts are cut.
func Text(v any) string {
	if v == nil {
		return "nil"
	}
	var p printer
	p.value(addressable(reflect.ValueOf(v)), 0, true)
	return cut(p.String())
}

// Texts returns the text of each value.
func Texts[T any](values []T) []string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = Text(v)
	}
	return texts
}

func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

type printer struct{ strings.Builder }

// value writes an addressable value; named says that its type is not clear from
// where it stands.
func (p *printer) value(v reflect.Value, depth int, named bool) {
	if depth > maxDepth || p.Len() > maxText {
		p.WriteString("…")
		return
	}
	if text, ok := own(v); ok {
		p.WriteString(text)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !p.isNil(v) {
			p.WriteByte('&')
			p.value(v.Elem(), depth+1, named)
		}
	case reflect.Interface:
		if !p.isNil(v) {
			p.value(addressable(v.Elem()), depth+1, true)
		}
	case reflect.Struct:
		p.fields(v, depth, named)
	case reflect.Slice, reflect.Array:
		p.list(v, depth)
	case reflect.Map:
		p.entries(v, depth)
	case reflect.String:
		p.WriteString(strconv.Quote(v.String()))
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		p.WriteString(v.Type().String()) // where it lies says nothing
	default:
		_, _ = fmt.Fprint(p, v.Interface())
	}
}

func (p *printer) isNil(v reflect.Value) bool {
	if v.IsNil() {
		p.WriteString("nil")
	}
	return v.IsNil()
}

func (p *printer) fields(v reflect.Value, depth int, named bool) {
	if named {
		p.WriteString(v.Type().String())
	}
	p.WriteByte('{')
	sep := ""
	for i := range v.NumField() {
		f := open(v.Field(i))
		if f.IsZero() {
			continue
		}
		p.WriteString(sep + v.Type().Field(i).Name + ": ")
		p.value(f, depth+1, false)
		sep = ", "
	}
	p.WriteByte('}')
}

func (p *printer) list(v reflect.Value, depth int) {
	if v.Kind() == reflect.Slice && p.isNil(v) {
		return
	}
	if v.Type().Elem().Kind() == reflect.Uint8 {
		p.bytes(v)
		return
	}
	p.items('[', ']', v.Len(), func(i int) { p.value(v.Index(i), depth+1, false) })
}

// bytes writes text as such, and else in hexadecimal.
func (p *printer) bytes(v reflect.Value) {
	b := v.Bytes()
	if text := string(b); utf8.ValidString(text) && strings.IndexFunc(text, unicode.IsControl) < 0 {
		p.WriteString(strconv.Quote(text))
		return
	}
	_, _ = fmt.Fprintf(p, "0x%x", b)
}

func (p *printer) entries(v reflect.Value, depth int) {
	if p.isNil(v) {
		return
	}
	type entry struct {
		key   string
		value reflect.Value
	}
	var all []entry
	for it := v.MapRange(); it.Next(); {
		var key printer
		key.value(addressable(it.Key()), depth+1, false)
		all = append(all, entry{key.String(), it.Value()})
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	p.items('{', '}', len(all), func(i int) {
		p.WriteString(all[i].key + ": ")
		p.value(addressable(all[i].value), depth+1, false)
	})
}

func (p *printer) items(begin, end byte, n int, item func(i int)) {
	p.WriteByte(begin)
	for i := range min(n, maxItems) {
		if i > 0 {
			p.WriteString(", ")
		}
		item(i)
	}
	if n > maxItems {
		_, _ = fmt.Fprintf(p, ", … %d more", n-maxItems)
	}
	p.WriteByte(end)
}

// own returns the text that values give themselves: structs that keep all of
// their fields to themselves, such as times, ids, which are arrays, and numbers
// with a name, such as durations.
func own(v reflect.Value) (string, bool) {
	switch v.Kind() {
	case reflect.Struct:
		for f := range v.Type().Fields() {
			if f.IsExported() {
				return "", false
			}
		}
	case reflect.Array, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
	default:
		return "", false
	}
	for _, x := range []any{v.Interface(), v.Addr().Interface()} {
		switch x := x.(type) {
		case encoding.TextMarshaler:
			if text, err := x.MarshalText(); err == nil {
				return string(text), true
			}
		case fmt.Stringer:
			return x.String(), true
		}
	}
	return "", false
}

// addressable returns a copy, for what is unexported can be seen only there.
func addressable(v reflect.Value) reflect.Value {
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p.Elem()
}

// open returns an addressable value as if it came from an exported field.
func open(v reflect.Value) reflect.Value {
	return reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem() //nolint:gosec // the address of v as itself
}
