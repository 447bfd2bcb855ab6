package esdbserver

import (
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"

	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/groups"
)

// streamOf returns the stream that a request names.
func streamOf(id *shared.StreamIdentifier, all *shared.Empty) string {
	if all != nil {
		return groups.All
	}
	return string(id.GetStreamName())
}

// createDefinition reads a request to create a group. The Node client names a
// stream, and where to begin, by the deprecated fields only.
func createDefinition(o *persistent.CreateReq_Options) (groups.Definition, error) {
	set := o.GetSettings()
	d := groups.Definition{Group: o.GetGroupName()}
	switch all, stream := o.GetAll(), o.GetStream(); {
	case all != nil:
		d.Stream = groups.All
		d.Start = allStart(all, all.GetPosition())
		d.Filter = groupFilter(all.GetFilter())
	case stream != nil:
		d.Stream = string(stream.GetStreamIdentifier().GetStreamName())
		d.Start = streamStart(stream)
	default:
		d.Stream = string(o.GetStreamIdentifier().GetStreamName()) //nolint:staticcheck // what Node sends
		d.Start = revisionStart(set.GetRevision())                 //nolint:staticcheck // what Node sends
	}
	strategy := set.GetConsumerStrategy()
	if strategy == "" {
		strategy = set.GetNamedConsumerStrategy().String() //nolint:staticcheck // what Node sends
	}
	fillSettings(&d.Settings, set, strategy)
	return d, checkNotAll(&d, o.GetAll() != nil)
}

// updateDefinition reads a request to update a group. It has no filter.
func updateDefinition(o *persistent.UpdateReq_Options) (groups.Definition, error) {
	set := o.GetSettings()
	d := groups.Definition{Group: o.GetGroupName()}
	switch all, stream := o.GetAll(), o.GetStream(); {
	case all != nil:
		d.Stream = groups.All
		d.Start = allStart(all, all.GetPosition())
	case stream != nil:
		d.Stream = string(stream.GetStreamIdentifier().GetStreamName())
		d.Start = streamStart(stream)
	default:
		d.Stream = string(o.GetStreamIdentifier().GetStreamName()) //nolint:staticcheck // as in createDefinition
		d.Start = revisionStart(set.GetRevision())                 //nolint:staticcheck // as in createDefinition
	}
	fillSettings(&d.Settings, set, set.GetNamedConsumerStrategy().String())
	return d, checkNotAll(&d, o.GetAll() != nil)
}

// checkNotAll refuses $all where a stream is meant.
func checkNotAll(d *groups.Definition, all bool) error {
	if d.Stream == groups.All && !all {
		return &groups.FailedError{Stream: d.Stream, Group: d.Group, Reason: "Persistent subscriptions to $all are created with the all option, not by stream name."}
	}
	return nil
}

// A startOption is how a request says where to begin.
type startOption interface {
	GetStart() *shared.Empty
	GetEnd() *shared.Empty
}

func streamStart(o interface {
	startOption
	GetRevision() uint64
},
) groups.Start {
	switch {
	case o.GetEnd() != nil:
		return groups.Start{Kind: groups.FromEnd}
	case o.GetStart() != nil:
		return groups.Start{}
	}
	return revisionStart(o.GetRevision())
}

// revisionStart reads a revision, of which the highest means the end.
func revisionStart(revision uint64) groups.Start {
	switch revision {
	case math.MaxUint64:
		return groups.Start{Kind: groups.FromEnd}
	case 0:
		return groups.Start{}
	}
	return groups.Start{Kind: groups.FromPoint, At: min(revision, math.MaxInt64)}
}

func allStart(o startOption, at interface {
	GetCommitPosition() uint64
	GetPreparePosition() uint64
},
) groups.Start {
	switch {
	case o.GetEnd() != nil:
		return groups.Start{Kind: groups.FromEnd}
	case o.GetStart() != nil:
		return groups.Start{}
	case at.GetCommitPosition() == math.MaxUint64 && at.GetPreparePosition() == math.MaxUint64:
		return groups.Start{Kind: groups.FromEnd}
	}
	return groups.Start{Kind: groups.FromPoint, At: at.GetCommitPosition(), Prepare: at.GetPreparePosition()}
}

// groupFilter reads the filter of a group on $all. Window and checkpoint
// interval mean nothing to a group.
func groupFilter(f *persistent.CreateReq_AllOptions_FilterOptions) *groups.Filter {
	expression, onType := f.GetStreamIdentifier(), false
	if t := f.GetEventType(); t != nil {
		expression, onType = t, true
	}
	if expression == nil {
		return nil
	}
	return &groups.Filter{OnType: onType, Regexp: expression.GetRegex(), Prefixes: expression.GetPrefix()}
}

// settings are the getters that the settings of a create and of an update
// request have in common.
type settings interface {
	GetResolveLinks() bool
	GetExtraStatistics() bool
	GetMaxRetryCount() int32
	GetMinCheckpointCount() int32
	GetMaxCheckpointCount() int32
	GetMaxSubscriberCount() int32
	GetLiveBufferSize() int32
	GetReadBatchSize() int32
	GetHistoryBufferSize() int32
	GetMessageTimeoutTicks() int64
	GetMessageTimeoutMs() int32
	GetCheckpointAfterTicks() int64
	GetCheckpointAfterMs() int32
}

func fillSettings(s *groups.Settings, from settings, strategy string) {
	s.ResolveLinkTos = from.GetResolveLinks()
	s.ExtraStatistics = from.GetExtraStatistics()
	s.MessageTimeout = span(from.GetMessageTimeoutMs(), from.GetMessageTimeoutTicks())
	s.CheckpointAfter = span(from.GetCheckpointAfterMs(), from.GetCheckpointAfterTicks())
	s.MaxRetryCount = int(max(from.GetMaxRetryCount(), 0))
	s.MinCheckpointCount = int(max(from.GetMinCheckpointCount(), 0))
	s.MaxCheckpointCount = int(max(from.GetMaxCheckpointCount(), 0))
	s.MaxSubscriberCount = int(max(from.GetMaxSubscriberCount(), 0))
	s.LiveBufferSize = int(max(from.GetLiveBufferSize(), 0))
	s.ReadBatchSize = int(max(from.GetReadBatchSize(), 0))
	s.HistoryBufferSize = int(max(from.GetHistoryBufferSize(), 0))
	s.Strategy = strategy
}

// tick is .NET's unit of time.
const tick = 100 * time.Nanosecond

// span returns a time given in one of two units; the other is 0.
func span(ms int32, ticks int64) time.Duration {
	d := time.Duration(ms) * time.Millisecond
	if ticks > 0 {
		d = time.Duration(min(ticks, math.MaxInt64/int64(tick))) * tick
	}
	return max(d, 0)
}
