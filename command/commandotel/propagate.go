package commandotel

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/foldstream/foldstream/eventstore"
)

var w3c propagation.TraceContext

// ContextOf returns a context in which spans continue the trace of the command
// that an event came from, given the event's metadata:
//
//	projection.React(func(ctx context.Context, e order.Paid, m projection.Meta) error {
//		ctx, span := tracer.Start(commandotel.ContextOf(ctx, m.Metadata), "send receipt")
//		defer span.End()
//		…
//	})
//
// Commands that a reactor sends need no help, [Observe] finds the trace itself.
func ContextOf(ctx context.Context, m eventstore.Metadata) context.Context {
	return w3c.Extract(ctx, carrier{m})
}

// carrier reads trace context from metadata.
type carrier struct{ m eventstore.Metadata }

func (c carrier) Get(key string) string { return c.m.Get(key) }
func (c carrier) Set(string, string)    {}
func (c carrier) Keys() []string {
	return []string{eventstore.KeyTraceParent, eventstore.KeyTraceState}
}

// withParent returns a context with the span that the origin tells of, if it has
// none.
func withParent(ctx context.Context) context.Context {
	if trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	if o := eventstore.OriginFromContext(ctx); o != nil {
		return ContextOf(ctx, o.Metadata)
	}
	return ctx
}

// Annotate writes the trace context of ctx into an origin. Given to
// [command.QueueOptions] it has a queued command continue the trace of who
// enqueued it, whenever and wherever it is carried out.
func Annotate(ctx context.Context, o *eventstore.Origin) {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		o.Metadata = traced(o.Metadata, span)
	}
}

// withTrace writes a span's trace context into the origin.
func withTrace(ctx context.Context, span trace.SpanContext) context.Context {
	if !span.IsValid() {
		return ctx
	}
	var o eventstore.Origin
	if outer := eventstore.OriginFromContext(ctx); outer != nil {
		o = *outer
	}
	o.Metadata = traced(o.Metadata, span)
	return eventstore.ContextWithOrigin(ctx, &o)
}

// traced returns metadata with a span's trace context. What was there is of the
// cause and not of this command.
func traced(m eventstore.Metadata, span trace.SpanContext) eventstore.Metadata {
	pairs := propagation.MapCarrier(m.Map())
	delete(pairs, eventstore.KeyTraceState)
	w3c.Inject(trace.ContextWithSpanContext(context.Background(), span), pairs)
	return eventstore.MetadataFromMap(pairs)
}
