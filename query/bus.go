package query

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Handler answers a query. The bus hands one to each [Middleware].
type Handler func(ctx context.Context, q any) (any, error)

// A Middleware wraps the handlers of a bus. It is called once for each query
// type, when its handler is registered, with the name of the type.
type Middleware func(name string, next Handler) Handler

// Options configure a [Bus]. The zero value is ready to use.
type Options struct {
	// MaxWait is how long a query with [After] waits for its views at most, if
	// its context does not end sooner; default 5 s.
	MaxWait    time.Duration
	Middleware []Middleware // outermost first
}

// A Bus takes each query to its handler, in the caller's goroutine. It is safe
// for concurrent use.
type Bus struct {
	opts   Options
	mu     sync.Mutex             // held to register
	routes atomic.Pointer[routes] // what it points to is never changed
}

type routes map[reflect.Type]any // func(context.Context, Q) (R, error)

// NewBus returns a bus without handlers. A nil opts means the defaults.
func NewBus(opts *Options) *Bus {
	b := new(Bus)
	b.routes.Store(&routes{})
	if opts != nil {
		b.opts = *opts
	}
	if b.opts.MaxWait <= 0 {
		b.opts.MaxWait = 5 * time.Second
	}
	return b
}

// Register makes handle the one that answers queries of type Q. It panics if
// there is one already.
func Register[Q, R any](b *Bus, handle func(context.Context, Q) (R, error)) {
	t := reflect.TypeFor[Q]()
	if t.Kind() == reflect.Interface {
		panic(fmt.Sprintf("query: %v is an interface; register each query type", t))
	}
	handle = wrap(b.opts.Middleware, t.String(), handle)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.route(t) != nil {
		panic(fmt.Sprintf("query: %v has a handler already", t))
	}
	changed := maps.Clone(*b.routes.Load())
	changed[t] = handle
	b.routes.Store(&changed)
}

// route returns the handler of a type, or nil.
func (b *Bus) route(t reflect.Type) any { return (*b.routes.Load())[t] }

// wrap puts middleware around a handler; without any it stays fully typed.
func wrap[Q, R any](middleware []Middleware, name string, handle func(context.Context, Q) (R, error)) func(context.Context, Q) (R, error) {
	if len(middleware) == 0 {
		return handle
	}
	h := Handler(func(ctx context.Context, q any) (any, error) { return handle(ctx, q.(Q)) })
	for _, m := range slices.Backward(middleware) {
		h = m(name, h)
	}
	return func(ctx context.Context, q Q) (R, error) {
		answer, err := h(ctx, q)
		r, ok := answer.(R)
		if err == nil && !ok && answer != nil {
			err = &AnswerTypeError{Query: name, Answers: fmt.Sprintf("%T", answer), Wanted: reflect.TypeFor[R]().String()}
		}
		return r, err
	}
}

// Check returns a [*NoHandlerError] for each of the given queries, of which
// only the types count, that has no handler.
func (b *Bus) Check(queries ...any) error {
	var errs []error
	for _, q := range queries {
		if t := reflect.TypeOf(q); b.route(t) == nil {
			errs = append(errs, &NoHandlerError{Query: fmt.Sprint(t)})
		}
	}
	return errors.Join(errs...)
}

// Queries returns the names of the query types that have handlers, sorted.
func (b *Bus) Queries() []string {
	var names []string
	for t := range *b.routes.Load() {
		names = append(names, t.String())
	}
	slices.Sort(names)
	return names
}

// ErrNoHandler is matched by [*NoHandlerError].
var ErrNoHandler = errors.New("query: no handler")

// A NoHandlerError names a query type that nobody answers. It matches
// [ErrNoHandler].
type NoHandlerError struct{ Query string }

func (e *NoHandlerError) Error() string {
	return fmt.Sprintf("query: nobody answers %s; register a handler with query.Register", e.Query)
}

// Is reports whether target is [ErrNoHandler].
func (e *NoHandlerError) Is(target error) bool { return target == ErrNoHandler }

// An AnswerTypeError is a query asked for another type than it answers with.
type AnswerTypeError struct{ Query, Answers, Wanted string }

func (e *AnswerTypeError) Error() string {
	return fmt.Sprintf("query: %s answers with %s, not with %s", e.Query, e.Answers, e.Wanted)
}
