package eventstore

import (
	"errors"
	"fmt"
)

// Errors to branch on with [errors.Is]. Where a type of the same name exists,
// [errors.As] gives the details.
var (
	ErrConflict       = errors.New("eventstore: stream is at another version")
	ErrStreamNotFound = errors.New("eventstore: stream not found")
	ErrStreamDeleted  = errors.New("eventstore: stream deleted for ever")
	ErrTooLarge       = errors.New("eventstore: too large")
	ErrInvalid        = errors.New("eventstore: invalid argument")
	ErrClosed         = errors.New("eventstore: store is closed")
	ErrUnavailable    = errors.New("eventstore: store is unavailable")
	ErrUncertain      = errors.New("eventstore: uncertain whether it was written")
	ErrCorrupt        = errors.New("eventstore: stored data is damaged")
	ErrAccessDenied   = errors.New("eventstore: access denied")
	ErrUnknownEvent   = errors.New("eventstore: unknown event type")
	ErrNewerSchema    = errors.New("eventstore: event of a newer schema version")
	ErrNotCaughtUp    = errors.New("eventstore: view has not caught up")
	ErrUnsupported    = errors.New("eventstore: the store cannot do this")
)

// A ConflictError describes an append refused because its stream was not at
// the expected version. Nothing was written. It matches [ErrConflict].
type ConflictError struct {
	Stream   string
	Expected Expected
	Actual   Version
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("eventstore: stream %q is at version %d, expected %s; load it again and decide anew", e.Stream, e.Actual, e.Expected)
}

// Is reports whether target is [ErrConflict].
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// A ConditionError describes an append refused because an event that matches
// the query of its condition had come first. Nothing was written. It matches
// [ErrConflict].
type ConditionError struct {
	Stream    string
	Condition Condition
	Position  Position // of the first event that matches
}

func (e *ConditionError) Error() string {
	return fmt.Sprintf("eventstore: append to stream %q: the event at position %d matches %s, and none after position %d may; read again and decide anew",
		e.Stream, e.Position, e.Condition.Query, e.Condition.After)
}

// Is reports whether target is [ErrConflict].
func (e *ConditionError) Is(target error) bool { return target == ErrConflict }

// An UnsupportedError names what a store cannot do. It matches
// [ErrUnsupported].
type UnsupportedError struct {
	Store  string // its Go type
	What   string
	Remedy string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("eventstore: %s cannot %s; %s", e.Store, e.What, e.Remedy)
}

// Is reports whether target is [ErrUnsupported].
func (e *UnsupportedError) Is(target error) bool { return target == ErrUnsupported }

// A StreamNotFoundError names a stream that has no events or was soft-deleted.
// It matches [ErrStreamNotFound].
type StreamNotFoundError struct{ Stream string }

func (e *StreamNotFoundError) Error() string {
	return fmt.Sprintf("eventstore: stream %q not found", e.Stream)
}

// Is reports whether target is [ErrStreamNotFound].
func (e *StreamNotFoundError) Is(target error) bool { return target == ErrStreamNotFound }

// A StreamDeletedError names a stream that ended with a tombstone: it can
// neither be read nor appended to again. It matches [ErrStreamDeleted].
type StreamDeletedError struct{ Stream string }

func (e *StreamDeletedError) Error() string {
	return fmt.Sprintf("eventstore: stream %q was deleted with a tombstone; use another name", e.Stream)
}

// Is reports whether target is [ErrStreamDeleted].
func (e *StreamDeletedError) Is(target error) bool { return target == ErrStreamDeleted }

// A TooLargeError describes an append over the store's limit. Nothing was
// written. It matches [ErrTooLarge].
type TooLargeError struct {
	Stream string
	Size   int // bytes, see [Event.Size]
	Limit  int // bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("eventstore: append of %d bytes to stream %q is over the limit of %d bytes; write fewer events at once or keep large data elsewhere", e.Size, e.Stream, e.Limit)
}

