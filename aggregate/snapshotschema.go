package aggregate

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/foldstream/foldstream/aggregate/internal/fields"
)

// schemaOf describes the type of a state in a short text that is another one
// when a field is added, removed, renamed, moved, or has another type or tag.
func schemaOf(t reflect.Type, contentType string, version int) string {
	s := schema{}
	s.add(t)
	sum := sha256.Sum256([]byte(contentType + " " + s.text.String()))
	return fmt.Sprintf("%d-%x", version, sum[:12])
}

type schema struct {
	text strings.Builder
	seen []reflect.Type // what may contain itself is described once
}

func (s *schema) add(t reflect.Type) {
	if i := slices.Index(s.seen, t); i >= 0 {
		fmt.Fprintf(&s.text, "@%d", i)
		return
	}
	if t.Name() != "" {
		s.seen = append(s.seen, t)
	}
	switch {
	case fields.Marshals(t) || t.Kind() == reflect.Interface:
		fmt.Fprintf(&s.text, "%s.%s", t.PkgPath(), t.Name())
	case t.Kind() == reflect.Struct:
		s.text.WriteString("struct{")
		for f := range t.Fields() {
			fmt.Fprintf(&s.text, "%q %t %q ", f.Name, f.Anonymous, f.Tag)
			s.add(f.Type)
			s.text.WriteByte(';')
		}
		s.text.WriteByte('}')
	case t.Kind() == reflect.Map:
		s.text.WriteString("map[")
		s.add(t.Key())
		s.text.WriteByte(']')
		s.add(t.Elem())
	case t.Kind() == reflect.Array:
		fmt.Fprintf(&s.text, "[%d]", t.Len())
		s.add(t.Elem())
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer:
		s.text.WriteString(t.Kind().String() + " ")
		s.add(t.Elem())
	default:
		s.text.WriteString(t.Kind().String())
	}
}

// ownMethods are those by which types write themselves in some encoding.
var ownMethods = []string{"MarshalBinary", "MarshalText", "MarshalJSON", "MarshalMsgpack", "EncodeMsgpack", "MarshalMsg", "MarshalCBOR", "GobEncode"}

// hidden returns the path of a field that encodings leave out because it is
// not exported, or "". Whether what is written comes back as it was is found
// when it is tried, see [snapshots.take].
func hidden(t reflect.Type, path string, seen map[reflect.Type]bool) string {
	if seen[t] {
		return ""
	}
	seen[t] = true
	for _, m := range ownMethods {
		if _, ok := reflect.PointerTo(t).MethodByName(m); ok {
			return ""
		}
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Array, reflect.Pointer:
		return hidden(t.Elem(), path, seen)
	case reflect.Map:
		if at := hidden(t.Key(), path, seen); at != "" {
			return at
		}
		return hidden(t.Elem(), path, seen)
	case reflect.Struct:
		for f := range t.Fields() {
			at := path + "." + f.Name
			if !f.IsExported() && !f.Anonymous && f.Type.Size() > 0 && f.Name != "_" {
				return at
			}
			if at = hidden(f.Type, at, seen); at != "" {
				return at
			}
		}
	}
	return ""
}

// everyField is the default encoding of the states of one type.
type everyField struct{ *fields.Codec }

func (everyField) ContentType() string { return "application/vnd.foldstream.fields" }

// encodingOf returns the encoding of states of type t. It panics if they could
// not be brought back: such a program must not start.
func encodingOf(t reflect.Type, given SnapshotEncoding) SnapshotEncoding {
	if given != nil {
		if at := hidden(t, t.String(), map[reflect.Type]bool{}); at != "" {
			panic(fmt.Sprintf("aggregate: snapshots: field %s is not exported, and %s leaves such fields out; export it, give its type methods such as MarshalBinary and UnmarshalBinary, or leave out SnapshotOptions.Encoding, whose default writes all fields", at, given.ContentType()))
		}
		return given
	}
	c, err := fields.Compile(t)
	if err != nil {
		panic(fmt.Sprintf("aggregate: snapshots: %v; give the type around it methods MarshalBinary and UnmarshalBinary, or give a SnapshotOptions.Encoding", err))
	}
	return everyField{c}
}
