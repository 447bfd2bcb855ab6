package projection

import (
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// Hooks are told what a [Runner] does, for metrics and alarms. Each may be nil.
// They are called by the goroutines that do the work, several at once, and must
// return quickly.
type Hooks struct {
	// Committed is called after each commit of a partition.
	Committed func(CommitInfo)
	// Parked is called when an event is the first of its stream to be parked.
	Parked func(view string, s ParkedStream)
	// State is called when the state of a view changes.
	State func(view string, from, to State)
	// Error is called with each transient error and with the one that stops a
	// view.
	Error func(view string, err error)
}

// CommitInfo describes one commit of one partition.
type CommitInfo struct {
	View      string
	Version   int
	Partition int
	Position  eventstore.Position // that the checkpoint has now
	Events    int                 // folded into it
	Changes   int                 // documents, counters, members and parked streams written
	Duration  time.Duration       // from the encoding to the answer
}
