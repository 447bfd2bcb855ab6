package eventstoretest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/eventstoretest"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

func TestFaultyStaysAStoreUntilToldOtherwise(t *testing.T) {
	t.Parallel()
	eventstoretest.Suite{
		Open:        func(*testing.T) eventstore.Store { return eventstoretest.NewFaulty(memstore.New(nil)) },
		Conditional: true,
	}.Run(t)
}

func TestFaultyAppends(t *testing.T) {
	t.Parallel()
	f := eventstoretest.NewFaulty(memstore.New(nil))
	f.FailAppend(2, false)
	f.FailAppend(3, true)
	e := []eventstore.Event{{ID: eventstore.NewID(), Type: "a"}, {ID: eventstore.NewID(), Type: "b"}, {ID: eventstore.NewID(), Type: "c"}}
	for i, want := range []struct {
		fails bool
		head  eventstore.Position
	}{{false, 1}, {true, 1}, {true, 2}, {false, 3}} {
		_, err := f.Append(t.Context(), "s-1", eventstore.Any, e[i%3])
		if i == 3 {
			_, err = f.Append(t.Context(), "s-1", eventstore.Any, e[1])
		}
		var u *eventstore.UnavailableError
		if want.fails {
			require.ErrorAs(t, err, &u)
			require.ErrorIs(t, err, eventstoretest.ErrInjected)
			assert.True(t, u.Uncertain)
		} else {
			require.NoError(t, err)
		}
		head, err := f.Head(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want.head, head, "after append %d", i+1)
	}
}

func TestFaultyReads(t *testing.T) {
	t.Parallel()
	f := eventstoretest.NewFaulty(memstore.New(nil))
	for range 3 {
		_, err := f.Append(t.Context(), "s-1", eventstore.Any, eventstore.Event{Type: "a"})
		require.NoError(t, err)
	}
	f.FailRead(0)
	f.FailRead(2)
	for _, want := range []int{0, 2} {
		got := 0
		var last error
		for m, err := range f.SubscribeAll(t.Context(), eventstore.SubscribeAllOptions{}) {
			if last = err; err == nil && m.Kind == eventstore.MessageEvent {
				got++
			}
		}
		require.ErrorIs(t, last, eventstoretest.ErrInjected)
		assert.Equal(t, want, got)
	}
	got := 0
	for _, err := range f.Read(t.Context(), "s-1", eventstore.ReadOptions{}) {
		require.NoError(t, err)
		got++
	}
	assert.Equal(t, 3, got)
}
