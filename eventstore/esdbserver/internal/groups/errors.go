package groups

import (
	"errors"
	"fmt"
)

// ErrStopped says that the [Manager] is not running any more.
var ErrStopped = errors.New("persistent subscriptions have stopped; connect again once the server is back")

// An ExistsError says that a group cannot be created twice.
type ExistsError struct{ Stream, Group string }

func (e *ExistsError) Error() string {
	return fmt.Sprintf("group %q on stream %q exists; update it or choose another name", e.Group, e.Stream)
}

// A NotFoundError names a group that does not exist. Group is empty when a
// stream has no groups at all.
type NotFoundError struct{ Stream, Group string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("group %q on stream %q does not exist; create it first", e.Group, e.Stream)
}

// A FailedError says why a request about a group cannot be carried out.
type FailedError struct{ Stream, Group, Reason string }

func (e *FailedError) Error() string {
	return fmt.Sprintf("group %q on stream %q failed: %s", e.Group, e.Stream, e.Reason)
}

// A FullError says that a group has as many consumers as its definition allows.
type FullError struct {
	Stream, Group string
	Limit         int
}

func (e *FullError) Error() string {
	return fmt.Sprintf("group %q on stream %q has its %d consumers; raise the maximum subscriber count or disconnect one", e.Group, e.Stream, e.Limit)
}

// A DroppedError tells a consumer that its group was changed, deleted or
// restarted. It may connect again.
type DroppedError struct{ Stream, Group string }

func (e *DroppedError) Error() string {
	return fmt.Sprintf("group %q on stream %q dropped its consumers; connect again", e.Group, e.Stream)
}
