package projection

import (
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// A RequestKind says what a [Request] asks for.
type RequestKind string

// The kinds of requests.
const (
	RequestRebuild       RequestKind = "rebuild"
	RequestCancelRebuild RequestKind = "cancel-rebuild"
	RequestRetryParked   RequestKind = "retry-parked"
	RequestDropParked    RequestKind = "drop-parked"
	RequestSkipTo        RequestKind = "skip-to"
	RequestRebuildKeys   RequestKind = "rebuild-keys"
	RequestRebuildStream RequestKind = "rebuild-stream"
)

// A Request is what an [Admin] asks of the applications that follow a view. It
// is a note in the view store, "request/" and its ID, until one of them takes
// it; a runner looks for requests at least once a second.
type Request struct {
	ID        string              `json:"id"`
	Kind      RequestKind         `json:"kind"`
	Partition int                 `json:"partition"` // whose owner is asked; -1 for any runner
	Stream    string              `json:"stream,omitempty"`
	Keys      []string            `json:"keys,omitempty"`
	Position  eventstore.Position `json:"position,omitempty"`
	At        time.Time           `json:"at"`
}

// A Reply is what a runner says of a request that it has taken, in a note
// "reply/" and the request's ID.
type Reply struct {
	ID       string         `json:"id"`
	Owner    string         `json:"owner"` // the runner
	Done     bool           `json:"done"`
	Error    string         `json:"error,omitempty"` // set only when done
	Progress *Progress      `json:"progress,omitempty"`
	Result   *RebuildResult `json:"result,omitempty"`
}

// Names of notes, see [ViewStore.Notes].
const (
	requestNote = "request/"
	replyNote   = "reply/"
)

const (
	requestTTL = 15 * time.Second // until somebody takes it
	replyTTL   = 15 * time.Second // without a sign of life
)
