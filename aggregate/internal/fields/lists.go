package fields

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
)

// isBytes reports whether a list of t is written in one piece.
func isBytes(elem reflect.Type) bool { return elem.Kind() == reflect.Uint8 && !Marshals(elem) }

func (c compiler) sliceNode(t reflect.Type, path string) (node, error) {
	elem, err := c.node(t.Elem(), path+"[]")
	size := t.Elem().Size()
	return node{
		append: func(b []byte, v reflect.Value, depth int) ([]byte, error) {
			if v.IsNil() {
				return append(b, 0), nil
			}
			b = binary.AppendUvarint(b, uint64(v.Len())+1)
			if isBytes(t.Elem()) {
				return append(b, v.Bytes()...), nil
			}
			return appendAll(elem, b, v, depth)
		},
		read: func(in *reader, v reflect.Value, depth int) error {
			n, there, err := in.length(size)
			if err != nil || !there {
				v.SetZero()
				return err
			}
			v.Set(reflect.MakeSlice(t, n, n))
			if isBytes(t.Elem()) {
				return in.into(v.Bytes())
			}
			return readAll(elem, in, v, depth)
		},
	}, err
}

func (c compiler) arrayNode(t reflect.Type, path string) (node, error) {
	elem, err := c.node(t.Elem(), path+"[]")
	if isBytes(t.Elem()) {
		return node{
			append: func(b []byte, v reflect.Value, _ int) ([]byte, error) { return append(b, v.Bytes()...), nil },
			read:   func(in *reader, v reflect.Value, _ int) error { return in.into(v.Bytes()) },
		}, err
	}
	return node{
		append: func(b []byte, v reflect.Value, depth int) ([]byte, error) { return appendAll(elem, b, v, depth) },
		read:   func(in *reader, v reflect.Value, depth int) error { return readAll(elem, in, v, depth) },
	}, err
}

// appendAll writes the elements of a list, of which those without a size have
// nothing to write.
func appendAll(elem *node, b []byte, v reflect.Value, depth int) (_ []byte, err error) {
	if depth++; depth > maxDepth {
		return b, errDeep
	}
	for i := 0; i < v.Len() && v.Type().Elem().Size() > 0; i++ {
		if b, err = elem.append(b, v.Index(i), depth); err != nil {
			return b, err
		}
	}
	return b, nil
}

func readAll(elem *node, in *reader, v reflect.Value, depth int) error {
	if depth++; depth > maxDepth {
		return errDeep
	}
	for i := 0; i < v.Len() && v.Type().Elem().Size() > 0; i++ {
		if err := elem.read(in, v.Index(i), depth); err != nil {
			return err
		}
	}
	return nil
}

// mapNode writes pairs in the order of the keys' bytes.
func (c compiler) mapNode(t reflect.Type, path string) (node, error) {
	key, err := c.node(t.Key(), path+"[key]")
	if err != nil {
		return node{}, err
	}
	elem, err := c.node(t.Elem(), path+"[]")
	return node{
		append: func(b []byte, v reflect.Value, depth int) ([]byte, error) {
			if v.IsNil() {
				return append(b, 0), nil
			}
			return appendMap(key, elem, binary.AppendUvarint(b, uint64(v.Len())+1), v, depth+1)
		},
		read: func(in *reader, v reflect.Value, depth int) error {
			n, there, err := in.length(t.Key().Size())
			if err != nil || !there {
				v.SetZero()
				return err
			}
			if depth++; depth > maxDepth {
				return errDeep
			}
			v.Set(reflect.MakeMapWithSize(t, n))
			for range n {
				k, e := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
				if err := key.read(in, k, depth); err != nil {
					return err
				}
				if err := elem.read(in, e, depth); err != nil {
					return err
				}
				v.SetMapIndex(k, e)
			}
			if v.Len() != n {
				return fmt.Errorf("%w: a key twice", errMalformed)
			}
			return nil
		},
	}, err
}

func appendMap(key, elem *node, b []byte, v reflect.Value, depth int) (_ []byte, err error) {
	if depth > maxDepth {
		return b, errDeep
	}
	type pair struct{ at, value, end int }
	pairs := make([]pair, 0, v.Len())
	k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
	var buf []byte
	for it := v.MapRange(); it.Next(); {
		p := pair{at: len(buf)}
		k.SetIterKey(it)
		e.SetIterValue(it)
		if buf, err = key.append(buf, k, depth); err != nil {
			return b, err
		}
		p.value = len(buf)
		if buf, err = elem.append(buf, e, depth); err != nil {
			return b, err
		}
		p.end = len(buf)
		pairs = append(pairs, p)
	}
	slices.SortFunc(pairs, func(x, y pair) int { return bytes.Compare(buf[x.at:x.value], buf[y.at:y.value]) })
	for _, p := range pairs {
		b = append(b, buf[p.at:p.end]...)
	}
	return b, nil
}
