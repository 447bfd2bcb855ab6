package projection

import (
	"errors"
	"fmt"
)

// Errors to branch on with [errors.Is].
var (
	// ErrFenced means that another worker has taken the partition over, or that
	// this one is about to let go of it.
	ErrFenced = errors.New("projection: another worker has taken over")
	// ErrNotBuilt means that a view has no active version yet: its first build
	// has not caught up.
	ErrNotBuilt = errors.New("projection: view is not built yet")
	// ErrNotFound means that there is no document under a key, or no such
	// member under it.
	ErrNotFound = errors.New("projection: not found")
	// ErrAmbiguous means that one document was asked for where a lookup finds
	// more.
	ErrAmbiguous = errors.New("projection: more than one document is found")
	// ErrCursor means that a page was asked for with a cursor that is not from
	// a page of the same key and direction.
	ErrCursor = errors.New("projection: bad cursor")
	// ErrVersionExists means that a version of that number is there already.
	ErrVersionExists = errors.New("projection: view version exists")
	// ErrNoVersion means that there is no version of that number.
	ErrNoVersion = errors.New("projection: no such view version")
	// ErrVersionActive means that a version is in use and cannot be dropped.
	ErrVersionActive = errors.New("projection: view version is active")
	// ErrNoView means that a runner has no projection of that name.
	ErrNoView = errors.New("projection: no such projection")
	// ErrDefinitionChanged means that a stored view was built by another
	// definition of its projection and has to be rebuilt.
	ErrDefinitionChanged = errors.New("projection: definition has changed")
	// ErrTooManyParked means that a partition has parked so many events that
	// going on would hide a fault.
	ErrTooManyParked = errors.New("projection: too many parked events")
	// ErrDamaged means that a view store found part of a batch written without
	// the rest, because something else had written keys of the view. The view
	// has to be rebuilt.
	ErrDamaged = errors.New("projection: view is damaged")
	// ErrOtherStore means that a view was built from another event store than
	// the one it is to follow.
	ErrOtherStore = errors.New("projection: view is ahead of the event store")
	// ErrNotServed means that no running application has taken a request.
	ErrNotServed = errors.New("projection: request not served")
	// ErrNotParked means that a stream has no parked events.
	ErrNotParked = errors.New("projection: no parked events")
	// ErrNotRunning means that there is nothing under way that could be ended.
	ErrNotRunning = errors.New("projection: not running")
	// ErrNotHere means that another runner works at what was asked for.
	ErrNotHere = errors.New("projection: another runner works at it")
	// ErrRunning means that what was asked for is under way already.
	ErrRunning = errors.New("projection: already running")
)

// A NotFoundError names the document that is missing, or the member of an
// index. It matches [ErrNotFound].
type NotFoundError struct {
	Collection, Key string
	Member          string // empty for a document
}

func (e *NotFoundError) Error() string {
	if e.Member != "" {
		return fmt.Sprintf("%s: no member %q under key %q", e.Collection, e.Member, e.Key)
	}
	return fmt.Sprintf("%s: nothing under key %q", e.Collection, e.Key)
}

// Is reports whether target is [ErrNotFound].
func (e *NotFoundError) Is(target error) bool { return target == ErrNotFound }

// A CursorError tells what is wrong with the cursor of a page. It matches
// [ErrCursor]. Whoever gets it begins again with the first page.
type CursorError struct {
	Cursor string
	Reason string
}

func (e *CursorError) Error() string {
	return fmt.Sprintf("projection: cursor %q: %s; begin again without one", e.Cursor, e.Reason)
}

// Is reports whether target is [ErrCursor].
func (e *CursorError) Is(target error) bool { return target == ErrCursor }
