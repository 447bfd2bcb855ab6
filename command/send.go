package command

import (
	"context"

	"github.com/foldstream/foldstream/eventstore"
)

// A SendOption is an option of [Send].
type SendOption func(*eventstore.Origin)

// WithID gives the command an id. Sending the same id to the same aggregate
// again returns the first receipt, marked as repeated, and does nothing. A
// command without one gets a random id.
func WithID(id string) SendOption {
	return func(o *eventstore.Origin) { o.CommandID = id }
}

// WithCorrelation says which conversation the command belongs to.
func WithCorrelation(id string) SendOption {
	return func(o *eventstore.Origin) { o.CorrelationID = id }
}

// WithCausation says which message caused the command.
func WithCausation(id string) SendOption {
	return func(o *eventstore.Origin) { o.CausationID = id }
}

// WithMetadata adds a pair to the metadata of the events that the command
// leads to.
func WithMetadata(key, value string) SendOption {
	return func(o *eventstore.Origin) { o.Metadata = o.Metadata.With(key, value) }
}

// withOrigin adds the options to the origin in ctx. The id of a command that
// is being handled is not inherited by those it sends: it is their cause.
func withOrigin(ctx context.Context, opts []SendOption) context.Context {
	o := &eventstore.Origin{}
	if outer := eventstore.OriginFromContext(ctx); outer != nil {
		o.CorrelationID, o.CausationID, o.Metadata = outer.CorrelationID, outer.CausationID, outer.Metadata
		if outer.CommandID != "" {
			o.CausationID = outer.CommandID
		}
	}
	for _, opt := range opts {
		opt(o)
	}
	return eventstore.ContextWithOrigin(ctx, o)
}
