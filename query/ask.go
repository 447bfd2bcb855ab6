package query

import (
	"context"
	"fmt"
	"iter"
	"reflect"

	"github.com/foldstream/foldstream/eventstore"
)

// An Option says how fresh an answer must be.
type Option func(*freshness)

type freshness struct{ after eventstore.Receipt }

// After has the answer include what a command wrote. Of several receipts and
// positions the one with the highest position counts.
func After(r eventstore.Receipt) Option {
	return func(f *freshness) {
		if r.Position > f.after.Position {
			f.after = r
		}
	}
}

// AfterPosition has the answer include everything up to a position of the
// event store.
func AfterPosition(p eventstore.Position) Option { return After(eventstore.Receipt{Position: p}) }

// Ask returns the answer to q, or a [*NoHandlerError]. With [After] it may
// return an [*eventstore.NotCaughtUpError] when a view was late for longer
// than ctx and Options.MaxWait allow.
func Ask[R, Q any](ctx context.Context, b *Bus, q Q, opts ...Option) (R, error) {
	handle, err := handlerOf[R, Q](b)
	if err != nil {
		var none R
		return none, err
	}
	var f freshness
	for _, opt := range opts {
		opt(&f)
	}
	if f.after.Position > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(eventstore.ContextAfterReceipt(ctx, f.after), b.opts.MaxWait)
		defer cancel()
	}
	return handle(ctx, q)
}

// Watch yields the answer to q, and yields it again whenever a view that it
// was read from has changed, until ctx is done, which ends the sequence
// without an error. Changes that come quickly may be seen as one. After an
// error it yields no more. A query that reads no view is answered once.
func Watch[R, Q any](ctx context.Context, b *Bus, q Q, opts ...Option) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		for ctx.Err() == nil {
			var changes eventstore.Changes
			answer, err := Ask[R](eventstore.ContextWithChanges(ctx, &changes), b, q, opts...)
			if ctx.Err() != nil || !yield(answer, err) || err != nil || !changes.Wait(ctx) {
				return
			}
		}
	}
}

func handlerOf[R, Q any](b *Bus) (func(context.Context, Q) (R, error), error) {
	t := reflect.TypeFor[Q]()
	h := b.route(t)
	if h == nil {
		return nil, &NoHandlerError{Query: fmt.Sprint(t)}
	}
	handle, ok := h.(func(context.Context, Q) (R, error))
	if !ok {
		return nil, &AnswerTypeError{Query: t.String(), Answers: reflect.TypeOf(h).Out(0).String(), Wanted: reflect.TypeFor[R]().String()}
	}
	return handle, nil
}
