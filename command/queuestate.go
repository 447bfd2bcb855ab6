package command

import (
	"fmt"
	"slices"
)

// A State says how far a queued command is.
type State uint8

// The states. A command goes from pending to running, and from there to done,
// failed, dead-lettered, or through retrying to running again.
const (
	// StatePending is a command that waits for its time, for earlier ones of its
	// key, or for a worker.
	StatePending State = iota
	// StateRunning is a command that a worker is carrying out.
	StateRunning
	// StateRetrying is a command that met trouble and waits for the next try.
	StateRetrying
	// StateDone is a command that was carried out.
	StateDone
	// StateFailed is a command that was answered with a no, see
	// [Outcome.Answered].
	StateFailed
	// StateDeadLettered is a command that was given up. It waits for an operator,
	// see [Queue.Retry] and [Queue.Drop].
	StateDeadLettered
	// StateDropped is a command that an operator gave up for ever.
	StateDropped
)

var states = [...]string{"pending", "running", "retrying", "done", "failed", "dead-lettered", "dropped"}

// String returns the state in lower case.
func (s State) String() string {
	if int(s) < len(states) {
		return states[s]
	}
	return fmt.Sprintf("State(%d)", s)
}

// MarshalText implements [encoding.TextMarshaler].
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *State) UnmarshalText(text []byte) error {
	i := slices.Index(states[:], string(text))
	if i < 0 {
		return fmt.Errorf("command: no state is called %q; they are %q", text, states)
	}
	*s = State(i)
	return nil
}

// Ended reports whether nothing more happens to the command by itself.
func (s State) Ended() bool { return s >= StateDone }

// Finished reports whether a command in this state is done with: those that are
// dead-lettered are not.
func (s State) Finished() bool { return s.Ended() && s != StateDeadLettered }
