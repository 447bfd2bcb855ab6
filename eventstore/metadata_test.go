package eventstore_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

func TestMetadata(t *testing.T) {
	t.Parallel()
	m := eventstore.NewMetadata("b", "2", "a", "1", "", "empty key", "c", "")
	assert.Equal(t, "1", m.Get("a"))
	assert.Equal(t, "empty key", m.Get(""))
	_, ok := m.Lookup("c")
	assert.True(t, ok)
	_, ok = m.Lookup("d")
	assert.False(t, ok)
	assert.Equal(t, 4, m.Len())
	var keys []string
	for k := range m.All() {
		keys = append(keys, k)
	}
	assert.Equal(t, []string{"", "a", "b", "c"}, keys, "in order")
	assert.Equal(t, map[string]string{"": "empty key", "a": "1", "b": "2", "c": ""}, m.Map())
	assert.Equal(t, "2", eventstore.NewMetadata("k", "1", "k", "2").Get("k"), "the last counts")
	assert.Panics(t, func() { eventstore.NewMetadata(strings.Fields("a 1 odd")...) })
	assert.Zero(t, eventstore.NewMetadata())
}

func TestMetadataChangesMakeNewOnes(t *testing.T) {
	t.Parallel()
	m := eventstore.NewMetadata("a", "1", "c", "3")
	for key, want := range map[string]eventstore.Metadata{
		"":  eventstore.NewMetadata("", "x", "a", "1", "c", "3"),
		"a": eventstore.NewMetadata("a", "x", "c", "3"),
		"b": eventstore.NewMetadata("a", "1", "b", "x", "c", "3"),
		"c": eventstore.NewMetadata("a", "1", "c", "x"),
		"d": eventstore.NewMetadata("a", "1", "c", "3", "d", "x"),
	} {
		assert.Equal(t, want, m.With(key, "x"), "key %q", key)
	}
	assert.Equal(t, eventstore.NewMetadata("a", "1", "c", "3"), m)
	assert.Equal(t, eventstore.NewMetadata("a", "1", "b", "y", "c", "x"), m.Merge(eventstore.NewMetadata("c", "x", "b", "y")))
	assert.Equal(t, m, m.Merge(eventstore.Metadata{}))
	assert.Equal(t, m, eventstore.Metadata{}.Merge(m))
	assert.Equal(t, m, m.Clone())
	assert.Equal(t, eventstore.NewMetadata("k", "v"), eventstore.Metadata{}.With("k", "v"))
}

func TestMetadataForms(t *testing.T) {
	t.Parallel()
	m := eventstore.NewMetadata("a", "ä", "b", string(make([]byte, 300)))
	parsed, err := eventstore.ParseMetadata(m.Encoded())
	require.NoError(t, err)
	assert.Equal(t, m, parsed)
	assert.Equal(t, len(m.Encoded()), m.Size())
	b, err := json.Marshal(eventstore.NewMetadata("b", "2", "a", "1"))
	require.NoError(t, err)
	assert.JSONEq(t, `{"a":"1","b":"2"}`, string(b))
	var back eventstore.Metadata
	require.NoError(t, json.Unmarshal(b, &back))
	assert.Equal(t, eventstore.NewMetadata("a", "1", "b", "2"), back)
	require.Error(t, json.Unmarshal([]byte(`{"a":1}`), &back))
	for _, bad := range []string{"\x01", "\x01a", "\x05ab\x00", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x00"} {
		_, err := eventstore.ParseMetadata(bad)
		assert.Error(t, err, "%q", bad)
	}
}

func FuzzParseMetadata(f *testing.F) {
	f.Add("")
	f.Add("\x01a\x011\x01b\x00")
	f.Add("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
	f.Add(eventstore.NewMetadata("key", string(make([]byte, 200))).Encoded())
	f.Fuzz(func(t *testing.T, enc string) {
		m, err := eventstore.ParseMetadata(enc)
		if err != nil {
			return
		}
		n := 0
		for k, v := range m.All() {
			n += len(k) + len(v) + 2
			_, ok := m.Lookup(k)
			require.True(t, ok)
		}
		require.LessOrEqual(t, n, max(len(enc), 0), "all of it is pairs")
		again := eventstore.MetadataFromMap(m.Map())
		require.Equal(t, m.Map(), again.Map())
		reparsed, err := eventstore.ParseMetadata(again.Encoded())
		require.NoError(t, err)
		require.Equal(t, again, reparsed)
	})
}

func TestEventsNameTheCommandThatLedToThem(t *testing.T) {
	t.Parallel()
	made := eventstore.NewID()
	var none *eventstore.Origin
	assert.Equal(t, map[string]string{"command_id": made.String()}, none.EventMetadata(made).Map())
	assert.Equal(t, none.EventMetadata(made), (&eventstore.Origin{}).EventMetadata(made))
	full := &eventstore.Origin{CommandID: "c", CorrelationID: strings.Repeat("talk", 100), CausationID: "cause",
		Metadata: eventstore.NewMetadata("actor", "ada", "command_id", "forged", "$z", "z", "z", "z")}
	got := full.EventMetadata(made)
	assert.Equal(t, map[string]string{"command_id": "c", "$correlationId": full.CorrelationID, "$causationId": "cause", "actor": "ada", "$z": "z", "z": "z"}, got.Map())
	assert.Equal(t, eventstore.MetadataFromMap(got.Map()), got, "in the order of the keys")
}

func TestMetadataWithout(t *testing.T) {
	t.Parallel()
	m := eventstore.NewMetadata("a", "1", "b", "2", "c", "3")
	assert.Equal(t, eventstore.NewMetadata("a", "1", "c", "3"), m.Without("b"))
	assert.Equal(t, m, m.Without("d"))
	assert.Equal(t, eventstore.Metadata{}, eventstore.NewMetadata("a", "1").Without("a"))
}
