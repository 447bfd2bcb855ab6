package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/foldstream/foldstream/eventstore"
)

// A Handler carries out a command. The bus hands one to each [Middleware].
type Handler func(ctx context.Context, cmd any) (eventstore.Receipt, error)

// A Middleware wraps the handlers of a bus. It is called once for each command
// type, when its handler is registered, and panics if it cannot serve that type.
type Middleware func(r Route, next Handler) Handler

// A Route is a command type and what it is called in logs, traces and errors:
// its Go name with its package, such as order.Place.
type Route struct {
	Name string
	Type reflect.Type
}

// Options configure a [Bus]. The zero value is ready to use.
type Options struct {
	Middleware []Middleware // outermost first
}

// A Bus takes each command to its handler, in the caller's goroutine. It is
// safe for concurrent use.
type Bus struct {
	middleware []Middleware
	mu         sync.Mutex            // held to register
	routes     atomic.Pointer[table] // what it points to is never changed
}

// table has the routes by the address of their type's descriptor, which hashes
// faster than an interface.
type table map[uintptr]*route

type route struct {
	Route
	typed  any // func(context.Context, C) (Receipt, error) if there is no middleware
	handle Handler
}

// NewBus returns a bus without handlers. A nil opts means the defaults.
func NewBus(opts *Options) *Bus {
	b := new(Bus)
	if opts != nil {
		b.middleware = slices.Clone(opts.Middleware)
	}
	b.routes.Store(&table{})
	return b
}

// Register makes handle the handler of commands of type C. It panics if there
// is one already, because two owners of a command are a mistake in the program,
// and if a middleware does not accept the type. Handlers may be registered while
// others are at work.
func Register[C any](b *Bus, handle func(context.Context, C) (eventstore.Receipt, error)) {
	t := reflect.TypeFor[C]()
	r := &route{Route: Route{Name: t.String(), Type: t}}
	r.handle = func(ctx context.Context, cmd any) (eventstore.Receipt, error) { return handle(ctx, cmd.(C)) }
	if len(b.middleware) == 0 {
		r.typed = handle
	}
	b.register(r)
}

func (b *Bus) register(r *route) {
	if r.Type.Kind() == reflect.Interface {
		panic(fmt.Sprintf("command: %s is an interface; register each command type", r.Name))
	}
	for _, wrap := range slices.Backward(b.middleware) {
		r.handle = wrap(r.Route, r.handle)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.route(r.Type) != nil {
		panic(fmt.Sprintf("command: %s has a handler already; a command has one owner", r.Name))
	}
	routes := maps.Clone(*b.routes.Load())
	routes[key(r.Type)] = r
	b.routes.Store(&routes)
}

// key returns the address of a type's descriptor, or 0 for no type.
func key(t reflect.Type) uintptr { return reflect.ValueOf(t).Pointer() }

// route returns the route of a type, or nil.
func (b *Bus) route(t reflect.Type) *route {
	if t == nil {
		return nil
	}
	return (*b.routes.Load())[key(t)]
}

// Check returns a [*NoHandlerError] for each of the given commands, of which
// only the types count, that has no handler.
func (b *Bus) Check(commands ...any) error {
	var errs []error
	for _, c := range commands {
		if b.route(reflect.TypeOf(c)) == nil {
			errs = append(errs, &NoHandlerError{Command: typeName(c)})
		}
	}
	return errors.Join(errs...)
}

// Commands returns the names of the command types that have handlers, sorted.
func (b *Bus) Commands() []string {
	var names []string
	for _, r := range *b.routes.Load() {
		names = append(names, r.Name)
	}
	slices.Sort(names)
	return names
}

// Send has cmd carried out and returns what its handler returned, or a
// [*NoHandlerError]. cmd may be of an interface type; its dynamic type counts.
//
// A command that is sent while another is handled, or in reaction to an event,
// inherits the correlation id and metadata of that cause, names it, and without
// [WithID] has an id that follows from it, see [eventstore.DeriveCommandID].
//
// [OutcomeOf] says what an error means. One that is uncertain leaves open
// whether the command was carried out; sending it again with the same id is
// safe.
func Send[C any](ctx context.Context, b *Bus, cmd C, opts ...SendOption) (eventstore.Receipt, error) {
	t := reflect.TypeFor[C]()
	if t.Kind() == reflect.Interface {
		t = reflect.TypeOf(cmd)
	}
	r := b.route(t)
	if r == nil {
		return eventstore.Receipt{}, &NoHandlerError{Command: typeName(cmd)}
	}
	if len(opts) > 0 || eventstore.OriginFromContext(ctx) != nil {
		ctx = withOrigin(ctx, cmd, r.Name, opts)
	}
	if handle, ok := r.typed.(func(context.Context, C) (eventstore.Receipt, error)); ok {
		return handle(ctx, cmd) // without a copy of cmd on the heap
	}
	return r.handle(ctx, cmd)
}

func typeName(cmd any) string { return fmt.Sprint(reflect.TypeOf(cmd)) }
