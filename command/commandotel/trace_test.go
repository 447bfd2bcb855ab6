package commandotel_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/command/commandotel"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/memview"
)

// A trace from a command through its event and a reaction to the next command.
type (
	opened  struct{ Customer string }
	open    struct{ Account, Customer string }
	welcome struct{ Customer string }
	account struct{}
)

func (account) Evolve(opened) account             { return account{} }
func (account) open(c open) ([]opened, error)     { return []opened{{c.Customer}}, nil }
func (account) welcome(welcome) ([]opened, error) { return []opened{{}}, nil }
func (o open) AggregateID() string                { return o.Account }
func (w welcome) AggregateID() string             { return w.Customer }

func TestATraceGoesThroughAReaction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := observe()
		store, events := memstore.New(nil), codec.New(codec.Type[opened]("opened"))
		command.Register(o.bus, aggregate.Handle(aggregate.NewRepository[account](store, "account", events, nil), account.open))
		command.Register(o.bus, aggregate.Handle(aggregate.NewRepository[account](store, "customer", events, nil), account.welcome))
		reactor := projection.NewReactor("welcomes", events, memview.New(), projection.StartAt(0),
			projection.React(func(ctx context.Context, e opened, _ projection.Meta) error {
				if e.Customer == "" {
					return nil
				}
				_, err := command.Send(ctx, o.bus, welcome(e))
				return err
			}))
		_, err := command.Send(t.Context(), o.bus, open{"1", "ada"})
		require.NoError(t, err)
		r := projection.NewRunner(store, nil, reactor)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		require.NoError(t, r.WaitLevel(t.Context()))
		cancel()
		require.NoError(t, <-done)

		spans := map[string]tracetest.SpanStub{}
		for _, s := range o.spans.GetSpans() {
			spans[s.Name] = s
		}
		first, second := spans["commandotel_test.open"], spans["commandotel_test.welcome"]
		assert.Equal(t, first.SpanContext.TraceID(), second.SpanContext.TraceID())
		assert.Equal(t, first.SpanContext.SpanID(), second.Parent.SpanID())
		for rec, err := range store.Read(t.Context(), "customer-ada", eventstore.ReadOptions{}) {
			require.NoError(t, err)
			assert.Contains(t, rec.Metadata.Get(eventstore.KeyTraceParent), second.SpanContext.SpanID().String())
		}
	})
}

func TestAQueuedCommandContinuesTheTrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := observe()
		store, types := memstore.New(nil), codec.New(codec.Type[opened]("opened"), codec.Type[open]("open"))
		command.Register(o.bus, aggregate.Handle(aggregate.NewRepository[account](store, "account", types, nil), account.open))
		q := command.NewQueue("jobs", store, types, o.bus, &command.QueueOptions{Annotate: commandotel.Annotate})
		ctx, request := o.traces.Tracer("test").Start(t.Context(), "request")
		id, err := command.Enqueue(ctx, q, open{"1", "ada"})
		require.NoError(t, err)
		request.End()
		work, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- q.Run(work) }()
		_, err = q.Await(t.Context(), id)
		require.NoError(t, err)
		cancel()
		require.NoError(t, <-done)
		span, _ := o.span(t, "commandotel_test.open")
		assert.Equal(t, request.SpanContext().TraceID(), span.SpanContext.TraceID())
		assert.Equal(t, request.SpanContext().SpanID(), span.Parent.SpanID())
	})
}
