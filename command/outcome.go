package command

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/foldstream/foldstream/eventstore"
)

// An Outcome says in a word what became of a command, see [OutcomeOf].
type Outcome uint8

// The outcomes. What is written of appends holds for handlers that append
// once, as those of package aggregate do.
const (
	// Done is a command that was carried out, now or, if its receipt is
	// repeated, before.
	Done Outcome = iota
	// Refused by a rule of the business, for an error with a method
	// Refused() bool that returns true, such as [*aggregate.RefusedError].
	// Nothing was appended.
	Refused
	// Invalid by itself, whatever the state: [*InvalidError], and what no store
	// accepts. Nothing was appended.
	Invalid
	// Denied to its sender: [*DeniedError]. Nothing was appended.
	Denied
	// Limited by a rate limit: [*LimitedError]. Nothing was appended.
	Limited
	// Conflict with other writers, more often than was retried. Nothing was
	// appended.
	Conflict
	// Unavailable means that the store could not be reached or is closed.
	// Nothing was appended.
	Unavailable
	// Uncertain means that the store was lost between an append and its answer.
	Uncertain
	// Late means that a deadline passed. The stores of this module say Uncertain
	// if an append was under way, so nothing was appended; another handler may
	// have done a part of its work.
	Late
	// Canceled means that the sender gave up; otherwise it is as Late.
	Canceled
	// NoHandler means that no handler is registered: [*NoHandlerError].
	NoHandler
	// Panicked is a handler that panicked: [*PanicError]. It may have appended
	// before.
	Panicked
	// Failed is any other error.
	Failed
)

var outcomes = [...]string{
	"done", "refused", "invalid", "denied", "limited", "conflict", "unavailable", "uncertain",
	"late", "canceled", "no handler", "panicked", "failed",
}

// String returns the outcome in lower case, as logs and metrics show it.
func (o Outcome) String() string {
	if int(o) < len(outcomes) {
		return outcomes[o]
	}
	return fmt.Sprintf("Outcome(%d)", o)
}

// MarshalText implements [encoding.TextMarshaler].
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (o *Outcome) UnmarshalText(text []byte) error {
	i := slices.Index(outcomes[:], string(text))
	if i < 0 {
		return fmt.Errorf("command: no outcome is called %q; they are %q", text, outcomes)
	}
	*o = Outcome(i)
	return nil
}

// Again reports whether the same command, sent again with the same id, may have
// a better outcome: whether it met a passing trouble. Of Uncertain, Late and
// Canceled it holds only with the id that was sent before.
func (o Outcome) Again() bool {
	switch o {
	case Limited, Conflict, Unavailable, Uncertain, Late, Canceled:
		return true
	}
	return false
}

// Answered reports whether the outcome is a considered answer to the sender, who
// has to change something before it sends again. The others that are not
// [Outcome.Again], NoHandler, Panicked and Failed, are faults for operators.
func (o Outcome) Answered() bool {
	switch o {
	case Done, Refused, Invalid, Denied:
		return true
	}
	return false
}

// refuser is an error that may be a refusal by a rule of the business.
type refuser interface {
	error
	Refused() bool
}

// OutcomeOf classifies what [Send] returned. An error that has several causes
// is taken for what leaves most open: a refusal that wraps an error of the store
// is the store's error, because a decision met it and did not make it.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Done
	}
	for _, c := range classes {
		if c.is(err) {
			return c.outcome
		}
	}
	return Failed
}

// classes are tried in order.
var classes = []struct {
	outcome Outcome
	is      func(error) bool
}{
	{Panicked, as[*PanicError]},
	{Uncertain, is(eventstore.ErrUncertain)},
	{Late, is(context.DeadlineExceeded, eventstore.ErrNotCaughtUp)},
	{Canceled, is(context.Canceled)},
	{Unavailable, is(eventstore.ErrUnavailable, eventstore.ErrClosed)},
	{Conflict, is(eventstore.ErrConflict)},
	{NoHandler, is(ErrNoHandler)},
	{Limited, as[*LimitedError]},
	{Denied, as[*DeniedError]},
	{Invalid, as[*InvalidError]},
	{Invalid, is(eventstore.ErrInvalid, eventstore.ErrTooLarge, eventstore.ErrStreamDeleted)},
	{Refused, func(err error) bool {
		r, ok := errors.AsType[refuser](err)
		return ok && r.Refused()
	}},
}

func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func is(targets ...error) func(error) bool {
	return func(err error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
}
