package groups

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// All is the Stream of a group on all streams.
const All = "$all"

// Names of the strategies by which a group chooses a consumer for an event.
const (
	RoundRobin          = "RoundRobin"          // the next consumer that has room
	DispatchToSingle    = "DispatchToSingle"    // the first consumer for as long as it has room
	Pinned              = "Pinned"              // one consumer for the events of a stream
	PinnedByCorrelation = "PinnedByCorrelation" // one consumer for the events with a correlation id
)

// A StartKind says where a group without a checkpoint begins.
type StartKind uint8

// The kinds of a [Start].
const (
	FromStart StartKind = iota
	FromEnd             // after what is there when the group is created
	FromPoint           // with the event at At
)

// A Start says where a group without a checkpoint begins.
type Start struct {
	Kind    StartKind `json:"kind"`
	At      uint64    `json:"at,omitempty"`      // for FromPoint: the revision, on $all the commit position
	Prepare uint64    `json:"prepare,omitempty"` // for FromPoint on $all: the prepare position
}

// Settings are what a group can be updated with.
type Settings struct {
	Start              Start         `json:"start"`
	ResolveLinkTos     bool          `json:"resolveLinkTos"`
	ExtraStatistics    bool          `json:"extraStatistics"`
	MessageTimeout     time.Duration `json:"messageTimeoutNanos"`  // after which an event is handed out again; 0 means never
	MaxRetryCount      int           `json:"maxRetryCount"`        // how often that happens before the event is parked
	CheckpointAfter    time.Duration `json:"checkpointAfterNanos"` // least time between checkpoints; 0 means none by time
	MinCheckpointCount int           `json:"minCheckpointCount"`   // least number of events between checkpoints by time
	MaxCheckpointCount int           `json:"maxCheckpointCount"`   // number of events after which there is one at once; 0 means none by count
	MaxSubscriberCount int           `json:"maxSubscriberCount"`   // 0 means any number
	LiveBufferSize     int           `json:"liveBufferSize"`       // reported; bounds the read-ahead together with HistoryBufferSize
	ReadBatchSize      int           `json:"readBatchSize"`        // reported; must be below HistoryBufferSize
	HistoryBufferSize  int           `json:"historyBufferSize"`
	Strategy           string        `json:"strategy"`
}

// A Filter chooses events of a group on all streams. Regexp counts when it is
// set, and otherwise one of Prefixes must match.
type Filter struct {
	OnType   bool     `json:"onType"` // look at the event type instead of the stream name
	Regexp   string   `json:"regexp,omitempty"`
	Prefixes []string `json:"prefixes,omitempty"`
}

// A Definition is what a group is created from.
type Definition struct {
	Stream   string  `json:"stream"` // or All
	Group    string  `json:"group"`
	Filter   *Filter `json:"filter,omitempty"` // for All only; cannot be updated
	Settings `json:"settings"`
}

// Key returns what identifies the group: {stream}::{group}.
func (d *Definition) Key() string { return key(d.Stream, d.Group) }

// StartText returns where the group begins as the protocol writes it: 0, -1 or
// a revision, and on $all C:0/P:0, C:-1/P:-1 or a position.
func (d *Definition) StartText() string {
	n, prepare := int64(0), int64(0)
	switch d.Start.Kind {
	case FromEnd:
		n, prepare = -1, -1
	case FromPoint:
		n, prepare = int64(d.Start.At), int64(d.Start.Prepare)
	}
	if d.Stream == All {
		return fmt.Sprintf("C:%d/P:%d", n, prepare)
	}
	return strconv.FormatInt(n, 10)
}

// PointText returns the text of a point that a group has reached, "" for 0: on
// a stream the revision of a version, on $all a position.
func (d *Definition) PointText(point uint64) string {
	switch {
	case point == 0:
		return ""
	case d.Stream == All:
		return fmt.Sprintf("C:%d/P:%d", point, point)
	}
	return strconv.FormatUint(point-1, 10)
}

// parsePoint reads what PointText writes.
func (d *Definition) parsePoint(text string) (uint64, error) {
	digits := text
	if d.Stream == All {
		commit, _, _ := strings.Cut(text, "/P:")
		digits, _ = strings.CutPrefix(commit, "C:")
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err == nil && d.Stream != All {
		n++
	}
	return n, err
}

func key(stream, group string) string { return stream + "::" + group }

func (d *Definition) checkpointStream() string {
	return "$persistentsubscription-" + d.Key() + "-checkpoint"
}

func (d *Definition) parkedStream() string {
	return "$persistentsubscription-" + d.Key() + "-parked"
}

// hidden reports whether a stream is left out of $all for groups: the notes of
// a group on $all would feed that group.
func hidden(stream string) bool {
	return stream == "$epoch-information" ||
		strings.HasPrefix(stream, "$persistentsubscription-$all::") &&
			(strings.HasSuffix(stream, "-checkpoint") || strings.HasSuffix(stream, "-parked"))
}

// check returns a [*FailedError] for a definition that cannot work. head is the
// end of the log.
func (d *Definition) check(head eventstore.Position) error {
	failed := func(format string, args ...any) error {
		return &FailedError{d.Stream, d.Group, fmt.Sprintf(format, args...)}
	}
	switch d.Strategy {
	case RoundRobin, DispatchToSingle, Pinned, PinnedByCorrelation:
	default:
		return failed("Consumer strategy %s does not exist.", d.Strategy)
	}
	switch {
	case d.Group == "":
		return failed("Bad group name.")
	case d.Stream != All && eventstore.CheckStream(d.Stream) != nil:
		return failed("Bad stream name.")
	case eventstore.CheckStream(d.checkpointStream()) != nil:
		return failed("The names of stream and group are too long together, or not UTF-8.")
	case d.ReadBatchSize >= d.HistoryBufferSize:
		return failed("The read batch size of %d must be below the history buffer size of %d.", d.ReadBatchSize, d.HistoryBufferSize)
	case d.Filter != nil && d.Stream != All:
		return failed("Only a subscription to $all can have a filter.")
	}
	if s := d.Start; d.Stream == All && s.Kind == FromPoint && (s.Prepare > s.At || s.At > uint64(head)) {
		return failed("Invalid Start From position: event position C:%d/P:%d is beyond the end of the log at C:%d/P:%d, or its prepare position is above its commit position.", s.At, s.Prepare, head, head)
	}
	_, err := d.matcher()
	return err
}

// matcher returns a function that says which events of $all the group wants;
// nil means all that are not hidden.
func (d *Definition) matcher() (func(stream, eventType string) bool, error) {
	f := d.Filter
	if f == nil {
		return nil, nil
	}
	var want eventstore.Filter
	if f.Regexp == "" {
		if f.OnType {
			want.TypePrefixes = f.Prefixes
		} else {
			want.StreamPrefixes = f.Prefixes
		}
		return want.Matcher(), nil
	}
	re, err := regexp.Compile(f.Regexp)
	if err != nil {
		return nil, &eventstore.InvalidError{What: "filter", Value: f.Regexp, Remedy: err.Error()}
	}
	if f.OnType {
		want.TypeRegexp = re
	} else {
		want.StreamRegexp = re
	}
	return want.Matcher(), nil
}

// readAhead returns how many events a group may hold that no consumer has yet.
func (d *Definition) readAhead() int {
	return min(max(d.LiveBufferSize, d.HistoryBufferSize, 1), maxReadAhead)
}

const (
	maxReadAhead      = 5000     // events
	maxReadAheadBytes = 16 << 20 // of data and metadata
)
