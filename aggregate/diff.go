package aggregate

import (
	"fmt"
	"reflect"
	"strings"
)

// A Change is one difference between two values.
type Change struct {
	// Path says where it is, such as Lines[2].SKU or stock["tea"]. It is empty
	// for the value as a whole.
	Path string
	// Before and After are what is there; nil when there is nothing, as for an
	// element that only one of the two has.
	Before, After any
}

// String returns the path with what was there and what is there now, such as
// "paid: false -> true".
func (c Change) String() string {
	text := describe(c.Before) + " -> " + describe(c.After)
	if c.Path == "" {
		return text
	}
	return c.Path + ": " + text
}

// Diff lists what differs between two values, such as the states of an
// aggregate at two versions, in the order of the fields and of the keys. It
// looks at all fields, exported or not, and follows pointers, also in circles.
// Lists are compared element by element. A nil and an empty slice or map
// differ. Times are compared as instants; a struct that keeps all of its fields
// to itself and has a String method is compared and shown as one value. Values
// of different types differ as a whole. What several pointers refer to is reported once.
func Diff(before, after any) []Change {
	d := differ{seen: map[visit]bool{}}
	a, b := reflect.ValueOf(before), reflect.ValueOf(after)
	switch {
	case !a.IsValid() && !b.IsValid():
	case !a.IsValid() || !b.IsValid() || a.Type() != b.Type():
		d.add("", before, after)
	case a.Kind() == reflect.Struct:
		d.structs("", addressable(a), addressable(b))
	default:
		d.values("", addressable(a), addressable(b))
	}
	return d.changes
}

// addressable returns a copy, for what is unexported can be seen only there.
func addressable(v reflect.Value) reflect.Value {
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p.Elem()
}

// A visit is a pair of references that are being compared or have been, with
// the lengths of slices.
type visit struct {
	a, b   uintptr
	na, nb int
	t      reflect.Type
}

type differ struct {
	changes []Change
	seen    map[visit]bool
}

func (d *differ) add(path string, before, after any) {
	d.changes = append(d.changes, Change{Path: strings.TrimPrefix(path, "."), Before: before, After: after})
}

// values compares two addressable values of one type.
func (d *differ) values(path string, a, b reflect.Value) {
	switch a.Kind() {
	case reflect.Struct:
		x, one := whole(a)
		if y, _ := whole(b); !one {
			d.structs(path, a, b)
		} else if !sameWhole(x, y) {
			d.add(path, x, y)
		}
	case reflect.Pointer, reflect.Interface:
		d.references(path, a, b)
	case reflect.Slice:
		switch {
		case a.Type().Elem().Kind() == reflect.Uint8:
			d.leaves(path, a, b)
		case a.IsNil() != b.IsNil():
			d.add(path, a.Interface(), b.Interface())
		case d.first(a, b):
			d.lists(path, a, b)
		}
	case reflect.Array:
		d.lists(path, a, b)
	case reflect.Map:
		if a.IsNil() != b.IsNil() {
			d.add(path, a.Interface(), b.Interface())
		} else if d.first(a, b) {
			d.maps(path, a, b)
		}
	default:
		d.leaves(path, a, b)
	}
}

// first reports whether two references differ and are met for the first time.
func (d *differ) first(a, b reflect.Value) bool {
	v := visit{a: a.Pointer(), b: b.Pointer(), t: a.Type()}
	if a.Kind() == reflect.Slice {
		v.na, v.nb = a.Len(), b.Len()
	}
	if v.a == v.b && v.na == v.nb || d.seen[v] {
		return false
	}
	d.seen[v] = true
	return true
}

func (d *differ) structs(path string, a, b reflect.Value) {
	for i := range a.NumField() {
		d.values(path+"."+a.Type().Field(i).Name, open(a.Field(i)), open(b.Field(i)))
	}
}

func (d *differ) references(path string, a, b reflect.Value) {
	switch {
	case a.IsNil() && b.IsNil():
	case a.IsNil():
		d.add(path, nil, b.Elem().Interface())
	case b.IsNil():
		d.add(path, a.Elem().Interface(), nil)
	case a.Kind() == reflect.Pointer:
		if d.first(a, b) {
			d.values(path, a.Elem(), b.Elem())
		}
	case a.Elem().Type() != b.Elem().Type():
		d.add(path, a.Interface(), b.Interface())
	default:
		d.values(path, addressable(a.Elem()), addressable(b.Elem()))
	}
}

func (d *differ) lists(path string, a, b reflect.Value) {
	for i := range max(a.Len(), b.Len()) {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case i >= a.Len():
			d.add(at, nil, b.Index(i).Interface())
		case i >= b.Len():
			d.add(at, a.Index(i).Interface(), nil)
		default:
			d.values(at, a.Index(i), b.Index(i))
		}
	}
}
