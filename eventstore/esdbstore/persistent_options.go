package esdbstore

import (
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/foldstream/foldstream/eventstore"
)

// Strategies by which a group chooses the consumer of an event.
const (
	RoundRobin       = "RoundRobin"       // the next one that has room
	DispatchToSingle = "DispatchToSingle" // the same one until it has no room
	Pinned           = "Pinned"           // the same one for the events of a stream, as far as possible
)

// GroupOptions are the settings of a group. The zero value is EventStoreDB's
// defaults, from the beginning.
type GroupOptions struct {
	From         eventstore.Version  // of a stream: the first version; 0 means the beginning
	FromPosition eventstore.Position // of all streams: the first position; 0 means the beginning
	FromEnd      bool                // only what is written after the group was made

	// Filter chooses events, for all streams only. The server applies it alone,
	// so it may have one condition; ExcludeSystem leaves out types that start
	// with a dollar sign.
	Filter eventstore.Filter

	ResolveLinks    bool          // deliver what link events point to
	MaxRetries      int           // an event that was retried so often is parked; default 10, negative means none
	MessageTimeout  time.Duration // an event not answered in it is retried; default 30 s
	CheckpointAfter time.Duration // default 2 s
	MinCheckpoint   int           // events handled before a checkpoint by time; default 10
	MaxCheckpoint   int           // events handled that force a checkpoint; default 1000
	MaxConsumers    int           // 0 means any number
	LiveBuffer      int           // events; default 500
	ReadBatch       int           // events; default 20
	HistoryBuffer   int           // events; default 500
	Strategy        string        // default RoundRobin
	ExtraStatistics bool
}

