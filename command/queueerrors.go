package command

import (
	"errors"
	"fmt"
)

// Errors of queues, to branch on.
var (
	ErrNotQueued    = errors.New("command: not on the queue")
	ErrUnregistered = errors.New("command: type is not registered")
	ErrQueueState   = errors.New("command: not in a state for that")
	ErrRunning      = errors.New("command: the queue has a Run under way in this process")
)

// A NotQueuedError names a command that was never on a queue, or finished longer
// ago than its retention. It matches [ErrNotQueued].
type NotQueuedError struct{ Queue, ID string }

func (e *NotQueuedError) Error() string {
	return fmt.Sprintf("command %s is not on queue %s: the id is wrong, or it finished longer ago than QueueOptions.Retention", e.ID, e.Queue)
}

// Is reports whether target is [ErrNotQueued].
func (e *NotQueuedError) Is(target error) bool { return target == ErrNotQueued }

// An UnregisteredError names a type of command that the codec of a queue does
// not know. It matches [ErrUnregistered].
type UnregisteredError struct{ Queue, Command string }

func (e *UnregisteredError) Error() string {
	return fmt.Sprintf("command: %s cannot be on queue %s: add codec.Type[%s](name) to the codec that command.NewQueue is given", e.Command, e.Queue, e.Command)
}

// Is reports whether target is [ErrUnregistered].
func (e *UnregisteredError) Is(target error) bool { return target == ErrUnregistered }

// A QueueStateError is an operation that a command's state does not allow. It
// matches [ErrQueueState].
type QueueStateError struct {
	Queue, ID, Op string
	State         State
}

func (e *QueueStateError) Error() string {
	return fmt.Sprintf("command %s of queue %s is %v: cannot %s it", e.ID, e.Queue, e.State, e.Op)
}

// Is reports whether target is [ErrQueueState].
func (e *QueueStateError) Is(target error) bool { return target == ErrQueueState }

// An UndoneError is a queued command that ended without being done, see
// [Status.Err].
type UndoneError struct {
	Queue, ID string
	State     State // StateFailed, StateDeadLettered or StateDropped
	Outcome   Outcome
	Reason    string
}

func (e *UndoneError) Error() string {
	return fmt.Sprintf("command %s of queue %s is %v: %s", e.ID, e.Queue, e.State, e.Reason)
}
