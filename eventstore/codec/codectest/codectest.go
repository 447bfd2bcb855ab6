// Package codectest checks what package codec cannot see when a program starts:
// that nothing of an event is lost between writing and reading it, and that all
// types of a sum type are registered.
//
//	func TestEvents(t *testing.T) {
//		codectest.RoundTrip(t, newEvents())
//		codectest.Covers[order.Event](t, newEvents())
//	}
package codectest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
)

// RoundTrip encodes a value of each registered type, with something in every
// field, decodes it, and fails the test with the fields that are lost or come
// back as something else. Fields with the tag "-" are left out on purpose and
// stay empty, as do values of types with marshalling methods of their own other
// than [time.Time], and the values that pointers such as Protobuf messages point
// to.
func RoundTrip(t testing.TB, c *codec.Codec) {
	t.Helper()
	for _, info := range c.Types() {
		for _, problem := range roundTrip(c, info) {
			t.Errorf("event %q: %s", info.Name, problem)
		}
	}
}

func roundTrip(c *codec.Codec, info codec.TypeInfo) (problems []string) {
	value := sample(info.GoType)
	e, err := c.Encode(value.Interface())
	if err != nil {
		return []string{err.Error()}
	}
	got, err := c.Decode(eventstore.Recorded{
		Stream: "test-1", Version: 1, Position: 1, Type: e.Type, ContentType: e.ContentType, Data: e.Data, Metadata: e.Metadata,
	})
	if err != nil {
		return []string{err.Error()}
	}
	if info.GoType.Kind() != reflect.Pointer {
		return differences(info.GoType.Name(), value, reflect.ValueOf(got))
	}
	again, err := c.Encode(got)
	if err == nil && !bytes.Equal(e.Data, again.Data) {
		err = fmt.Errorf("it is stored as %q, and as %q once it was read", e.Data, again.Data)
	}
	if err != nil {
		return []string{err.Error()}
	}
	return nil
}

// Covers fails the test with the types that implement E, an interface of the
// package in which they are, and are not registered. It reads the source of
// that package, which must be one that can be imported. A type that embeds an
// exported one which implements E is taken for something else, such as a
// command that carries an event.
func Covers[E any](t testing.TB, c *codec.Codec) {
	t.Helper()
	sum := reflect.TypeFor[E]()
	missing, err := uncovered(sum, c)
	if err != nil {
		t.Errorf("codectest: read package %q of %v: %v", sum.PkgPath(), sum, err)
	}
	if len(missing) > 0 {
		t.Errorf("types that are a %v and are not registered: %s; add codec.Type for each", sum, strings.Join(missing, ", "))
	}
}

func uncovered(sum reflect.Type, c *codec.Codec) (missing []string, err error) {
	registered := make(map[string]bool)
	for _, info := range c.Types() {
		t := info.GoType
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		registered[t.PkgPath()+"."+t.Name()] = true
	}
	pkg, err := parse(sum.PkgPath())
	if err != nil {
		return nil, err
	}
	named := pkg.Scope().Lookup(sum.Name())
	if named == nil || !types.IsInterface(named.Type()) {
		return nil, fmt.Errorf("it has no interface %q", sum.Name())
	}
	iface := named.Type().Underlying().(*types.Interface)
	for _, name := range pkg.Scope().Names() {
		obj, ok := pkg.Scope().Lookup(name).(*types.TypeName)
		if !ok || obj.IsAlias() || types.IsInterface(obj.Type()) || registered[sum.PkgPath()+"."+name] {
			continue
		}
		if implements(obj.Type(), iface) && !borrows(obj.Type(), iface) {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

func implements(t types.Type, iface *types.Interface) bool {
	return types.Implements(t, iface) || types.Implements(types.NewPointer(t), iface)
}

// borrows reports whether t embeds an exported type that implements iface.
func borrows(t types.Type, iface *types.Interface) bool {
	s, ok := t.Underlying().(*types.Struct)
	if !ok {
		return false
	}
	for f := range s.Fields() {
		if f.Embedded() && f.Exported() && implements(f.Type(), iface) {
			return true
		}
	}
	return false
}

// parse reads the declarations of a package. What it imports is not read, which
// would take seconds: it is enough to know which methods its types have.
func parse(path string) (*types.Package, error) {
	found, err := build.Import(path, ".", 0)
	if err != nil {
		return nil, err
	}
	fset, files := token.NewFileSet(), []*ast.File(nil)
	for _, name := range found.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(found.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	conf := types.Config{IgnoreFuncBodies: true, FakeImportC: true, Importer: unread{}, Error: func(error) {}}
	pkg, _ := conf.Check(path, fset, files, nil) // complains of what was not read
	return pkg, nil
}

// unread imports packages that have nothing in them.
type unread struct{}

// Import implements [types.Importer].
func (unread) Import(path string) (*types.Package, error) {
	pkg := types.NewPackage(path, filepath.Base(path))
	pkg.MarkComplete()
	return pkg, nil
}