func (o *GroupOptions) withDefaults() GroupOptions {
	var d GroupOptions
	if o != nil {
		d = *o
	}
	orDefault(&d.MaxRetries, 10)
	d.MaxRetries = max(d.MaxRetries, 0)
	orDefault(&d.MessageTimeout, 30*time.Second)
	orDefault(&d.CheckpointAfter, 2*time.Second)
	orDefault(&d.MinCheckpoint, 10)
	orDefault(&d.MaxCheckpoint, 1000)
	orDefault(&d.LiveBuffer, 500)
	orDefault(&d.ReadBatch, 20)
	orDefault(&d.HistoryBuffer, 500)
	orDefault(&d.Strategy, RoundRobin)
	return d
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// settings returns the client's form. Its own field for the start is ignored.
func (o *GroupOptions) settings() (*esdb.PersistentSubscriptionSettings, error) {
	switch o.Strategy {
	case RoundRobin, DispatchToSingle, Pinned:
	default:
		return nil, &eventstore.InvalidError{What: "strategy of group", Value: o.Strategy, Remedy: "RoundRobin, DispatchToSingle or Pinned"}
	}
	return &esdb.PersistentSubscriptionSettings{
		ResolveLinkTos: o.ResolveLinks, ExtraStatistics: o.ExtraStatistics,
		MaxRetryCount: small(o.MaxRetries), MaxSubscriberCount: small(o.MaxConsumers),
		CheckpointLowerBound: small(o.MinCheckpoint), CheckpointUpperBound: small(o.MaxCheckpoint),
		LiveBufferSize: small(o.LiveBuffer), ReadBatchSize: small(o.ReadBatch), HistoryBufferSize: small(o.HistoryBuffer),
		ConsumerStrategyName: esdb.ConsumerStrategy(o.Strategy),
		MessageTimeout:       small(int(o.MessageTimeout.Milliseconds())),
		CheckpointAfter:      small(int(o.CheckpointAfter.Milliseconds())),
	}, nil
}

func small(n int) int32 { return int32(min(max(n, 0), math.MaxInt32)) }

func (o *GroupOptions) streamStart() esdb.StreamPosition {
	if o.FromEnd {
		return esdb.End{}
	}
	return streamStart(o.From, false)
}

func (o *GroupOptions) allStart() esdb.AllPosition {
	if o.FromEnd {
		return esdb.End{}
	}
	return allStart(o.FromPosition, false)
}

// filter returns the server's form of the filter, which must say all of it.
func (o *GroupOptions) filter(g *Group) (*esdb.SubscriptionFilter, error) {
	f := o.Filter
	if f.IsZero() {
		return nil, nil
	}
	if g.stream != all {
		return nil, &eventstore.InvalidError{What: "filter of group", Value: g.name, Remedy: "only a group of all streams has one"}
	}
	conditions := 0
	for _, set := range []bool{
		len(f.Types) > 0, len(f.Categories) > 0, len(f.StreamPrefixes) > 0, len(f.TypePrefixes) > 0,
		f.StreamRegexp != nil, f.TypeRegexp != nil, f.ExcludeSystem,
	} {
		if set {
			conditions++
		}
	}
	pushed := pushed(f)
	if conditions != 1 || pushed == nil {
		return nil, &eventstore.InvalidError{What: "filter of group", Value: g.name, Remedy: "one condition that the server knows: types, categories, prefixes, or a plain regular expression"}
	}
	return pushed, nil
}

// GroupInfo is what the server knows of a group. The counts are of a moment.
type GroupInfo struct {
	Stream   string `json:"stream"` // $all for all streams
	Group    string `json:"group"`
	Status   string `json:"status"` // such as Live
	Strategy string `json:"strategy"`

	// Where the group is: versions of a stream, positions of all streams.
	CheckpointVersion  eventstore.Version  `json:"checkpoint_version,omitempty"`
	KnownVersion       eventstore.Version  `json:"known_version,omitempty"`
	CheckpointPosition eventstore.Position `json:"checkpoint_position,omitempty"`
	KnownPosition      eventstore.Position `json:"known_position,omitempty"`

	Handled       int64           `json:"handled"` // events since the server started
	PerSecond     int64           `json:"per_second"`
	InFlight      int64           `json:"in_flight"` // sent and not answered
	Parked        int64           `json:"parked"`
	Retrying      int64           `json:"retrying"`
	MaxRetries    int             `json:"max_retries"`
	Timeout       time.Duration   `json:"timeout"`
	ResolvesLinks bool            `json:"resolves_links"`
	Consumers     []GroupConsumer `json:"consumers"`
}

// A GroupConsumer is a consumer that is connected to a group.
type GroupConsumer struct {
	From     string `json:"from"` // its address
	User     string `json:"user"`
	Handled  int64  `json:"handled"`
	InFlight int64  `json:"in_flight"`
	Room     int64  `json:"room"` // how many events more it would take
}

func groupInfo(i *esdb.PersistentSubscriptionInfo) GroupInfo {
	g := GroupInfo{Stream: i.EventSource, Group: i.GroupName, Status: i.Status}
	if set := i.Settings; set != nil {
		g.Strategy, g.MaxRetries = string(set.ConsumerStrategyName), int(set.MaxRetryCount)
		g.Timeout = time.Duration(set.MessageTimeout) * time.Millisecond
		g.ResolvesLinks = set.ResolveLinkTos
	}
	if st := i.Stats; st != nil {
		g.Handled, g.PerSecond, g.InFlight = st.TotalItems, st.AveragePerSecond, st.TotalInFlightMessages
		g.Parked, g.Retrying = st.ParkedMessagesCount, st.RetryBufferCount
		if r := st.LastCheckpointedEventRevision; r != nil {
			g.CheckpointVersion = eventstore.Version(*r) + 1
		}
		if r := st.LastKnownEventRevision; r != nil {
			g.KnownVersion = eventstore.Version(*r) + 1
		}
		if p := st.LastCheckpointedPosition; p != nil {
			g.CheckpointPosition = eventstore.Position(p.Commit)
		}
		if p := st.LastKnownPosition; p != nil {
			g.KnownPosition = eventstore.Position(p.Commit)
		}
	}
	for _, c := range i.Connections {
		g.Consumers = append(g.Consumers, GroupConsumer{
			From: c.From, User: c.Username, Handled: c.TotalItemsProcessed,
			InFlight: c.InFlightMessages, Room: c.AvailableSlots,
		})
	}
	return g
}
