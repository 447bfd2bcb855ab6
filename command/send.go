package command

import (
	"context"

	"github.com/foldstream/foldstream/eventstore"
)

// A SendOption is an option of [Send].
type SendOption func(*eventstore.Origin)

// WithID gives the command an id. Sending the same id to the same aggregate
// again returns the first receipt, marked as repeated, and does nothing. See
// [Send] for the id of a command without one.
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

// Context returns a context in which cmd can be handed to a handler without a
// bus, as [Send] would: what ctx carries is its cause, and opts count.
func Context(ctx context.Context, cmd any, opts ...SendOption) context.Context {
	return withOrigin(ctx, cmd, typeName(cmd), opts)
}

// withOrigin adds the options to the origin in ctx. The id of a command that
// is being handled is not inherited by those it sends: it is their cause.
func withOrigin[C any](ctx context.Context, cmd C, name string, opts []SendOption) context.Context {
	o := new(eventstore.Origin)
	outer := eventstore.OriginFromContext(ctx)
	if outer != nil {
		o.CorrelationID, o.CausationID, o.Metadata = outer.CorrelationID, outer.CausationID, outer.Metadata
		if outer.CommandID != "" {
			o.CausationID = outer.CommandID
		}
	}
	for _, opt := range opts {
		opt(o)
	}
	if o.CommandID == "" && outer != nil {
		o.CommandID = eventstore.DeriveCommandID(ctx, name, target(cmd))
	}
	return eventstore.ContextWithOrigin(ctx, o)
}

// target returns the id of the aggregate that a command is for, if it says.
func target[C any](cmd C) string {
	if c, ok := any(cmd).(interface{ AggregateID() string }); ok {
		return c.AggregateID()
	}
	return ""
}
