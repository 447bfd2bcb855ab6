package aggregatetest

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/foldstream/foldstream/internal/narrate"
)

// A Scenario is an aggregate with a past. It may be used again.
type Scenario[S, E any] struct {
	kit   *Kit[S, E]
	given []E
}

// State returns the state after the events, having checked Evolve.
func (s *Scenario[S, E]) State(t testing.TB) S {
	t.Helper()
	state, faults := s.kit.fold(s.kit.initial, s.given, 1)
	report(t, fmt.Sprintf("%T breaks a rule", state), faults, s.past())
	return state
}

// When has the aggregate decide about a command and returns what came of it,
// which must be looked at. The command is a value of a type that the kit has a
// decision about, or the decision itself, a func(S) ([]E, error).
func (s *Scenario[S, E]) When(t testing.TB, cmd any) *Result[S, E] {
	t.Helper()
	r := &Result[S, E]{t: t, scenario: s, cmd: cmd}
	decide, ok := cmd.(func(S) ([]E, error))
	if !ok {
		var err error
		if decide, err = s.kit.decide(cmd); err != nil {
			t.Fatalf("aggregatetest: %v", err)
		}
	}
	var ofGiven, ofDecision, ofEvents []string
	r.before, ofGiven = s.kit.fold(s.kit.initial, s.given, 1)
	r.events, r.err, ofDecision = decideTwice(r.before, cmd, decide)
	if r.state = r.before; r.err == nil {
		r.state, ofEvents = s.kit.fold(r.before, r.events, len(s.given)+1)
	}
	r.faults = slices.Concat(ofGiven, ofDecision, ofEvents)
	_, file, line, _ := runtime.Caller(1)
	t.Cleanup(func() {
		if !r.seen && !t.Failed() {
			t.Errorf("aggregatetest: %s:%d: nobody looked at what came of it; call Then, Nothing or Refused", file, line)
		}
	})
	return r
}

func (s *Scenario[S, E]) past() []narrate.Section {
	return []narrate.Section{{Title: "given", Lines: narrate.Texts(s.given)}}
}

// report fails the test if something is wrong.
func report(t testing.TB, what string, wrong []string, story []narrate.Section) {
	t.Helper()
	if len(wrong) > 0 {
		t.Error(narrate.Story(what, append(story, narrate.Section{Title: "because", Lines: wrong})...))
	}
}

func commandText[S, E any](cmd any) string {
	if _, ok := cmd.(func(S) ([]E, error)); ok {
		return fmt.Sprintf("a %T", cmd)
	}
	return narrate.Text(cmd)
}
