package commandotel_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/command/commandotel"
	"github.com/foldstream/foldstream/eventstore"
)

// observed is a bus with what was seen of it.
type observed struct {
	bus    *command.Bus
	spans  *tracetest.InMemoryExporter
	traces *sdktrace.TracerProvider
	reader *metric.ManualReader
}

func observe(inner ...command.Middleware) *observed {
	o := &observed{spans: tracetest.NewInMemoryExporter(), reader: metric.NewManualReader()}
	o.traces = sdktrace.NewTracerProvider(sdktrace.WithSyncer(o.spans))
	m := commandotel.Observe(&commandotel.Options{TracerProvider: o.traces, MeterProvider: metric.NewMeterProvider(metric.WithReader(o.reader))})
	o.bus = command.NewBus(&command.Options{Middleware: append([]command.Middleware{command.Correlate(), m}, inner...)})
	return o
}

// attributes of the span with a name that ended last.
func (o *observed) span(t *testing.T, name string) (tracetest.SpanStub, map[string]any) {
	t.Helper()
	var found *tracetest.SpanStub
	for _, s := range o.spans.GetSpans() {
		if s.Name == name {
			found = &s
		}
	}
	require.NotNil(t, found, name)
	return *found, values(attribute.NewSet(found.Attributes...))
}

func values(set attribute.Set) map[string]any {
	as := map[string]any{}
	for _, a := range set.ToSlice() {
		as[string(a.Key)] = a.Value.AsInterface()
	}
	return as
}

func (o *observed) metric(t *testing.T, name string) metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, o.reader.Collect(t.Context(), &all))
	for _, s := range all.ScopeMetrics {
		assert.Equal(t, commandotel.Scope, s.Scope.Name)
		for _, m := range s.Metrics {
			if m.Name == name {
				return m
			}
		}
	}
	require.Fail(t, "no metric", name)
	return metricdata.Metrics{}
}

// act is a command that ends as its function says.
type act struct {
	do func(ctx context.Context) (eventstore.Receipt, error)
}

func doAct(ctx context.Context, a act) (eventstore.Receipt, error) { return a.do(ctx) }

func send(t *testing.T, o *observed, do func(ctx context.Context) (eventstore.Receipt, error), opts ...command.SendOption) error {
	t.Helper()
	_, err := command.Send(t.Context(), o.bus, act{do}, opts...)
	return err
}

func TestASpanSaysWhatBecameOfACommand(t *testing.T) {
	t.Parallel()
	o := observe()
	command.Register(o.bus, doAct)
	require.NoError(t, send(t, o, func(context.Context) (eventstore.Receipt, error) {
		return eventstore.Receipt{Stream: "order-1", Version: 7, Repeated: true}, nil
	}, command.WithID("c1"), command.WithCorrelation("talk")))
	span, as := o.span(t, "commandotel_test.act")
	assert.Equal(t, map[string]any{
		"foldstream.command.type": "commandotel_test.act", "foldstream.command.outcome": "done",
		"foldstream.command.id": "c1", "foldstream.correlation.id": "talk", "foldstream.command.repeated": true,
		"foldstream.stream.name": "order-1", "foldstream.stream.version": int64(7),
	}, as)
	assert.Equal(t, codes.Unset, span.Status.Code)

	for outcome, c := range map[command.Outcome]struct {
		err    error
		status codes.Code
	}{
		command.Invalid:   {&command.InvalidError{Command: "act", Err: errors.New("no id")}, codes.Unset},
		command.Uncertain: {&eventstore.UnavailableError{Uncertain: true, Err: errors.New("gone")}, codes.Error},
		command.Failed:    {errors.New("broken"), codes.Error},
	} {
		require.Error(t, send(t, o, func(context.Context) (eventstore.Receipt, error) { return eventstore.Receipt{}, c.err }))
		span, as = o.span(t, "commandotel_test.act")
		assert.Equal(t, outcome.String(), as["foldstream.command.outcome"])
		assert.Equal(t, outcome.String(), as["error.type"])
		assert.Equal(t, c.status, span.Status.Code, outcome)
		require.Len(t, span.Events, 1)
		assert.Equal(t, "exception", span.Events[0].Name)
	}
}

func TestMetricsAreInSecondsAndByOutcome(t *testing.T) {
	t.Parallel()
	o := observe(command.Recover())
	command.Register(o.bus, doAct)
	for range 3 {
		require.NoError(t, send(t, o, func(context.Context) (eventstore.Receipt, error) {
			active := o.metric(t, commandotel.MetricActive).Data.(metricdata.Sum[int64]).DataPoints
			assert.EqualValues(t, 1, active[0].Value, "in flight")
			return eventstore.Receipt{}, nil
		}))
	}
	require.Error(t, send(t, o, func(context.Context) (eventstore.Receipt, error) { panic("boom") }))

	handled := map[any]int64{}
	for _, p := range o.metric(t, commandotel.MetricHandled).Data.(metricdata.Sum[int64]).DataPoints {
		as := values(p.Attributes)
		assert.Equal(t, "commandotel_test.act", as["foldstream.command.type"])
		handled[as["foldstream.command.outcome"]] = p.Value
	}
	assert.Equal(t, map[any]int64{"done": 3, "panicked": 1}, handled)
	assert.EqualValues(t, 0, o.metric(t, commandotel.MetricActive).Data.(metricdata.Sum[int64]).DataPoints[0].Value)

	duration := o.metric(t, commandotel.MetricDuration)
	assert.Equal(t, "s", duration.Unit)
	for _, p := range duration.Data.(metricdata.Histogram[float64]).DataPoints {
		assert.Positive(t, p.Sum)
		assert.Less(t, p.Sum, 10.0, "these are no milliseconds")
		assert.InDelta(t, 0.00005, p.Bounds[0], 1e-9)
	}
}

