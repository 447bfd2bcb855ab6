// Package commandotel traces and measures commands with OpenTelemetry.
//
// [Observe] is a middleware: a span for each command, whose W3C trace context is
// written into the metadata of the events, and metrics. [ContextOf] continues
// the trace where events are read, such as in a reactor.
package commandotel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
)

// Scope is the name of the instrumentation, which spans and metrics carry.
const Scope = "github.com/foldstream/foldstream/command/commandotel"

// The names of the metrics. Each has the attributes of the command's type, and
// the first two that of its outcome.
const (
	// MetricDuration is a histogram of how long commands took, in seconds.
	MetricDuration = "foldstream.command.duration"
	// MetricHandled counts commands that came to an end.
	MetricHandled = "foldstream.command.handled"
	// MetricActive is how many commands are being carried out.
	MetricActive = "foldstream.command.active"
)

// The attributes of spans and metrics. Failures also have error.type, which is
// the outcome.
const (
	KeyCommand     = attribute.Key("foldstream.command.type")    // such as order.Place
	KeyOutcome     = attribute.Key("foldstream.command.outcome") // see command.Outcome
	KeyCommandID   = attribute.Key("foldstream.command.id")
	KeyCorrelation = attribute.Key("foldstream.correlation.id")
	KeyRepeated    = attribute.Key("foldstream.command.repeated")
	KeyStream      = attribute.Key("foldstream.stream.name")
	KeyVersion     = attribute.Key("foldstream.stream.version")
	keyErrorType   = attribute.Key("error.type")
)

// Options configure [Observe]. The zero value takes the global providers.
type Options struct {
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
}

// Observe traces and measures commands. A span is named by the command's type
// and is a child of the span in the context, or else of the one that the
// command's origin tells of: the event that is reacted to, or whoever put the
// command on a queue. Its own trace context takes that place in the origin, so
// that the events of the command carry it.
//
// The status of a span is an error for what is not its sender's affair, see
// [command.Outcome.Level]. It belongs outside [command.Recover] and within
// [command.Correlate]. A nil opts means the defaults.
func Observe(opts *Options) command.Middleware {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	if o.MeterProvider == nil {
		o.MeterProvider = otel.GetMeterProvider()
	}
	tracer := o.TracerProvider.Tracer(Scope)
	instruments := newInstruments(o.MeterProvider.Meter(Scope))
	return func(route command.Route, next command.Handler) command.Handler {
		m := instruments.of(route.Name)
		named := trace.WithAttributes(KeyCommand.String(route.Name))
		return func(ctx context.Context, cmd any) (r eventstore.Receipt, err error) {
			start := time.Now()
			m.begin(ctx)
			ctx, span := tracer.Start(withParent(ctx), route.Name, named, trace.WithTimestamp(start))
			outcome := command.Panicked // unless next returns
			defer func() {
				end := time.Now()
				m.end(ctx, outcome, end.Sub(start))
				finish(ctx, span, outcome, r, err)
				span.End(trace.WithTimestamp(end))
			}()
			r, err = next(withTrace(ctx, span.SpanContext()), cmd)
			outcome = command.OutcomeOf(err)
			return r, err
		}
	}
}

// finish says on a span what became of its command.
func finish(ctx context.Context, span trace.Span, outcome command.Outcome, r eventstore.Receipt, err error) {
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(KeyOutcome.String(outcome.String()))
	if o := eventstore.OriginFromContext(ctx); o != nil {
		if o.CommandID != "" {
			span.SetAttributes(KeyCommandID.String(o.CommandID))
		}
		if o.CorrelationID != "" {
			span.SetAttributes(KeyCorrelation.String(o.CorrelationID))
		}
	}
	if outcome == command.Done {
		span.SetAttributes(KeyStream.String(r.Stream), KeyVersion.Int64(int64(r.Version)), KeyRepeated.Bool(r.Repeated))
		return
	}
	span.SetAttributes(keyErrorType.String(outcome.String()))
	text := outcome.String()
	if err != nil {
		span.RecordError(err)
		text = err.Error()
	}
	if isFailure(outcome) {
		span.SetStatus(codes.Error, text)
	}
}
