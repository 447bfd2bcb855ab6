package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// hostile is a codec that does something at one event.
type hostile struct {
	eventstore.Codec
	at   eventstore.Version
	does func() error
}

func (h hostile) Decode(r eventstore.Recorded) (any, error) {
	if r.Version == h.at {
		if err := h.does(); err != nil {
			return nil, err
		}
	}
	return h.Codec.Decode(r)
}

// chain is a state that depends on the order of all events.
var chain = aggregate.Decider[string, any, event]{Evolve: func(s string, e event) string {
	if len(s) > 100 {
		s = fmt.Sprint(len(s), s[50:])
	}
	return fmt.Sprint(s, e.(deposited).Cents, " ")
}}

func history(t *testing.T, n int) *memstore.Store {
	t.Helper()
	store := memstore.New(nil)
	for i := range n {
		e, err := events.Encode(deposited{int64(i)})
		require.NoError(t, err)
		_, err = store.Append(t.Context(), "account-1", eventstore.Exact(eventstore.Version(i)), e)
		require.NoError(t, err)
	}
	return store
}

func TestWhatIsWrongInALongHistoryIsSaid(t *testing.T) {
	t.Parallel()
	store := history(t, 1000)
	broken := errors.New("broken")
	for _, at := range []eventstore.Version{1, 2, 500, 1000} {
		load := func(ctx context.Context, does func() error) error {
			codec := hostile{events, at, does}
			_, err := aggregate.NewDeciderRepository(store, "account", codec, chain, nil).Load(ctx, "1")
			return err
		}
		require.ErrorIs(t, load(t.Context(), func() error { return broken }), broken, "at %d", at)
		assert.Panics(t, func() { _ = load(t.Context(), func() error { panic("boom") }) }, "at %d", at)
		ctx, cancel := context.WithCancel(t.Context())
		err := load(ctx, func() error { cancel(); return nil })
		if at < 800 {
			require.ErrorIs(t, err, context.Canceled, "at %d", at)
		}
		require.NoError(t, load(t.Context(), func() error { return nil }))
	}
}

func BenchmarkLoadOf1000Events(b *testing.B) {
	store := memstore.New(nil)
	for range 1000 {
		e, err := events.Encode(deposited{1})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := store.Append(b.Context(), "account-1", eventstore.Any, e); err != nil {
			b.Fatal(err)
		}
	}
	_, accounts := newBus(store, &aggregate.Options{Cache: -1})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := accounts.Load(b.Context(), "1"); err != nil {
			b.Fatal(err)
		}
	}
}
