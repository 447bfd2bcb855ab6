package eventstore

import "context"

// An Origin says what caused the events that are about to be appended. The
// command bus puts it into the context, and whoever appends writes it into the
// events' metadata.
type Origin struct {
	CommandID     string   // makes a repeated command recognizable
	CorrelationID string   // of the whole conversation
	CausationID   string   // of the message that caused the command
	Metadata      Metadata // further pairs, such as tenant, actor, trace context
}

type (
	originKey struct{}
	afterKey  struct{}
)

// ContextWithOrigin returns a context that carries o.
func ContextWithOrigin(ctx context.Context, o *Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// OriginFromContext returns the origin that ctx carries, or nil. It must not
// be modified.
func OriginFromContext(ctx context.Context) *Origin {
	o, _ := ctx.Value(originKey{}).(*Origin)
	return o
}

// ContextAfter returns a context in which views answer only once they have
// reached position p, see package query. Of several the highest counts.
func ContextAfter(ctx context.Context, p Position) context.Context {
	if p <= AfterFromContext(ctx) {
		return ctx
	}
	return context.WithValue(ctx, afterKey{}, p)
}

// AfterFromContext returns the position that views read in ctx must have
// reached, or 0.
func AfterFromContext(ctx context.Context) Position {
	p, _ := ctx.Value(afterKey{}).(Position)
	return p
}
