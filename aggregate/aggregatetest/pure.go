package aggregatetest

import (
	"fmt"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/internal/narrate"
)

// enough is how much is looked at in a long past before the rest is only
// folded: as much as takes some milliseconds.
const enough = 100_000

// fold returns the state after events, of which the first has a number, and
// says what Evolve and the codec do wrong.
func (k *Kit[S, E]) fold(s S, events []E, number int) (S, []string) {
	was, seen := watch(s), 0
	for i, e := range events {
		if seen > enough {
			s = k.evolve(s, e)
			continue
		}
		next, now, faults := k.step(s, was, e)
		if len(faults) > 0 {
			for j := range faults {
				faults[j] = fmt.Sprintf("event %d, %s: %s", number+i, narrate.Text(e), faults[j])
			}
			return next, faults // what comes later would follow from this
		}
		s, was = next, now
		seen += now.size
	}
	return s, nil
}

// step returns the state after an event, with its mark.
func (k *Kit[S, E]) step(s S, was mark, e E) (next S, now mark, faults []string) {
	faults = k.roundTrip(e)
	text, event := narrate.Text(s), watch(e)
	next = k.evolve(s, e)
	now = watch(next)
	switch after := watch(s); {
	case after.value != was.value:
		faults = append(faults, fmt.Sprintf("Evolve changed the state that it was given, which others may have, from\n%s\nto\n%s\n%s", text, narrate.Text(s), remedy))
	case after.spare != was.spare:
		faults = append(faults, "Evolve appended to a slice of the state that it was given, in the place behind its end: whoever has that state and appends too overwrites it; use append(slices.Clip(old), …)")
	case watch(e) != event:
		faults = append(faults, "Evolve changed what the event refers to; "+remedy)
	case watch(k.evolve(s, e)).value != now.value:
		faults = append(faults, "Evolve gives another state the second time: it must depend on nothing but the state and the event, not on the clock, on chance or on the order of a map")
	}
	return next, now, faults
}

const remedy = "clone maps, slices and what pointers point to before you change them"

// decisions is how often a decision is made: often enough that the order of a
// map of two is another once.
const decisions = 12

// decideTwice returns the answer to a command, and says what the decision does
// wrong.
func decideTwice[S, E any](s S, cmd any, decide func(S) ([]E, error)) (events []E, err error, faults []string) { //nolint:revive,staticcheck // the error is an answer, not a failure
	state, command := watch(s), watch(cmd)
	events, err = decide(s)
	answer := watch(events).value
	for range decisions - 1 {
		again, errAgain := decide(s)
		if watch(again).value != answer || fmt.Sprint(err) != fmt.Sprint(errAgain) {
			faults = append(faults, fmt.Sprintf("asked again it decides otherwise: %s; it must depend on nothing but the state and the command, not on the clock, on chance or on the order of a map",
				answerText(again, errAgain)))
			break
		}
	}
	switch after := watch(s); {
	case after.value != state.value:
		faults = append(faults, "the decision changed the state; "+remedy)
	case after.spare != state.spare:
		faults = append(faults, "the decision appended to a slice of the state, in the place behind its end; use append(slices.Clip(old), …)")
	case watch(cmd) != command:
		faults = append(faults, "the decision changed what the command refers to; "+remedy)
	}
	return events, err, faults
}

func answerText[E any](events []E, err error) string {
	if err != nil {
		return "a refusal: " + err.Error()
	}
	return narrate.Text(events)
}

// roundTrip says whether an event comes back from a store otherwise.
func (k *Kit[S, E]) roundTrip(e E) []string {
	if k.codec == nil {
		return nil
	}
	stored, err := k.codec.Encode(e)
	if err != nil {
		return []string{fmt.Sprintf("it cannot be stored: %v", err)}
	}
	back, err := k.codec.Decode(eventstore.Recorded{
		ID: stored.ID, Type: stored.Type, ContentType: stored.ContentType, Data: stored.Data, Metadata: stored.Metadata,
	})
	if err != nil {
		return []string{fmt.Sprintf("it cannot be read again: %v", err)}
	}
	if watch(back).value == watch(e).value { // a nil slice may come back empty
		return nil
	}
	return narrate.Difference("what comes back from the store", e, back)
}
