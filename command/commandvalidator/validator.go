// Package commandvalidator holds commands to the struct tags of
// github.com/go-playground/validator.
//
//	type Place struct {
//		ID       string `validate:"required,uuid"`
//		Customer string `validate:"required"`
//		Lines    []Line `validate:"min=1,dive"`
//	}
package commandvalidator

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	"github.com/go-playground/validator/v10"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
)

// Validate holds commands that are structs, or pointers to structs, to their
// tags. What v finds wrong comes back in a [*command.InvalidError], from which
// errors.As gives validator.ValidationErrors. A nil v is
// validator.New(validator.WithRequiredStructEnabled()); register your own
// functions with v before handlers are registered.
//
// A tag that v does not know panics when the handler is registered, also one of
// a nested struct, but not one behind a field of an interface type. To find it,
// functions of v.RegisterStructValidation are called with zero values then.
func Validate(v *validator.Validate) command.Middleware {
	if v == nil {
		v = validator.New(validator.WithRequiredStructEnabled())
	}
	return func(route command.Route, next command.Handler) command.Handler {
		if structOf(route.Type) == nil {
			return next
		}
		check(v, route)
		return func(ctx context.Context, cmd any) (eventstore.Receipt, error) {
			if err := v.StructCtx(ctx, cmd); err != nil {
				return eventstore.Receipt{}, &command.InvalidError{Command: route.Name, Err: err}
			}
			return next(ctx, cmd)
		}
	}
}

// check has v read the tags of all structs that it may meet in a command.
func check(v *validator.Validate, route command.Route) {
	at := route.Type
	defer func() {
		if p := recover(); p != nil {
			panic(fmt.Sprintf("commandvalidator: command %s: tags of %v: %v", route.Name, at, p))
		}
	}()
	seen := map[reflect.Type]bool{}
	var visit func(t reflect.Type)
	visit = func(t reflect.Type) {
		if t == nil || seen[t] {
			return
		}
		seen[t], at = true, t
		_ = v.StructFiltered(reflect.Zero(t).Interface(), func([]byte) bool { return true }) // reads the tags and leaves out every field
		for f := range t.Fields() {
			if f.IsExported() || f.Anonymous {
				visit(structIn(f))
			}
		}
	}
	visit(structOf(route.Type))
}

// structIn returns the type of the structs that v looks into for a field, if
// any. What the tag is called is known to v only.
func structIn(f reflect.StructField) reflect.Type {
	t := f.Type
	for strings.Contains(string(f.Tag), "dive") {
		switch t.Kind() {
		case reflect.Array, reflect.Slice, reflect.Map, reflect.Pointer:
			t = t.Elem()
			continue
		}
		break
	}
	return structOf(t)
}

// structOf returns t, or what it points to, if that is a struct.
func structOf(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}
