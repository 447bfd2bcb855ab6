package aggregatetest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/eventstore"
)

// A Kit tests the decisions of an aggregate with state S and events E. It is
// made once for many tests, by [For] or [ForDecider], and is safe for
// concurrent use.
type Kit[S, E any] struct {
	initial S
	evolve  func(S, E) S
	decide  func(cmd any) (func(S) ([]E, error), error)
	codec   eventstore.Codec
}

// A Decision is what an aggregate answers to commands of one type, see [On].
type Decision[S, E any] struct {
	command reflect.Type
	decide  func(S, any) ([]E, error)
}

// On returns the decision about commands of type C. decide is usually a method
// expression, such as order.Order.Pay.
func On[S, E, C any](decide func(S, C) ([]E, error)) Decision[S, E] {
	return Decision[S, E]{reflect.TypeFor[C](), func(s S, cmd any) ([]E, error) { return decide(s, cmd.(C)) }}
}

// For returns a kit for an aggregate whose methods decide, as
// [aggregate.NewRepository] takes it. It panics if two decisions are about the
// same type of command.
func For[S aggregate.Evolver[S, E], E any](decisions ...Decision[S, E]) *Kit[S, E] {
	byType := make(map[reflect.Type]Decision[S, E])
	for _, d := range decisions {
		if _, twice := byType[d.command]; twice {
			panic(fmt.Sprintf("aggregatetest: two decisions are about %v", d.command))
		}
		byType[d.command] = d
	}
	return &Kit[S, E]{evolve: S.Evolve, decide: func(cmd any) (func(S) ([]E, error), error) {
		d, ok := byType[reflect.TypeOf(cmd)]
		if !ok {
			return nil, fmt.Errorf("no decision is about %T: give On(%v.…) to For, which has %s", cmd, reflect.TypeFor[S](), names(decisions))
		}
		return func(s S) ([]E, error) { return d.decide(s, cmd) }, nil
	}}
}

func names[S, E any](decisions []Decision[S, E]) string {
	if len(decisions) == 0 {
		return "none"
	}
	all := make([]string, len(decisions))
	for i, d := range decisions {
		all[i] = d.command.String()
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// ForDecider returns a kit for an aggregate in the form of a decider.
func ForDecider[S, C, E any](d aggregate.Decider[S, C, E]) *Kit[S, E] {
	return &Kit[S, E]{initial: d.Initial, evolve: d.Evolve, decide: func(cmd any) (func(S) ([]E, error), error) {
		c, ok := cmd.(C)
		if !ok {
			return nil, fmt.Errorf("%T is no command of the decider, which takes %v", cmd, reflect.TypeFor[C]())
		}
		return func(s S) ([]E, error) { return d.Decide(c, s) }, nil
	}}
}

// Codec returns a kit that also has every event, given or decided, encoded and
// decoded, and fails the test when it does not come back as it was.
func (k *Kit[S, E]) Codec(c eventstore.Codec) *Kit[S, E] {
	with := *k
	with.codec = c
	return &with
}

// Given begins a scenario with the events of an aggregate, none for one that
// does not exist yet.
func (k *Kit[S, E]) Given(events ...E) *Scenario[S, E] {
	return &Scenario[S, E]{kit: k, given: events}
}
