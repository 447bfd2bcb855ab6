package shred

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/foldstream/foldstream/eventstore/codec"
)

// TagErased is the struct tag with the placeholder of a field: what is stored
// in its place, and read once it is erased. Fields of other kinds than strings,
// numbers and booleans have none.
//
// A boolean field that is never set, with the placeholder true, tells a reader
// that the event was erased.
const TagErased = "erased"

// A Field says that a field is personal, where there is no room for struct
// tags, see [Fields].
type Field struct {
	Path    string // such as "Name" or "Address.Street"; empty for the whole event
	Subject string // as in the tag: a path beside the field, perhaps with a prefix before a slash
	Erased  string // the placeholder; empty for none
}

// Fields names the personal fields of a type as if they had the tags, such as
// those of a type that is generated.
func Fields(fields ...Field) codec.TypeOption { return codec.Personal(fields) }

// marks are the tags of the fields of a type, from wherever.
type marks map[mark]Field

type mark struct {
	of   reflect.Type // struct
	name string       // of its field; "_" for the whole
}

// marksOf finds the fields that options name in t, a struct type.
func marksOf(t reflect.Type, options []any) (marks, error) {
	all := make(marks)
	for _, o := range options {
		fields, ok := o.([]Field)
		if !ok {
			return nil, fmt.Errorf("codec.Personal(%T) is not for package shred; use shred.Fields", o)
		}
		for _, f := range fields {
			of, name := t, f.Path
			for {
				first, rest, deeper := strings.Cut(name, ".")
				if !deeper {
					break
				}
				sub, ok := of.FieldByName(first)
				if !ok || elem(sub.Type).Kind() != reflect.Struct {
					return nil, fmt.Errorf("shred.Fields: %q: %v has no struct %s", f.Path, of, first)
				}
				of, name = elem(sub.Type), rest
			}
			if name == "" {
				name = "_"
			} else if sf, ok := of.FieldByName(name); !ok || !sf.IsExported() {
				return nil, fmt.Errorf("shred.Fields: %q: %v has no exported field %s", f.Path, of, name)
			}
			all[mark{of, name}] = f
		}
	}
	return all, nil
}

// elem returns what pointers, slices and arrays are of.
func elem(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array {
		t = t.Elem()
	}
	return t
}

// of returns what is said of a field of t.
func (m marks) of(t reflect.Type, f *reflect.StructField) (Field, bool) {
	if said, ok := m[mark{t, f.Name}]; ok {
		return said, true
	}
	said := Field{Path: f.Name, Erased: f.Tag.Get(TagErased)}
	var ok bool
	said.Subject, ok = f.Tag.Lookup(codec.TagPersonal)
	return said, ok || said.Erased != ""
}

// A ref finds the subject beside a field.
type ref struct {
	prefix string
	index  []int
	text   func(reflect.Value) string
}

var textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

// refTo parses a subject, such as "customer/ID".
func (m marks) refTo(t reflect.Type, said *Field) (ref, error) {
	i := strings.LastIndexByte(said.Subject, '/') + 1
	r := ref{prefix: said.Subject[:i]}
	for name := range strings.SplitSeq(said.Subject[i:], ".") {
		if t.Kind() != reflect.Struct {
			return r, fmt.Errorf("subject %q: %v has no fields", said.Subject, t)
		}
		f, ok := t.FieldByName(name)
		if !ok || !f.IsExported() {
			return r, fmt.Errorf("subject %q: %v has no exported field %q; name the field that holds the id of the data subject", said.Subject, t, name)
		}
		if s, ok := m.of(t, &f); ok && s.Subject != "" {
			return r, fmt.Errorf("subject %q: field %s is personal itself, so nobody could tell whose key it needs", said.Subject, name)
		}
		r.index = append(r.index, f.Index...)
		t = f.Type
	}
	switch kind := t.Kind(); {
	case kind == reflect.String:
		r.text = reflect.Value.String
	case t.Implements(textMarshaler) && kind != reflect.Pointer && kind != reflect.Interface:
		r.text = marshalText
	case kind >= reflect.Int && kind <= reflect.Int64:
		r.text = func(v reflect.Value) string { return strconv.FormatInt(v.Int(), 10) }
	case kind >= reflect.Uint && kind <= reflect.Uint64:
		r.text = func(v reflect.Value) string { return strconv.FormatUint(v.Uint(), 10) }
	default:
		return r, fmt.Errorf("subject %q is a %v; it must be a string, a whole number or an encoding.TextMarshaler", said.Subject, t)
	}
	return r, nil
}

func marshalText(v reflect.Value) string {
	text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return ""
	}
	return string(text)
}

// in returns the subject in a struct, and "" if it is not set.
func (r *ref) in(v reflect.Value) string {
	f, err := v.FieldByIndexErr(r.index) // an error: behind a nil pointer
	if err != nil || f.IsZero() {
		return ""
	}
	if text := r.text(f); text != "" {
		return r.prefix + text
	}
	return ""
}

// placeholder returns what is stored in place of a personal field.
func placeholder(t reflect.Type, text string) (reflect.Value, error) {
	v := reflect.New(t).Elem()
	if text == "" {
		return v, nil
	}
	var err error
	switch kind := t.Kind(); {
	case kind == reflect.String:
		v.SetString(text)
	case kind == reflect.Bool:
		var b bool
		b, err = strconv.ParseBool(text)
		v.SetBool(b)
	case kind >= reflect.Int && kind <= reflect.Int64:
		var n int64
		n, err = strconv.ParseInt(text, 10, t.Bits())
		v.SetInt(n)
	case kind >= reflect.Uint && kind <= reflect.Uint64:
		var n uint64
		n, err = strconv.ParseUint(text, 10, t.Bits())
		v.SetUint(n)
	case kind == reflect.Float32, kind == reflect.Float64:
		var n float64
		n, err = strconv.ParseFloat(text, t.Bits())
		v.SetFloat(n)
	default:
		return v, fmt.Errorf("placeholder %q: a %v can have none; leave it out, and the field is zero", text, t)
	}
	if err != nil {
		return v, fmt.Errorf("placeholder %q is no %v", text, t)
	}
	return v, nil
}
