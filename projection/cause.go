package projection

import (
	"context"

	"github.com/foldstream/foldstream/eventstore"
)

// because returns a context for what is done because of an event: commands that
// are sent in it continue the event's conversation and trace, name the event as
// their cause and the reactor as their actor, and have ids that follow from the
// two, so that a repeated reaction repeats no effect.
func because(ctx context.Context, reactor string, m *Meta) context.Context {
	event := m.EventID.String()
	o := &eventstore.Origin{
		CausationID:   event,
		CorrelationID: m.Metadata.Get(eventstore.KeyCorrelationID),
		Metadata:      eventstore.NewMetadata(eventstore.KeyActor, reactor),
		Seed:          reactor + " " + event, // no two are the same: ids of events are all of one length
	}
	if o.CorrelationID == "" {
		o.CorrelationID = event // the conversation begins here
	}
	for _, key := range [...]string{eventstore.KeyTenant, eventstore.KeyTraceParent, eventstore.KeyTraceState} {
		if v, ok := m.Metadata.Lookup(key); ok {
			o.Metadata = o.Metadata.With(key, v)
		}
	}
	return eventstore.ContextWithOrigin(ctx, o)
}
