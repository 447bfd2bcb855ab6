package aggregatetest

import (
	"errors"
	"reflect"
	"testing"

	"github.com/foldstream/foldstream/internal/narrate"
)

// A Result is what came of a command.
type Result[S, E any] struct {
	t        testing.TB
	scenario *Scenario[S, E]
	cmd      any
	before   S
	state    S
	events   []E
	err      error
	faults   []string
	seen     bool
}

// Then fails the test unless the command led to these events, in this order.
// Times count as equal when they are the same instant; a nil and an empty slice
// or map differ.
func (r *Result[S, E]) Then(events ...E) *Result[S, E] {
	r.t.Helper()
	wrong := narrate.Differences("event", events, r.events)
	if r.err != nil {
		wrong = []string{"it was refused"}
	}
	r.check(wrong, narrate.Texts(events))
	return r
}

// Nothing fails the test unless the command was accepted and led to no event.
func (r *Result[S, E]) Nothing() *Result[S, E] {
	r.t.Helper()
	return r.Then()
}

// Refused fails the test unless the command was refused with an error that
// matches target, see [errors.Is].
func (r *Result[S, E]) Refused(target error) *Result[S, E] {
	r.t.Helper()
	var wrong []string
	switch {
	case target == nil:
		wrong = []string{"Refused needs the error that is expected"}
	case r.err == nil:
		wrong = []string{"it was not refused"}
	case !errors.Is(r.err, target):
		wrong = []string{"it was refused with another error"}
	case len(r.events) > 0:
		wrong = []string{"it was refused, and led to events, which would be lost"}
	}
	expected := "a refusal: nil"
	if target != nil {
		expected = "a refusal: " + target.Error()
	}
	r.check(wrong, []string{expected})
	return r
}

// State returns the state after the command.
func (r *Result[S, E]) State() S { return r.state }

// Answer returns the events that the command led to, and its refusal, for
// checks of your own.
func (r *Result[S, E]) Answer() ([]E, error) {
	r.t.Helper()
	r.check(nil, []string{"an answer that is looked at elsewhere"})
	return r.events, r.err
}

// check fails the test with the whole story if something is wrong.
func (r *Result[S, E]) check(wrong, expected []string) {
	r.t.Helper()
	r.seen = true
	if wrong = append(wrong, r.faults...); len(wrong) == 0 {
		return
	}
	r.faults = nil // once is enough
	came := narrate.Texts(r.events)
	if r.err != nil {
		came = append(came, "a refusal: "+r.err.Error())
	}
	story := append(r.scenario.past(),
		narrate.Section{Title: "in the state", Lines: []string{narrate.Text(r.before)}},
		narrate.Section{Title: "when", Lines: []string{commandText[S, E](r.cmd)}},
		narrate.Section{Title: "expected", Lines: expected},
		narrate.Section{Title: "got", Lines: came})
	report(r.t, reflect.TypeFor[S]().String()+" decides otherwise", wrong, story)
}
