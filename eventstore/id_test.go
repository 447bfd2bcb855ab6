package eventstore_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

func TestNewIDIsARandomUUID(t *testing.T) {
	t.Parallel()
	a, b := eventstore.NewID(), eventstore.NewID()
	assert.NotEqual(t, a, b)
	assert.EqualValues(t, '4', a.String()[14])
	assert.Contains(t, "89ab", a.String()[19:20])
	assert.False(t, a.IsZero())
	assert.True(t, eventstore.ID{}.IsZero())
}

func TestDeriveID(t *testing.T) {
	t.Parallel()
	a := eventstore.DeriveID("order-1", "7")
	assert.Equal(t, a, eventstore.DeriveID("order-1", "7"))
	assert.EqualValues(t, '8', a.String()[14])
	others := []eventstore.ID{
		eventstore.DeriveID("order-17"), eventstore.DeriveID("order-1", "7", ""), eventstore.DeriveID("7", "order-1"),
		eventstore.DeriveID(), eventstore.DeriveID(""), eventstore.DeriveID(strings.Repeat("long", 100)),
	}
	for i, id := range others {
		assert.NotEqual(t, a, id, i)
		assert.NotContains(t, others[:i], id)
	}
}

func TestIDText(t *testing.T) {
	t.Parallel()
	const text = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
	id, err := eventstore.ParseID(text)
	require.NoError(t, err)
	assert.Equal(t, text, id.String())
	upper, err := eventstore.ParseID(strings.ToUpper(text))
	require.NoError(t, err)
	assert.Equal(t, id, upper)
	b, err := json.Marshal(map[string]eventstore.ID{"id": id})
	require.NoError(t, err)
	var back map[string]eventstore.ID
	require.NoError(t, json.Unmarshal(b, &back))
	assert.Equal(t, id, back["id"])
	for _, bad := range []string{"", text[1:], text + "0", strings.ReplaceAll(text, "-", "0"), "g" + text[1:]} {
		_, err := eventstore.ParseID(bad)
		assert.Error(t, err, bad)
		assert.Error(t, new(eventstore.ID).UnmarshalText([]byte(bad)))
	}
}
