package logstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

// The store makes ids from randomness that it has kept: none comes twice, and
// all are UUIDs of version 4.
func TestIDsThatTheStoreMakes(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	for range 10 {
		_, err := s.Append(t.Context(), "order-1", eventstore.Any, make100()...)
		require.NoError(t, err)
	}
	seen := map[eventstore.ID]bool{}
	for e, err := range s.ReadAll(t.Context(), eventstore.ReadAllOptions{}) {
		require.NoError(t, err)
		require.False(t, seen[e.ID], "%s came before", e.ID)
		seen[e.ID] = true
		require.Equal(t, byte(0x40), e.ID[6]&0xf0)
		require.Equal(t, byte(0x80), e.ID[8]&0xc0)
	}
	require.Len(t, seen, 1000)
}

func make100() []eventstore.Event {
	es := make([]eventstore.Event, 100)
	for i := range es {
		es[i].Type = "made"
	}
	return es
}
