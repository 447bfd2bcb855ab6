package commandotel

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/foldstream/foldstream/command"
)

// buckets are bounds in seconds: a command in memory takes microseconds, a
// durable one milliseconds.
var buckets = []float64{
	0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
}

type instruments struct {
	duration metric.Float64Histogram
	handled  metric.Int64Counter
	active   metric.Int64UpDownCounter
}

func newInstruments(m metric.Meter) instruments {
	var i instruments
	var errs [3]error
	i.duration, errs[0] = m.Float64Histogram(MetricDuration, metric.WithUnit("s"),
		metric.WithDescription("How long commands took."), metric.WithExplicitBucketBoundaries(buckets...))
	i.handled, errs[1] = m.Int64Counter(MetricHandled, metric.WithUnit("{command}"),
		metric.WithDescription("Commands that came to an end."))
	i.active, errs[2] = m.Int64UpDownCounter(MetricActive, metric.WithUnit("{command}"),
		metric.WithDescription("Commands that are being carried out."))
	for _, err := range errs {
		if err != nil {
			otel.Handle(err)
		}
	}
	return i
}

// measures are the instruments of one command type, with attributes made once.
type measures struct {
	instruments
	command metric.MeasurementOption
	ended   [command.Failed + 1]metric.MeasurementOption // by outcome
}

func (i instruments) of(name string) *measures {
	m := &measures{instruments: i, command: metric.WithAttributeSet(attribute.NewSet(KeyCommand.String(name)))}
	for o := range m.ended {
		outcome := command.Outcome(o)
		as := []attribute.KeyValue{KeyCommand.String(name), KeyOutcome.String(outcome.String())}
		if outcome != command.Done {
			as = append(as, keyErrorType.String(outcome.String()))
		}
		m.ended[o] = metric.WithAttributeSet(attribute.NewSet(as...))
	}
	return m
}

func (m *measures) begin(ctx context.Context) { m.active.Add(ctx, 1, m.command) }

func (m *measures) end(ctx context.Context, o command.Outcome, took time.Duration) {
	m.active.Add(ctx, -1, m.command)
	m.handled.Add(ctx, 1, m.ended[o])
	m.duration.Record(ctx, took.Seconds(), m.ended[o])
}

// isFailure reports whether an outcome is a trouble or a fault of this side.
func isFailure(o command.Outcome) bool { return o.Level() >= slog.LevelWarn }