func TestAPanicThatNobodyRecoversEndsItsSpan(t *testing.T) {
	t.Parallel()
	o := observe()
	command.Register(o.bus, doAct)
	assert.PanicsWithValue(t, "boom", func() {
		_ = send(t, o, func(context.Context) (eventstore.Receipt, error) { panic("boom") })
	})
	span, as := o.span(t, "commandotel_test.act")
	assert.Equal(t, "panicked", as["foldstream.command.outcome"])
	assert.Equal(t, codes.Error, span.Status.Code)
	assert.EqualValues(t, 0, o.metric(t, commandotel.MetricActive).Data.(metricdata.Sum[int64]).DataPoints[0].Value)
}

func TestTheTraceIsHandedOn(t *testing.T) {
	t.Parallel()
	o := observe()
	var origin *eventstore.Origin
	command.Register(o.bus, doAct)
	note := func(ctx context.Context) (eventstore.Receipt, error) {
		origin = eventstore.OriginFromContext(ctx)
		return eventstore.Receipt{}, nil
	}
	// what the origin tells of is the parent …
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	require.NoError(t, send(t, o, note, command.WithMetadata(eventstore.KeyTraceParent, parent),
		command.WithMetadata(eventstore.KeyTraceState, "vendor=1"), command.WithMetadata(eventstore.KeyTenant, "t")))
	span, _ := o.span(t, "commandotel_test.act")
	assert.Equal(t, "0af7651916cd43dd8448eb211c80319c", span.SpanContext.TraceID().String())
	assert.Equal(t, "b7ad6b7169203331", span.Parent.SpanID().String())
	assert.True(t, span.Parent.IsRemote())
	assert.Equal(t, map[string]string{
		eventstore.KeyTraceParent: "00-0af7651916cd43dd8448eb211c80319c-" + span.SpanContext.SpanID().String() + "-01",
		eventstore.KeyTraceState:  "vendor=1", eventstore.KeyTenant: "t",
	}, origin.Metadata.Map())
	assert.NotEmpty(t, origin.CorrelationID, "the rest of the origin stays")

	// … unless there is a span in the context
	ctx, outer := o.traces.Tracer("test").Start(t.Context(), "request")
	_, err := command.Send(ctx, o.bus, act{note}, command.WithMetadata(eventstore.KeyTraceParent, parent), command.WithMetadata(eventstore.KeyTraceState, "vendor=1"))
	require.NoError(t, err)
	span, _ = o.span(t, "commandotel_test.act")
	assert.Equal(t, outer.SpanContext().SpanID(), span.Parent.SpanID())
	assert.True(t, strings.HasPrefix(origin.Metadata.Get(eventstore.KeyTraceParent), "00-"+outer.SpanContext().TraceID().String()))
	_, stale := origin.Metadata.Lookup(eventstore.KeyTraceState)
	assert.False(t, stale, "that was of another trace")

	ctx = commandotel.ContextOf(t.Context(), origin.Metadata)
	assert.Equal(t, span.SpanContext.SpanID(), trace.SpanContextFromContext(ctx).SpanID())
	assert.False(t, trace.SpanContextFromContext(commandotel.ContextOf(t.Context(), eventstore.NewMetadata(eventstore.KeyTraceParent, "junk"))).IsValid())
}

func TestCommandsAtOnceKeepTheirOwnAttributes(t *testing.T) {
	t.Parallel()
	o := observe()
	command.Register(o.bus, doAct)
	shared := eventstore.ContextWithOrigin(t.Context(), &eventstore.Origin{Metadata: eventstore.NewMetadata(eventstore.KeyTenant, "t")})
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			id := strconv.Itoa(i)
			_, err := command.Send(shared, o.bus, act{func(ctx context.Context) (eventstore.Receipt, error) {
				own := trace.SpanContextFromContext(ctx).SpanID().String()
				assert.Contains(t, eventstore.OriginFromContext(ctx).Metadata.Get(eventstore.KeyTraceParent), own)
				return eventstore.Receipt{Stream: id}, nil
			}}, command.WithID(id))
			assert.NoError(t, err)
		})
	}
	all.Wait()
	assert.Equal(t, 1, eventstore.OriginFromContext(shared).Metadata.Len())
	spans := o.spans.GetSpans()
	require.Len(t, spans, 50)
	for _, s := range spans {
		as := values(attribute.NewSet(s.Attributes...))
		assert.Equal(t, as["foldstream.command.id"], as["foldstream.stream.name"])
	}
}

func TestWithoutProvidersNothingIsWritten(t *testing.T) {
	t.Parallel()
	bus := command.NewBus(&command.Options{Middleware: []command.Middleware{commandotel.Observe(nil)}})
	command.Register(bus, func(ctx context.Context, _ act) (eventstore.Receipt, error) {
		assert.Nil(t, eventstore.OriginFromContext(ctx))
		return eventstore.Receipt{}, nil
	})
	_, err := command.Send(t.Context(), bus, act{})
	require.NoError(t, err)
}
