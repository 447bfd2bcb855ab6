package codectest

import (
	"fmt"
	"reflect"
	"time"
	"unsafe"
)

// deepest bounds values of recursive types.
const deepest = 4

// sample returns a value with something in every field.
func sample(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	if t.Kind() == reflect.Pointer {
		v.Set(reflect.New(t.Elem()))
		return v
	}
	n := 0
	if t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]() {
		fillFields(v, &n, 0) // also if what msgp generated encodes it
	} else {
		fill(v, &n, 0)
	}
	return v
}

func fill(v reflect.Value, n *int, depth int) {
	if at, ok := v.Addr().Interface().(*time.Time); ok {
		*at = time.Date(2026, 2, 3, 4, 5, 6, 789_000_000, time.UTC)
		return
	}
	if depth > deepest || selfMade(v.Type()) {
		return
	}
	*n++
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString(fmt.Sprint("text ", *n))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*n%100 + 1))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(uint64(*n%100 + 1))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(*n) + 0.5)
	case reflect.Interface:
		v.Set(reflect.ValueOf("anything"))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n, depth+1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fillElements(v, n, depth)
	case reflect.Array:
		fillElements(v, n, depth)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, n, depth+1)
		fill(value, n, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		fillFields(v, n, depth+1)
	}
}

func fillElements(v reflect.Value, n *int, depth int) {
	for i := range v.Len() {
		fill(v.Index(i), n, depth+1)
	}
}

// fillFields fills unexported fields, too, as it is them that get lost.
func fillFields(v reflect.Value, n *int, depth int) {
	for i, f := range fields(v.Type()) {
		if !leftOut(f) {
			fill(field(v, i), n, depth)
		}
	}
}

func fields(t reflect.Type) (all []reflect.StructField) {
	for f := range t.Fields() {
		all = append(all, f)
	}
	return all
}

// field returns a field that can be set and read, exported or not.
func field(v reflect.Value, i int) reflect.Value {
	f := v.Field(i)
	if f.CanSet() {
		return f
	}
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem() //nolint:gosec // reflection sees no other way to unexported fields
}

func leftOut(f reflect.StructField) bool {
	for _, tag := range []string{"json", "msgpack", "msg"} {
		if f.Tag.Get(tag) == "-" {
			return true
		}
	}
	return f.Name == "_" || f.Name == "_msgpack"
}

// selfMade reports whether a type has a method that reads it from bytes.
func selfMade(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for _, name := range []string{"UnmarshalJSON", "UnmarshalText", "UnmarshalBinary", "DecodeMsgpack", "UnmarshalMsgpack"} {
		if _, ok := reflect.PointerTo(t).MethodByName(name); ok {
			return t != reflect.TypeFor[time.Time]()
		}
	}
	return false
}

// differences names what is not the same in two values of one type.
func differences(path string, want, got reflect.Value) (all []string) {
	if a, ok := want.Interface().(time.Time); ok && a.Equal(got.Interface().(time.Time)) {
		return nil
	}
	if reflect.DeepEqual(want.Interface(), got.Interface()) {
		return nil
	}
	if want.Kind() == reflect.Struct && want.Type() != reflect.TypeFor[time.Time]() && !selfMade(want.Type()) {
		want, got = addressable(want), addressable(got)
		for i, f := range fields(want.Type()) {
			all = append(all, differences(path+"."+f.Name, field(want, i), field(got, i))...)
		}
		return all
	}
	if kindOfList(want.Kind()) && want.Len() == got.Len() {
		for i := range want.Len() {
			all = append(all, differences(fmt.Sprintf("%s[%d]", path, i), want.Index(i), got.Index(i))...)
		}
		return all
	}
	if want.Kind() == reflect.Pointer && !want.IsNil() && !got.IsNil() {
		return differences(path, want.Elem(), got.Elem())
	}
	return []string{fmt.Sprintf("%s is %+v when it is written and %+v when it is read", path, want.Interface(), got.Interface())}
}

func kindOfList(k reflect.Kind) bool { return k == reflect.Slice || k == reflect.Array }

func addressable(v reflect.Value) reflect.Value {
	if v.CanAddr() {
		return v
	}
	a := reflect.New(v.Type()).Elem()
	a.Set(v)
	return a
}
