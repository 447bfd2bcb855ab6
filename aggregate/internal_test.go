package aggregate

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// Two ids with the same hash are not easily found, so the hash is given.
func TestACommandWithTheHashOfAnotherIsNotARepeat(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	r := NewDeciderRepository(store, "account", nil, Decider[int, any, any]{}, nil)
	_, err := store.Append(t.Context(), "account-1", eventstore.NoStream,
		eventstore.Event{Type: "t", Metadata: eventstore.NewMetadata(eventstore.KeyCommandID, "one")})
	require.NoError(t, err)
	var ids recent
	ids.add("one", 1)
	for id, want := range map[string]bool{"one": true, "other": false} {
		w := &work[int, any]{id: id, given: true, hash: hashID("one")}
		repeated, err := r.repeated(t.Context(), "account-1", w, &draft[int, any]{ids: &ids})
		require.NoError(t, err)
		assert.Equal(t, want, repeated, id)
	}
}
