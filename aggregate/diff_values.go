package aggregate

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"
	"unsafe"
)

// open returns an addressable value as if it came from an exported field.
func open(v reflect.Value) reflect.Value {
	return reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem() //nolint:gosec // the address of v as itself
}

func (d *differ) maps(path string, a, b reflect.Value) {
	keys := a.MapKeys()
	for _, k := range b.MapKeys() {
		if !a.MapIndex(k).IsValid() {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, compareKeys)
	for _, k := range keys {
		at := fmt.Sprintf("%s[%s]", path, describe(k.Interface()))
		before, after := a.MapIndex(k), b.MapIndex(k)
		switch {
		case !before.IsValid() && !after.IsValid(): // a key that is not equal to itself
		case !before.IsValid():
			d.add(at, nil, after.Interface())
		case !after.IsValid():
			d.add(at, before.Interface(), nil)
		default:
			d.values(at, addressable(before), addressable(after))
		}
	}
}

func compareKeys(a, b reflect.Value) int {
	switch {
	case a.CanInt():
		return cmp.Compare(a.Int(), b.Int())
	case a.CanUint():
		return cmp.Compare(a.Uint(), b.Uint())
	case a.CanFloat():
		return cmp.Compare(a.Float(), b.Float())
	}
	return cmp.Compare(describe(a.Interface()), describe(b.Interface()))
}

func (d *differ) leaves(path string, a, b reflect.Value) {
	if !sameLeaf(a, b) {
		d.add(path, a.Interface(), b.Interface())
	}
}

func sameLeaf(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Float32, reflect.Float64:
		return sameFloat(a.Float(), b.Float())
	case reflect.Complex64, reflect.Complex128:
		x, y := a.Complex(), b.Complex()
		return sameFloat(real(x), real(y)) && sameFloat(imag(x), imag(y))
	case reflect.Slice:
		return a.IsNil() == b.IsNil() && bytes.Equal(a.Bytes(), b.Bytes())
	case reflect.Func:
		return a.Pointer() == b.Pointer()
	}
	return a.Equal(b)
}

func sameFloat(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

var stringer = reflect.TypeFor[fmt.Stringer]()

// whole returns a struct as the one value that it is to its readers: it keeps
// its fields to itself, and it or a pointer to it has a String method.
func whole(v reflect.Value) (any, bool) {
	t := v.Type()
	for f := range t.Fields() {
		if f.IsExported() {
			return nil, false
		}
	}
	switch {
	case t.Implements(stringer):
		return v.Interface(), true
	case v.CanAddr() && reflect.PointerTo(t).Implements(stringer):
		return v.Addr().Interface(), true
	}
	return nil, false
}

func sameWhole(a, b any) bool {
	if x, ok := a.(time.Time); ok {
		return x.Equal(b.(time.Time))
	}
	return reflect.DeepEqual(a, b)
}
