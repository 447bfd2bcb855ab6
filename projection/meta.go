package projection

import (
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// Meta is what a handler is told of an event besides the event itself.
type Meta struct {
	EventID  eventstore.ID
	Type     string // name under which the event is stored
	Stream   string
	ID       string // of the aggregate: the stream's name after its first dash
	Version  eventstore.Version
	Position eventstore.Position
	Created  time.Time // when the event store accepted it, UTC
	Metadata eventstore.Metadata
	Part     int  // of what one stored event stands for today, counted from 0, see [eventstore.Several]; 0 if it is one
	Replay   bool // the view is being built or rebuilt, not followed; for reactors see [StartAt]
}

func (pl *pipeline) metaOf(ev *shared) Meta {
	r := &ev.rec
	return Meta{
		EventID: r.ID, Type: r.Type, Stream: r.Stream, ID: ev.id, Version: r.Version,
		Position: r.Position, Created: r.Created, Metadata: r.Metadata,
		Replay: pl.replay.Load() || r.Position <= pl.version.History,
	}
}
