package projection_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/projection"
)

// points is an aggregate that counts what its commands gave it.
type points struct{ n int64 }

func (p points) Evolve(e paid) points        { return points{p.n + e.Cents} }
func (p points) give(c give) ([]paid, error) { return []paid{{c.N}}, nil }
func (g give) AggregateID() string           { return g.Customer }

type give struct {
	Customer string
	N        int64
}

func TestARepeatedReactionSendsTheSameCommands(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		bus := command.NewBus(nil)
		command.Register(bus, aggregate.Handle(aggregate.NewRepository[points](s.store, "points", events, nil), points.give))
		attempts := 0
		reactor := projection.NewReactor("loyalty", events, s.views, projection.StartAt(0),
			projection.React(func(ctx context.Context, e placed, _ projection.Meta) error {
				attempts++
				customers := e.SKUs
				if attempts == 2 {
					customers = []string{e.SKUs[1], e.SKUs[0]} // as the keys of a map come
				}
				for _, c := range customers {
					if _, err := command.Send(ctx, bus, give{c, 1}); err != nil {
						return err
					}
				}
				if attempts < 3 {
					return errors.New("the answer was lost")
				}
				_, err := command.Send(ctx, bus, give{customers[0], 1})
				return err
			}))
		e, err := events.Encode(placed{SKUs: []string{"ada", "bob"}})
		require.NoError(t, err)
		e.ID = eventstore.NewID()
		e.Metadata = eventstore.NewMetadata(eventstore.KeyCorrelationID, "talk", eventstore.KeyCommandID, "c1", eventstore.KeyActor, "ada",
			eventstore.KeyTenant, "t1", eventstore.KeyTraceParent, "00-trace", "of", "this event only")
		_, err = s.store.Append(t.Context(), "order-1", eventstore.NoStream, e)
		require.NoError(t, err)
		r := projection.NewRunner(s.store, nil, reactor)
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.Equal(t, 3, attempts)
		for stream, n := range map[string]int{"points-ada": 2, "points-bob": 1} {
			var ids []string
			for rec, err := range s.store.Read(t.Context(), stream, eventstore.ReadOptions{}) {
				require.NoError(t, err)
				want := map[string]string{
					eventstore.KeyCorrelationID: "talk", eventstore.KeyCausationID: e.ID.String(), eventstore.KeyActor: "loyalty",
					eventstore.KeyTenant: "t1", eventstore.KeyTraceParent: "00-trace", eventstore.KeyCommandID: rec.Metadata.Get(eventstore.KeyCommandID),
				}
				assert.Equal(t, want, rec.Metadata.Map())
				ids = append(ids, rec.Metadata.Get(eventstore.KeyCommandID))
			}
			assert.Len(t, ids, n, stream)
		}
	})
}

func TestAReactionToAnEventWithoutAConversationBeginsOne(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		var origin *eventstore.Origin
		var event eventstore.ID
		reactor := projection.NewReactor("loyalty", events, s.views, projection.StartAt(0),
			projection.React(func(ctx context.Context, _ paid, m projection.Meta) error {
				origin, event = eventstore.OriginFromContext(ctx), m.EventID
				return nil
			}))
		put(t, s.store, "order-1", paid{1})
		r := projection.NewRunner(s.store, nil, reactor)
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		assert.Equal(t, event.String(), origin.CorrelationID)
		assert.Empty(t, origin.CommandID)
	})
}
