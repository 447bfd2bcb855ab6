package commandtest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/internal/narrate"
	"github.com/foldstream/foldstream/projection"
)

// An Outcome is what came of a step.
type Outcome struct {
	k       *Kit
	what    string
	before  int                                               // steps
	again   func(context.Context) (eventstore.Receipt, error) // of a command
	receipt eventstore.Receipt
	err     error
	events  []stored
	sent    []carried // without the command itself
	seen    bool      // the kit has heard of the command itself
	looked  bool
}

// stored is an event that was appended.
type stored struct {
	eventstore.Recorded

	value any
}

func (s stored) String() string {
	if err, ok := s.value.(error); ok {
		return fmt.Sprintf("%s, version %d: %v", s.Stream, s.Version, err)
	}
	return fmt.Sprintf("%s, version %d: %s", s.Stream, s.Version, narrate.Text(s.value))
}

// Then ends the test unless the step succeeded and the checks hold. Every event
// that was appended has to be expected by one of [Events] or [AnyEvents]; with
// no checks, nothing may have been appended.
func (o *Outcome) Then(checks ...Check) *Outcome {
	o.k.t.Helper()
	var wrong []string
	if o.err != nil {
		wrong = append(wrong, "it failed")
	}
	o.check(wrong, nil, checks)
	return o
}

// Refused ends the test unless the step failed with an error that matches
// target, see [errors.Is], and the checks hold. With no checks, nothing may have
// been appended.
func (o *Outcome) Refused(target error, checks ...Check) *Outcome {
	o.k.t.Helper()
	var wrong []string
	switch {
	case o.err == nil:
		wrong = append(wrong, "it was not refused")
	case !errors.Is(o.err, target):
		wrong = append(wrong, "it failed with another error")
	}
	o.check(wrong, []string{fmt.Sprintf("an error: %v", target)}, checks)
	return o
}

// Done ends the test unless the step succeeded, whatever it led to, and returns
// the receipt of the command. It is for steps that only lead to others.
func (o *Outcome) Done() eventstore.Receipt {
	o.k.t.Helper()
	var wrong []string
	if o.err != nil {
		wrong = append(wrong, "it failed")
	}
	o.check(wrong, []string{"anything but an error"}, []Check{anything})
	return o.receipt
}

// Again sends the command once more with the same id, as somebody does who got
// no answer, and ends the test unless that changes nothing and gets the same
// answer.
func (o *Outcome) Again() *Outcome {
	k := o.k
	k.t.Helper()
	if o.again == nil {
		k.t.Fatal("commandtest: Again is for commands that were sent with When")
	}
	first := o.receipt
	events := len(o.events)
	twice := k.step(o.what+"\nagain, with the same id", "", o.again)
	var wrong []string
	switch {
	case fmt.Sprint(twice.err) != fmt.Sprint(o.err):
		wrong = append(wrong, "the second answer is another")
	case o.err == nil && events > 0 && (!twice.receipt.Repeated || twice.receipt.Position != first.Position):
		wrong = append(wrong, "the second receipt is not that of the first, marked as repeated")
	}
	expected := fmt.Sprintf("the receipt %s", narrate.Text(first))
	if o.err != nil {
		expected = fmt.Sprintf("an error: %v", o.err)
	}
	twice.check(wrong, []string{expected}, nil)
	return o
}

// Err returns what the step failed with, or nil, for checks of your own.
func (o *Outcome) Err() error {
	o.looked = true
	return o.err
}

// check ends the test with the whole story if something is wrong.
func (o *Outcome) check(wrong, expected []string, checks []Check) {
	k := o.k
	k.t.Helper()
	o.looked = true
	claimed := make(map[string]bool)
	all := false
	for _, c := range checks {
		expected = append(expected, c.expected...)
		wrong = append(wrong, c.run(k.ctx, o)...)
		claimed[c.stream] = c.stream != ""
		all = all || c.all
	}
	if !all {
		for _, e := range o.events {
			if !claimed[e.Stream] {
				wrong = append(wrong, "nobody expected "+e.String())
			}
		}
	}
	if wrong = append(wrong, k.troubles(checks)...); len(wrong) == 0 {
		return
	}
	story := append(k.past(o.before),
		narrate.Section{Title: "when", Lines: []string{o.what}},
		narrate.Section{Title: "expected", Lines: expected},
		narrate.Section{Title: "got", Lines: o.got()},
		narrate.Section{Title: "because", Lines: wrong})
	k.t.Fatal(narrate.Story("the application does otherwise", story...))
}

// got tells what came of the step.
func (o *Outcome) got() []string {
	var lines []string
	for _, e := range o.events {
		lines = append(lines, e.String())
	}
	for _, c := range o.sent {
		lines = append(lines, "sent "+c.String())
	}
	if o.err != nil {
		lines = append(lines, fmt.Sprintf("an error: %+v", o.err))
	}
	return append(lines, o.k.waiting()...)
}

func (c carried) String() string {
	text := narrate.Text(c.cmd)
	if c.tries > 1 {
		text += fmt.Sprintf(", %d times", c.tries)
	}
	if c.err != nil {
		text += fmt.Sprintf(", which failed: %v", c.err)
	}
	return text
}

// troubles tells of views that have failed, and of events that they parked,
// unless a check expects that.
func (k *Kit) troubles(checks []Check) []string {
	var lines []string
	for _, s := range k.statuses() {
		if s.State == projection.StateFailed {
			lines = append(lines, fmt.Sprintf("view %q has failed: %v", s.View, s.Err))
		}
		if s.Parked > 0 {
			lines = append(lines, k.parked(s.View, checks)...)
		}
	}
	return lines
}

// waiting tells of views and reactors that are behind because of an error, and
// try again later.
func (k *Kit) waiting() []string {
	var lines []string
	for _, s := range k.statuses() {
		if s.Err != nil && s.Position < s.Head && s.State != projection.StateFailed {
			lines = append(lines, fmt.Sprintf("view %q tries again later: %v", s.View, s.Err))
		}
	}
	return lines
}

func (k *Kit) statuses() []projection.Status {
	k.t.Helper()
	if k.app.Runner == nil {
		return nil
	}
	all, err := k.app.Runner.Status(k.ctx)
	if err != nil {
		k.t.Fatalf("commandtest: the views cannot be looked at: %v", err)
	}
	return all
}

func (k *Kit) parked(view string, checks []Check) []string {
	streams, err := k.app.Runner.Parked(k.ctx, view)
	if err != nil {
		return []string{fmt.Sprintf("what view %q has parked cannot be looked at: %v", view, err)}
	}
	var lines []string
	for _, ps := range streams {
		if !slices.ContainsFunc(checks, func(c Check) bool { return c.view == view && c.parked == ps.Stream }) {
			lines = append(lines, fmt.Sprintf("view %q has parked events of stream %q: %s", view, ps.Stream, ps.Error))
		}
	}
	return lines
}