// Is reports whether target is [ErrTooLarge].
func (e *TooLargeError) Is(target error) bool { return target == ErrTooLarge }

// An InvalidError describes an argument that no store accepts. Nothing was
// changed. It matches [ErrInvalid].
type InvalidError struct {
	What   string // the argument, such as "stream name"
	Value  string
	Remedy string // what would be accepted
}

func (e *InvalidError) Error() string {
	return fmt.Sprintf("eventstore: invalid %s %q: %s", e.What, e.Value, e.Remedy)
}

// Is reports whether target is [ErrInvalid].
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }

// An UnavailableError describes an operation that the store could not carry
// out now. It matches [ErrUnavailable], and [ErrUncertain] if it is uncertain.
type UnavailableError struct {
	Op string
	// Uncertain is set when a write may have happened all the same. Repeating
	// it with the same event ids and expected version is safe.
	Uncertain bool
	Err       error
}

func (e *UnavailableError) Error() string {
	if e.Uncertain {
		return fmt.Sprintf("eventstore: %s: uncertain whether it was written: %v; repeat it with the same ids", e.Op, e.Err)
	}
	return fmt.Sprintf("eventstore: %s: unavailable: %v", e.Op, e.Err)
}

// Is reports whether target is [ErrUnavailable], or [ErrUncertain] and e is
// uncertain.
func (e *UnavailableError) Is(target error) bool {
	return target == ErrUnavailable || target == ErrUncertain && e.Uncertain
}

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// A CorruptError says where stored data was found damaged. It matches
// [ErrCorrupt].
type CorruptError struct {
	File   string
	Offset int64 // bytes from the start of File
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("eventstore: %s is damaged at offset %d: %s; restore it from a backup", e.File, e.Offset, e.Reason)
}

// Is reports whether target is [ErrCorrupt].
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// An UnknownEventError names a stored event whose type the codec does not
// know. It matches [ErrUnknownEvent].
type UnknownEventError struct {
	Type    string
	Stream  string
	Version Version
}

func (e *UnknownEventError) Error() string {
	return fmt.Sprintf("eventstore: event %d of stream %q has the unknown type %q; register it with codec.Type", e.Version, e.Stream, e.Type)
}

// Is reports whether target is [ErrUnknownEvent].
func (e *UnknownEventError) Is(target error) bool { return target == ErrUnknownEvent }

// A NewerSchemaError names a stored event whose schema version this program does
// not know, because a newer program has written it: nothing is wrong with the
// event. It matches [ErrNewerSchema].
type NewerSchemaError struct {
	Type    string
	Stream  string
	Version Version
	Schema  string // as recorded under [KeySchemaVersion]
	Known   int    // the newest version that the program knows
}

func (e *NewerSchemaError) Error() string {
	return fmt.Sprintf("eventstore: event %d of stream %q has schema version %q of type %q, and this program knows version %d at most; run the program that wrote it, or a newer one", e.Version, e.Stream, e.Schema, e.Type, e.Known)
}

// Is reports whether target is [ErrNewerSchema].
func (e *NewerSchemaError) Is(target error) bool { return target == ErrNewerSchema }

// A NotCaughtUpError says that a view did not reach a position in time. What
// was asked for is committed; the view is late. It matches [ErrNotCaughtUp]
// and, through Err, the reason for which the wait ended.
type NotCaughtUpError struct {
	View string
	Want Position
	Have Position // what the view has reached
	Err  error    // why the wait ended, usually a context's error
}

func (e *NotCaughtUpError) Error() string {
	return fmt.Sprintf("view %q is late: committed at position %d, view at %d: %v; ask again", e.View, e.Want, e.Have, e.Err)
}

// Is reports whether target is [ErrNotCaughtUp].
func (e *NotCaughtUpError) Is(target error) bool { return target == ErrNotCaughtUp }

// Unwrap returns why the wait ended.
func (e *NotCaughtUpError) Unwrap() error { return e.Err }
