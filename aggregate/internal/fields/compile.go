package fields

import (
	"encoding"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"unsafe"
)

// A compiler makes each type's node once, so that a type may contain itself.
type compiler map[reflect.Type]*node

func (c compiler) node(t reflect.Type, path string) (*node, error) {
	if n, ok := c[t]; ok {
		return n, nil
	}
	n := &node{}
	c[t] = n
	if Marshals(t) {
		*n = marshaled
		return n, nil
	}
	made, ok := scalars[t.Kind()]
	var err error
	if !ok {
		switch t.Kind() {
		case reflect.Struct:
			made, err = c.structNode(t, path)
		case reflect.Pointer:
			made, err = c.pointerNode(t, path)
		case reflect.Slice:
			made, err = c.sliceNode(t, path)
		case reflect.Array:
			made, err = c.arrayNode(t, path)
		case reflect.Map:
			made, err = c.mapNode(t, path)
		default:
			err = fmt.Errorf("%s is of kind %v (%v), which cannot be written and brought back", path, t.Kind(), t)
		}
	}
	*n = made
	return n, err
}

// A field is where a part of a struct lies.
type field struct {
	*node
	goType reflect.Type
	offset uintptr
}

// of returns the field of a struct as if it were exported.
func (f *field) of(v reflect.Value) reflect.Value {
	return reflect.NewAt(f.goType, unsafe.Add(v.Addr().UnsafePointer(), f.offset)).Elem()
}

func (c compiler) structNode(t reflect.Type, path string) (node, error) {
	all := make([]field, 0, t.NumField())
	for f := range t.Fields() {
		n, err := c.node(f.Type, path+"."+f.Name)
		if err != nil {
			return node{}, err
		}
		all = append(all, field{n, f.Type, f.Offset})
	}
	return node{
		append: func(b []byte, v reflect.Value, depth int) (_ []byte, err error) {
			for i := range all {
				if b, err = all[i].append(b, all[i].of(v), depth); err != nil {
					return b, err
				}
			}
			return b, nil
		},
		read: func(in *reader, v reflect.Value, depth int) error {
			for i := range all {
				if err := all[i].read(in, all[i].of(v), depth); err != nil {
					return err
				}
			}
			return nil
		},
	}, nil
}

func (c compiler) pointerNode(t reflect.Type, path string) (node, error) {
	elem, err := c.node(t.Elem(), path)
	return node{
		append: func(b []byte, v reflect.Value, depth int) ([]byte, error) {
			if v.IsNil() {
				return append(b, 0), nil
			}
			if depth++; depth > maxDepth {
				return b, errDeep
			}
			return elem.append(append(b, 1), v.Elem(), depth)
		},
		read: func(in *reader, v reflect.Value, depth int) error {
			if there, err := in.bool(); err != nil || !there {
				v.SetZero()
				return err
			}
			if depth++; depth > maxDepth {
				return errDeep
			}
			v.Set(reflect.New(t.Elem()))
			return elem.read(in, v.Elem(), depth)
		},
	}, err
}

// marshaled writes values with their own methods.
var marshaled = node{
	append: func(b []byte, v reflect.Value, _ int) ([]byte, error) {
		data, err := v.Addr().Interface().(encoding.BinaryMarshaler).MarshalBinary()
		if err != nil {
			return b, fmt.Errorf("fields: %v: %w", v.Type(), err)
		}
		return append(binary.AppendUvarint(b, uint64(len(data))), data...), nil
	},
	read: func(in *reader, v reflect.Value, _ int) error {
		data, err := in.bytes()
		if err != nil {
			return err
		}
		v.SetZero()
		if err := v.Addr().Interface().(encoding.BinaryUnmarshaler).UnmarshalBinary(data); err != nil {
			return fmt.Errorf("fields: %v: %w", v.Type(), err)
		}
		return nil
	},
}

var scalars = func() map[reflect.Kind]node {
	all := map[reflect.Kind]node{
		reflect.Bool: {
			append: func(b []byte, v reflect.Value, _ int) ([]byte, error) {
				if v.Bool() {
					return append(b, 1), nil
				}
				return append(b, 0), nil
			},
			read: func(in *reader, v reflect.Value, _ int) error {
				yes, err := in.bool()
				v.SetBool(yes)
				return err
			},
		},
		reflect.String: {
			append: func(b []byte, v reflect.Value, _ int) ([]byte, error) {
				return append(binary.AppendUvarint(b, uint64(v.Len())), v.String()...), nil
			},
			read: func(in *reader, v reflect.Value, _ int) error {
				data, err := in.bytes()
				v.SetString(string(data))
				return err
			},
		},
	}
	for k := reflect.Int; k <= reflect.Int64; k++ {
		all[k] = node{
			append: func(b []byte, v reflect.Value, _ int) ([]byte, error) { return binary.AppendVarint(b, v.Int()), nil },
			read: func(in *reader, v reflect.Value, _ int) error {
				u, err := in.uvarint()
				n := int64(u>>1) ^ -int64(u&1) // as [binary.AppendVarint] folds the sign
				if err == nil && v.OverflowInt(n) {
					err = errMalformed
				}
				v.SetInt(n)
				return err
			},
		}
	}
	for k := reflect.Uint; k <= reflect.Uintptr; k++ {
		all[k] = node{
			append: func(b []byte, v reflect.Value, _ int) ([]byte, error) { return binary.AppendUvarint(b, v.Uint()), nil },
			read: func(in *reader, v reflect.Value, _ int) error {
				u, err := in.uvarint()
				if err == nil && v.OverflowUint(u) {
					err = errMalformed
				}
				v.SetUint(u)
				return err
			},
		}
	}
	float := node{
		append: func(b []byte, v reflect.Value, _ int) ([]byte, error) { return appendFloat(b, v.Float()), nil },
		read: func(in *reader, v reflect.Value, _ int) error {
			f, err := in.float()
			v.SetFloat(f)
			return err
		},
	}
	all[reflect.Float32], all[reflect.Float64] = float, float
	complexes := node{
		append: func(b []byte, v reflect.Value, _ int) ([]byte, error) {
			c := v.Complex()
			return appendFloat(appendFloat(b, real(c)), imag(c)), nil
		},
		read: func(in *reader, v reflect.Value, _ int) error {
			re, err := in.float()
			if err != nil {
				return err
			}
			im, err := in.float()
			v.SetComplex(complex(re, im))
			return err
		},
	}
	all[reflect.Complex64], all[reflect.Complex128] = complexes, complexes
	return all
}()

func appendFloat(b []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
}
