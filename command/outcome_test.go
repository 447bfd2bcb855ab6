package command_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
)

// refusal is an error as package aggregate has it.
type refusal struct {
	err error
	no  bool // it is none after all
}

func (r refusal) Error() string { return r.err.Error() }
func (r refusal) Unwrap() error { return r.err }
func (r refusal) Refused() bool { return !r.no }

func TestOutcomeOf(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	uncertain := &eventstore.UnavailableError{Op: "append", Uncertain: true, Err: context.DeadlineExceeded}
	for _, c := range []struct {
		err  error
		want command.Outcome
	}{
		{nil, command.Done},
		{refusal{err: broken}, command.Refused},
		{refusal{err: broken, no: true}, command.Failed},
		{&command.InvalidError{Command: "ping", Err: broken}, command.Invalid},
		{&eventstore.InvalidError{What: "id"}, command.Invalid},
		{&eventstore.TooLargeError{}, command.Invalid},
		{&eventstore.StreamDeletedError{}, command.Invalid},
		{&command.DeniedError{Command: "ping", Err: broken}, command.Denied},
		{&command.LimitedError{Command: "ping"}, command.Limited},
		{&eventstore.ConflictError{}, command.Conflict},
		{&eventstore.UnavailableError{Err: broken}, command.Unavailable},
		{eventstore.ErrClosed, command.Unavailable},
		{uncertain, command.Uncertain},
		{refusal{err: uncertain}, command.Uncertain},
		{refusal{err: eventstore.ErrUnavailable}, command.Unavailable},
		{errors.Join(&eventstore.ConflictError{}, uncertain), command.Uncertain},
		{context.DeadlineExceeded, command.Late},
		{&eventstore.NotCaughtUpError{Err: broken}, command.Late},
		{context.Canceled, command.Canceled},
		{&command.NoHandlerError{}, command.NoHandler},
		{&command.PanicError{Value: uncertain}, command.Panicked},
		{broken, command.Failed},
		{eventstore.ErrCorrupt, command.Failed},
	} {
		assert.Equal(t, c.want, command.OutcomeOf(c.err), "%v", c.err)
		if c.err != nil {
			assert.Equal(t, c.want, command.OutcomeOf(fmt.Errorf("wrapped: %w", c.err)), "wrapped %v", c.err)
		}
	}
}

func TestAnOutcomeSaysWhatToDo(t *testing.T) {
	t.Parallel()
	var again, answered, faults []string
	for o := command.Done; o <= command.Failed; o++ {
		switch {
		case o.Again():
			again = append(again, o.String())
			assert.False(t, o.Answered(), o)
		case o.Answered():
			answered = append(answered, o.String())
		default:
			faults = append(faults, o.String())
		}
	}
	assert.Equal(t, []string{"done", "refused", "invalid", "denied"}, answered)
	assert.Equal(t, []string{"limited", "conflict", "unavailable", "uncertain", "late", "canceled"}, again)
	assert.Equal(t, []string{"no handler", "panicked", "failed"}, faults)
	assert.Equal(t, "Outcome(200)", command.Outcome(200).String())
}
