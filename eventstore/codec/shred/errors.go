package shred

import (
	"errors"
	"fmt"

	"github.com/foldstream/foldstream/eventstore"
)

// Errors to branch on with [errors.Is].
var (
	// ErrErased means that something was to be written for a subject that is
	// erased. Reading what is erased is no error.
	ErrErased = errors.New("shred: subject is erased")
	// ErrUnknownKey means that the store of keys has never heard of a key, so
	// that what is sealed with it can neither be read nor called erased. It
	// comes with [eventstore.ErrUnavailable].
	ErrUnknownKey = errors.New("shred: key is unknown")
	// ErrTampered means that what is sealed is not what was written, or not for
	// that event, or not with that key.
	ErrTampered = errors.New("shred: sealed data is not what was written")
)

// An ErasedError names the subject that is erased. It matches [ErrErased].
type ErasedError struct{ Subject string }

func (e *ErasedError) Error() string {
	return fmt.Sprintf("shred: subject %q is erased, so nothing more can be written about it; use another id, or admit it again if it came back", e.Subject)
}

// Refused tells the command bus that trying again will not help.
func (e *ErasedError) Refused() bool { return true }

// Is reports whether target is [ErrErased].
func (e *ErasedError) Is(target error) bool { return target == ErrErased }

// An UnknownKeyError names a key that the store of keys has never heard of. It
// matches [ErrUnknownKey] and [eventstore.ErrUnavailable]: data is waited for,
// until the right store is back or somebody declares it erased.
type UnknownKeyError struct {
	Subject string
	ID      KeyID
}

func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("shred: key %v of subject %q is not in the store of keys; open the right one, restore it from its backup, or erase the subject if its data is lost", e.ID, e.Subject)
}

// Is reports whether target is [ErrUnknownKey] or [eventstore.ErrUnavailable].
func (e *UnknownKeyError) Is(target error) bool {
	return target == ErrUnknownKey || target == eventstore.ErrUnavailable
}

// A TamperedError names what does not fit. It matches [ErrTampered].
type TamperedError struct {
	Type    string // of the event
	Subject string // empty if not even that can be read
	Reason  string
}

func (e *TamperedError) Error() string {
	return fmt.Sprintf("shred: what %q holds of subject %q is not what was written: %s; restore the log from a backup", e.Type, e.Subject, e.Reason)
}

// Is reports whether target is [ErrTampered].
func (e *TamperedError) Is(target error) bool { return target == ErrTampered }
