package jsonmeta_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/jsonmeta"
)

func TestPairsAreAJSONObject(t *testing.T) {
	t.Parallel()
	m := eventstore.NewMetadata("tenant", "käse \"<>\" \u2028", "$correlationId", "c-1", "empty", "")
	got := jsonmeta.Encode(m)
	assert.JSONEq(t, `{"$correlationId":"c-1","empty":"","tenant":"käse \"<>\" \u2028"}`, string(got))
	assert.Equal(t, m, jsonmeta.Decode(got), "and come back without a raw copy")
	assert.Nil(t, jsonmeta.Encode(eventstore.Metadata{}))
	assert.Equal(t, eventstore.Metadata{}, jsonmeta.Decode(nil))
	assert.Equal(t, "x{}", string(jsonmeta.Append([]byte("x"), eventstore.NewMetadata(eventstore.KeyRaw, "{}"))))
}

func TestWhatPairsCannotSayIsKept(t *testing.T) {
	t.Parallel()
	const given = `{"n": 1, "s":"a", "$causationId":"b", "o":{"x":[1]}, "z":null}`
	m := jsonmeta.Decode([]byte(given))
	assert.Equal(t, "1", m.Get("n"))
	assert.Equal(t, "a", m.Get("s"))
	assert.Equal(t, "b", m.Get(eventstore.KeyCausationID))
	assert.JSONEq(t, `{"x":[1]}`, m.Get("o"))
	assert.Equal(t, "null", m.Get("z"))
	assert.Equal(t, given, m.Get(eventstore.KeyRaw)) //nolint:testifylint // to the byte
	assert.Equal(t, eventstore.NewMetadata(eventstore.KeyRaw, "\x00\xff"), jsonmeta.Decode([]byte("\x00\xff")))
}

func FuzzRoundTrip(f *testing.F) {
	for _, s := range []string{
		"", "{}", `{"a":"b"}`, `{"a":"b","c":""}`, `{"c":"1","a":"2"}`, `{"a":"1","a":"2"}`, `{"$raw":"x"}`, `{"$raw":"x","a":1}`,
		`{"a":"\u00e4"}`, `{"a":"ä"}`, `{"a":"<"}`, ` {"a":"b"}`, `{"a":null}`, `{"a":"b"`, `{"a":"b"}}`, `null`, `"x"`, "{\"a\":\"\xff\"}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m := jsonmeta.Decode(data)
		assert.Equal(t, string(data), string(jsonmeta.Encode(m)))
		_, err := eventstore.ParseMetadata(m.Encoded())
		assert.NoError(t, err)
	})
}

func BenchmarkDecode(b *testing.B) {
	data := []byte(`{"$causationId":"6ba7b810-9dad-41d1-80b4-00c04fd430c8","$correlationId":"6ba7b810-9dad-41d1-80b4-00c04fd430c8","command_id":"place-42"}`)
	b.ReportAllocs()
	for b.Loop() {
		jsonmeta.Decode(data)
	}
}

func BenchmarkAppend(b *testing.B) {
	m := eventstore.NewMetadata("$causationId", "6ba7b810-9dad-41d1-80b4-00c04fd430c8", "$correlationId", "6ba7b810-9dad-41d1-80b4-00c04fd430c8", "command_id", "place-42")
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = jsonmeta.Append(buf[:0], m)
	}
}
