package aggregate

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
)

// maxText is how deep a value is described; what lies deeper is an ellipsis.
const maxText = 8

// describe returns the text of one side of a change. Unlike fmt's it follows
// pointers, so that equal values have equal texts.
func describe(v any) string {
	if v == nil {
		return "(none)"
	}
	return string(appendText(nil, addressable(reflect.ValueOf(v)), 0))
}

func appendText(b []byte, v reflect.Value, depth int) []byte {
	if depth > maxText {
		return append(b, "..."...)
	}
	switch v.Kind() {
	case reflect.Struct:
		if one, ok := whole(v); ok {
			return fmt.Append(b, one)
		}
		return appendFields(b, v, depth+1)
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return append(b, "nil"...)
		}
		if v.Kind() == reflect.Interface {
			return appendText(b, addressable(v.Elem()), depth+1)
		}
		return appendText(b, v.Elem(), depth+1)
	case reflect.Slice, reflect.Array:
		return appendList(b, v, depth+1)
	case reflect.Map:
		return appendMap(b, v, depth+1)
	case reflect.String:
		return strconv.AppendQuote(b, v.String())
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return append(b, v.Type().String()...) // where it lies says nothing
	}
	return fmt.Append(b, v.Interface())
}

func appendFields(b []byte, v reflect.Value, depth int) []byte {
	b = append(b, '{')
	for i := range v.NumField() {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(append(b, v.Type().Field(i).Name...), ':')
		b = appendText(b, open(v.Field(i)), depth)
	}
	return append(b, '}')
}

func appendList(b []byte, v reflect.Value, depth int) []byte {
	if v.Kind() == reflect.Slice {
		if v.IsNil() {
			return append(b, "nil"...)
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return fmt.Appendf(b, "0x%x", v.Bytes())
		}
	}
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ' ')
		}
		b = appendText(b, v.Index(i), depth)
	}
	return append(b, ']')
}

func appendMap(b []byte, v reflect.Value, depth int) []byte {
	if v.IsNil() {
		return append(b, "nil"...)
	}
	b = append(b, '{')
	for i, k := range slices.SortedFunc(slices.Values(v.MapKeys()), compareKeys) {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(appendText(b, addressable(k), depth), ':')
		if e := v.MapIndex(k); e.IsValid() { // not so for a key that is not equal to itself
			b = appendText(b, addressable(e), depth)
		}
	}
	return append(b, '}')
}
