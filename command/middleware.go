package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// Defaults returns the middleware that suits most programs: [Correlate], [Log],
// [Recover], [Timeout] of 30 seconds and [Validate], outermost first. [Authorize],
// [Deduplicate] and your own are appended to it; the package's documentation says
// where others belong.
func Defaults(l *slog.Logger) []Middleware {
	return []Middleware{Correlate(), Log(l), Recover(), Timeout(30 * time.Second), Validate()}
}

// For has m wrap the handler of commands of type C only.
func For[C any](m Middleware) Middleware {
	return func(route Route, next Handler) Handler {
		if route.Type != reflect.TypeFor[C]() {
			return next
		}
		return m(route, next)
	}
}

// Recover turns a panic of what it wraps into a [*PanicError], so that one bad
// command does not end the process.
func Recover() Middleware {
	return func(route Route, next Handler) Handler {
		return func(ctx context.Context, cmd any) (r eventstore.Receipt, err error) {
			defer func() {
				if p := recover(); p != nil {
					r, err = eventstore.Receipt{}, &PanicError{Command: route.Name, Value: p, Stack: debug.Stack()}
				}
			}()
			return next(ctx, cmd)
		}
	}
}

// Correlate gives each command an id and a correlation id, unless it has them
// from [WithID], [WithCorrelation] or its cause. The correlation id of a command
// that starts a conversation is its own id.
func Correlate() Middleware {
	return func(_ Route, next Handler) Handler {
		return func(ctx context.Context, cmd any) (eventstore.Receipt, error) {
			o := eventstore.OriginFromContext(ctx)
			if o != nil && o.CommandID != "" && o.CorrelationID != "" {
				return next(ctx, cmd)
			}
			var with eventstore.Origin
			if o != nil {
				with = *o
			}
			if with.CommandID == "" {
				with.CommandID = eventstore.NewID().String()
			}
			if with.CorrelationID == "" {
				with.CorrelationID = with.CommandID
			}
			return next(eventstore.ContextWithOrigin(ctx, &with), cmd)
		}
	}
}

// A TypeTimeout is the time limit of one command type, see [TimeoutOf].
type TypeTimeout struct {
	command reflect.Type
	limit   time.Duration
}

// TimeoutOf is a time limit for commands of type C; 0 means none.
func TimeoutOf[C any](d time.Duration) TypeTimeout { return TypeTimeout{reflect.TypeFor[C](), d} }

// Timeout gives each command at most d, or what is said for its type; a
// sender's deadline that is nearer counts. Handlers that do not heed their
// context are not stopped. A command that ran out of time is [Late], or
// [Uncertain] if it was being appended.
func Timeout(d time.Duration, types ...TypeTimeout) Middleware {
	limits := make(map[reflect.Type]time.Duration, len(types))
	for _, t := range types {
		limits[t.command] = t.limit
	}
	return func(route Route, next Handler) Handler {
		limit, ok := limits[route.Type]
		if !ok {
			limit = d
		}
		if limit <= 0 {
			return next
		}
		return func(ctx context.Context, cmd any) (eventstore.Receipt, error) {
			within, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			r, err := next(within, cmd)
			if errors.Is(err, context.DeadlineExceeded) && within.Err() != nil && ctx.Err() == nil {
				err = fmt.Errorf("command %s took longer than %v: %w", route.Name, limit, err)
			}
			return r, err
		}
	}
}

// Validate asks commands that have a method Validate() error before they are
// carried out; its error comes back in an [*InvalidError]. A type with that
// method on its pointer only cannot be registered, since it would not be asked.
func Validate() Middleware {
	type validator interface{ Validate() error }
	method := reflect.TypeFor[validator]()
	return func(route Route, next Handler) Handler {
		if !route.Type.Implements(method) {
			if reflect.PointerTo(route.Type).Implements(method) {
				panic(fmt.Sprintf("command: Validate of %s has a pointer receiver and would not be called; give it a value receiver", route.Name))
			}
			return next
		}
		return func(ctx context.Context, cmd any) (eventstore.Receipt, error) {
			if err := cmd.(validator).Validate(); err != nil {
				return eventstore.Receipt{}, &InvalidError{Command: route.Name, Err: err}
			}
			return next(ctx, cmd)
		}
	}
}

// Authorize asks allow whether a command may be carried out. An error becomes a
// [*DeniedError], except one that [OutcomeOf] takes for a passing trouble, such
// as a permission store that does not answer: then nobody has decided.
//
// The actor of the command, and what else allow wants to know of the sender, is
// in the context: [ActorOf], [TenantOf], [eventstore.OriginFromContext].
func Authorize(allow func(ctx context.Context, cmd any) error) Middleware {
	return func(route Route, next Handler) Handler {
		return func(ctx context.Context, cmd any) (eventstore.Receipt, error) {
			err := allow(ctx, cmd)
			switch {
			case err == nil:
				return next(ctx, cmd)
			case OutcomeOf(err).Again():
				return eventstore.Receipt{}, fmt.Errorf("authorize command %s: %w", route.Name, err)
			}
			return eventstore.Receipt{}, &DeniedError{Command: route.Name, Actor: ActorOf(ctx, cmd), Err: err}
		}
	}
}

// ActorOf returns the actor of the command that ctx carries, see
// [eventstore.KeyActor], or "". It is a key for [Limit].
func ActorOf(ctx context.Context, _ any) string { return metadataOf(ctx, eventstore.KeyActor) }

// TenantOf returns the tenant of the command that ctx carries, see
// [eventstore.KeyTenant], or "". It is a key for [Limit].
func TenantOf(ctx context.Context, _ any) string { return metadataOf(ctx, eventstore.KeyTenant) }

func metadataOf(ctx context.Context, key string) string {
	if o := eventstore.OriginFromContext(ctx); o != nil {
		return o.Metadata.Get(key)
	}
	return ""
}
