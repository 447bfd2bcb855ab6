package command

import (
	"errors"
	"fmt"
	"time"
)

// ErrNoHandler is matched by [*NoHandlerError].
var ErrNoHandler = errors.New("command: no handler")

// A NoHandlerError names a command type that nobody handles. It matches
// [ErrNoHandler].
type NoHandlerError struct{ Command string }

func (e *NoHandlerError) Error() string {
	return fmt.Sprintf("command: nobody handles %s; register a handler with command.Register", e.Command)
}

// Is reports whether target is [ErrNoHandler].
func (e *NoHandlerError) Is(target error) bool { return target == ErrNoHandler }

// A PanicError is a handler that panicked. Whether it had appended anything
// before is not known.
type PanicError struct {
	Command string
	Value   any
	Stack   []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("command %s: panic: %v", e.Command, e.Value) }

// An InvalidError is a command that is wrong by itself, whatever the state of
// what it is for. Nothing was done.
type InvalidError struct {
	Command string
	Err     error // what is wrong with it
}

func (e *InvalidError) Error() string {
	return fmt.Sprintf("command %s is invalid: %v", e.Command, e.Err)
}

// Unwrap returns what is wrong with the command.
func (e *InvalidError) Unwrap() error { return e.Err }

// A DeniedError is a command whose sender may not send it. Nothing was done.
type DeniedError struct {
	Command string
	Actor   string // who sent it, eventstore.KeyActor of its origin; empty if nobody said
	Err     error  // why
}

func (e *DeniedError) Error() string {
	return fmt.Sprintf("command %s is denied to actor %q: %v", e.Command, e.Actor, e.Err)
}

// Unwrap returns why it was denied.
func (e *DeniedError) Unwrap() error { return e.Err }

// A LimitedError is a command over a rate limit. Nothing was done.
type LimitedError struct {
	Command    string
	Key        string        // whose limit it is, such as a tenant; empty for one of all
	RetryAfter time.Duration // when there will be room for it, if nobody else takes it
}

func (e *LimitedError) Error() string {
	whose := ""
	if e.Key != "" {
		whose = fmt.Sprintf(" of %q", e.Key)
	}
	return fmt.Sprintf("command %s is over the rate limit%s; send it again in %v", e.Command, whose, e.RetryAfter)
}
