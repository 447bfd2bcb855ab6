package command

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/foldstream/foldstream/eventstore"
)

// A Handler carries out a command. The bus hands one to each [Middleware].
type Handler func(ctx context.Context, cmd any) (eventstore.Receipt, error)

// A Middleware wraps the handlers of a bus. It is called once for each command
// type, when its handler is registered, with the name of the type.
type Middleware func(name string, next Handler) Handler

// Options configure a [Bus]. The zero value is ready to use.
type Options struct {
	Middleware []Middleware // outermost first
}

// A Bus takes each command to its handler, in the caller's goroutine. It is
// safe for concurrent use.
type Bus struct {
	opts   Options
	mu     sync.RWMutex
	routes map[reflect.Type]Handler
}

// NewBus returns a bus without handlers. A nil opts means the defaults.
func NewBus(opts *Options) *Bus {
	b := &Bus{routes: make(map[reflect.Type]Handler)}
	if opts != nil {
		b.opts = *opts
	}
	return b
}

// Register makes handle the handler of commands of type C. It panics if there
// is one already, because two owners of a command are a mistake in the program.
func Register[C any](b *Bus, handle func(context.Context, C) (eventstore.Receipt, error)) {
	b.register(reflect.TypeFor[C](), func(ctx context.Context, cmd any) (eventstore.Receipt, error) {
		return handle(ctx, cmd.(C))
	})
}

func (b *Bus) register(t reflect.Type, h Handler) {
	if t.Kind() == reflect.Interface {
		panic(fmt.Sprintf("command: %v is an interface; register each command type", t))
	}
	for _, wrap := range slices.Backward(b.opts.Middleware) {
		h = wrap(t.String(), h)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.routes[t] != nil {
		panic(fmt.Sprintf("command: %v has a handler already; a command has one owner", t))
	}
	b.routes[t] = h
}

// Check returns a [*NoHandlerError] for each of the given commands, of which
// only the types count, that has no handler.
func (b *Bus) Check(commands ...any) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var errs []error
	for _, c := range commands {
		if t := reflect.TypeOf(c); b.routes[t] == nil {
			errs = append(errs, &NoHandlerError{Command: fmt.Sprint(t)})
		}
	}
	return errors.Join(errs...)
}

// Commands returns the names of the command types that have handlers, sorted.
func (b *Bus) Commands() []string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	names := make([]string, 0, len(b.routes))
	for t := range b.routes {
		names = append(names, t.String())
	}
	slices.SortFunc(names, strings.Compare)
	return names
}

// Send has cmd carried out and returns what its handler returned, or a
// [*NoHandlerError]. cmd may be of an interface type; its dynamic type counts.
//
// [OutcomeOf] says what an error means. One that is uncertain leaves open
// whether the command was carried out; sending it again with the same id is
// safe.
func Send[C any](ctx context.Context, b *Bus, cmd C, opts ...SendOption) (eventstore.Receipt, error) {
	t := reflect.TypeFor[C]()
	if t.Kind() == reflect.Interface {
		t = reflect.TypeOf(cmd)
	}
	b.mu.RLock()
	h := b.routes[t]
	b.mu.RUnlock()
	if h == nil {
		return eventstore.Receipt{}, &NoHandlerError{Command: fmt.Sprint(t)}
	}
	if len(opts) > 0 || eventstore.OriginFromContext(ctx) != nil {
		ctx = withOrigin(ctx, opts)
	}
	return h(ctx, cmd)
}
