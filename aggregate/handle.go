package aggregate

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/foldstream/foldstream/eventstore"
)

// A Command says which aggregate it is for.
type Command interface {
	AggregateID() string
}

// Handle returns a command handler: it loads the aggregate that the command
// names, has decide answer with events, and appends them, as
// [Repository.Execute] does with the same options. decide is usually a method
// expression, such as order.Order.Place; a decide function for other events or
// another state does not compile.
func Handle[S, E any, C Command](r *Repository[S, E], decide func(S, C) ([]E, error), opts ...ExecuteOption) func(context.Context, C) (eventstore.Receipt, error) {
	type asked struct { // spares the function that decides a command from being made anew
		command C
		decide  func(S) ([]E, error)
	}
	pool := sync.Pool{New: func() any {
		a := new(asked)
		a.decide = func(s S) ([]E, error) { return decide(s, a.command) }
		return a
	}}
	return func(ctx context.Context, c C) (eventstore.Receipt, error) {
		a := pool.Get().(*asked)
		a.command = c
		receipt, err := r.Execute(ctx, c.AggregateID(), a.decide, opts...)
		if !errors.Is(err, eventstore.ErrUnavailable) { // else somebody may still be deciding
			var none C
			a.command = none
			pool.Put(a)
		}
		return receipt, err
	}
}

// A RefusedError is a command that its aggregate refused by a rule of the
// business: trying again without a change will not help. Nothing was appended.
// Its text is that of Err.
type RefusedError struct {
	Stream  string
	Version eventstore.Version // of the state that refused it
	Err     error
}

func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns the error that the aggregate's method returned.
func (e *RefusedError) Unwrap() error { return e.Err }

// Refused says that this is a refusal, to those who do not know this type.
func (e *RefusedError) Refused() bool { return true }

// Format prints the stream too with %+v.
func (e *RefusedError) Format(f fmt.State, verb rune) {
	if verb == 'v' && f.Flag('+') {
		_, _ = fmt.Fprintf(f, "%s at version %d refused: ", e.Stream, e.Version)
	}
	_, _ = fmt.Fprintf(f, "%v", e.Err)
}
