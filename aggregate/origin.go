package aggregate

import (
	"context"
	"strconv"

	"github.com/foldstream/foldstream/eventstore"
)

// originOf returns where the command in ctx comes from. One without an id gets
// one, so that every event names the command that led to it.
func originOf(ctx context.Context) *eventstore.Origin {
	o := eventstore.OriginFromContext(ctx)
	if o == nil {
		return &eventstore.Origin{CommandID: eventstore.NewID().String()}
	}
	if o.CommandID == "" {
		with := *o
		with.CommandID = eventstore.NewID().String()
		return &with
	}
	return o
}

func metadataOf(o *eventstore.Origin) eventstore.Metadata {
	m := eventstore.NewMetadata(eventstore.KeyCommandID, o.CommandID)
	if o.CorrelationID != "" {
		m = m.With(eventstore.KeyCorrelationID, o.CorrelationID)
	}
	if o.CausationID != "" {
		m = m.With(eventstore.KeyCausationID, o.CausationID)
	}
	if o.Metadata.Size() > 0 {
		m = o.Metadata.Merge(m) // the ids above cannot be overwritten
	}
	return m
}

// eventID makes the id of the nth event of a command. The same command on the
// same stream gives the same ids, which is what lets a store recognize an
// append whose answer was lost.
func eventID(stream, commandID string, n int) eventstore.ID {
	return eventstore.DeriveID(stream, commandID, strconv.Itoa(n))
}
