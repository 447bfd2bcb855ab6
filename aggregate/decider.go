package aggregate

import (
	"context"
	"fmt"
	"reflect"

	"github.com/foldstream/foldstream/eventstore"
)

// A Decider is an aggregate as three parts: two pure functions and a value,
// see https://thinkbeforecoding.com/post/2021/12/17/functional-event-sourcing-decider.
// C is usually an interface of all commands, E one of all events. Evolve must
// not change what the state refers to.
type Decider[S, C, E any] struct {
	Decide  func(C, S) ([]E, error)
	Evolve  func(S, E) S
	Initial S
}

// NewDeciderRepository is [NewRepository] for the aggregates of a decider.
func NewDeciderRepository[S, C, E any](store eventstore.Store, category string, codec eventstore.Codec, d Decider[S, C, E], opts *Options) *Repository[S, E] {
	return newRepository(store, category, codec, d.Initial, d.Evolve, opts)
}

// HandleDecider returns a handler of the commands of type T, which is one of
// those that the decider takes:
//
//	command.Register(bus, aggregate.HandleDecider[order.Place](orders, decider))
//
// It panics if T is no command of the decider.
func HandleDecider[T Command, S, C, E any](r *Repository[S, E], d Decider[S, C, E], opts ...ExecuteOption) func(context.Context, T) (eventstore.Receipt, error) {
	var zero T
	if _, ok := any(zero).(C); !ok {
		panic(fmt.Sprintf("aggregate: %v is no command of the decider, which takes %v", reflect.TypeFor[T](), reflect.TypeFor[C]()))
	}
	return Handle(r, func(s S, c T) ([]E, error) { return d.Decide(any(c).(C), s) }, opts...)
}
