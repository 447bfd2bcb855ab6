package aggregatetest

import (
	"hash/maphash"
	"math"
	"math/bits"
	"reflect"
	"time"
)

// A mark stands for everything that a value refers to at one time.
type mark struct {
	value uint64 // what readers see
	spare uint64 // what lies between the length and the capacity of slices
	size  int    // how much there was to see
}

var seed = maphash.MakeSeed()

// watch returns the mark of a value. It looks at all fields, and follows
// pointers. A nil and an empty slice or map count as the same, and times as
// instants.
func watch(v any) mark {
	return markOf(map[uintptr]int{}, reflect.ValueOf(v))
}

func markOf(path map[uintptr]int, values ...reflect.Value) mark {
	w := watcher{path: path}
	for _, v := range values {
		w.see(v)
	}
	return w.mark
}

type watcher struct {
	mark
	path map[uintptr]int // pointers on the way here, against circles
}

// mix returns a number that stands for h and then n.
func mix(h, n uint64) uint64 { return bits.RotateLeft64(h^n, 29) * 0x9e3779b97f4a7c15 }

func (w *watcher) number(n uint64) { w.value = mix(w.value, n) }
func (w *watcher) text(s string)   { w.number(maphash.String(seed, s)) }

func (w *watcher) see(v reflect.Value) {
	w.size++
	if !v.IsValid() {
		w.number(0)
		return
	}
	w.number(uint64(v.Kind()))
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			w.number(1)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.number(uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		w.number(v.Uint())
	case reflect.Float32, reflect.Float64:
		w.number(math.Float64bits(v.Float()))
	case reflect.Complex64, reflect.Complex128:
		w.number(math.Float64bits(real(v.Complex())))
		w.number(math.Float64bits(imag(v.Complex())))
	case reflect.String:
		w.text(v.String())
	case reflect.Struct:
		w.fields(v)
	case reflect.Array:
		for i := range v.Len() {
			w.see(v.Index(i))
		}
	case reflect.Slice:
		w.slice(v)
	case reflect.Map:
		w.entries(v)
	case reflect.Interface:
		if !v.IsNil() {
			w.text(v.Elem().Type().String())
		}
		w.see(v.Elem())
	case reflect.Pointer:
		w.follow(v)
	default: // func, chan, unsafe.Pointer: what they do is not seen
		w.number(uint64(v.Pointer()))
	}
}

func (w *watcher) fields(v reflect.Value) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		w.time(v)
		return
	}
	for _, f := range v.Fields() {
		w.see(f)
	}
}

func (w *watcher) time(v reflect.Value) {
	if !v.CanInterface() { // in a field that is not exported: all but the place
		w.see(v.Field(0))
		w.see(v.Field(1))
		return
	}
	t := v.Interface().(time.Time)
	w.number(uint64(t.Unix()))
	w.number(uint64(t.Nanosecond()))
}

func (w *watcher) slice(v reflect.Value) {
	w.number(uint64(v.Len()))
	for i := range v.Len() {
		w.see(v.Index(i))
	}
	if v.Cap() > v.Len() {
		behind := v.Slice(v.Len(), v.Cap())
		for i := range behind.Len() {
			m := markOf(w.path, behind.Index(i))
			w.spare = mix(w.spare, m.value)
			w.size += m.size
		}
	}
}

// entries adds the marks of the entries, because they have no order.
func (w *watcher) entries(v reflect.Value) {
	var sum mark
	for it := v.MapRange(); it.Next(); {
		m := markOf(w.path, it.Key(), it.Value())
		sum.value += m.value
		sum.spare += m.spare
		w.size += m.size
	}
	w.number(uint64(v.Len()))
	w.number(sum.value)
	w.spare = mix(w.spare, sum.spare)
}

func (w *watcher) follow(v reflect.Value) {
	p := v.Pointer()
	if at, circle := w.path[p]; circle || v.IsNil() {
		w.number(uint64(at))
		return
	}
	w.path[p] = len(w.path) + 1
	defer delete(w.path, p)
	w.see(v.Elem())
}
