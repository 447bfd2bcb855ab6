package shred

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
)

func TestDiffAndApply(t *testing.T) {
	t.Parallel()
	values := []any{
		nil, true, "x", int64(1), -1.5, []any{}, []any{"a"}, []any{"b", nil}, []any{"b", []any{"c"}},
		map[string]any{}, map[string]any{"a": int64(1)}, map[string]any{"a": int64(2), "b": "<&>\u2028\"\\"}, map[string]any{"a": map[string]any{"b": []any{"c", "d"}}},
		map[string]any{"a": map[string]any{"b": []any{"c", "e"}}, "<": nil}, make([]any, 20),
	}
	for _, enc := range []codec.Encoding{codec.Msgpack, codec.JSON} {
		l, _ := layoutOf(layoutFor(enc.ContentType()))
		for _, from := range values {
			for _, to := range values {
				a, err := enc.Marshal(from)
				require.NoError(t, err)
				b, err := enc.Marshal(to)
				require.NoError(t, err)
				patch := diff(l, a, b)
				if len(patch) == 0 {
					require.Equal(t, from, to)
					continue
				}
				got, err := apply(l, a, patch)
				require.NoError(t, err)
				require.Empty(t, diff(l, got, b))
				var gotValue, wantValue any
				require.NoError(t, enc.Unmarshal(got, &gotValue))
				require.NoError(t, enc.Unmarshal(b, &wantValue))
				require.True(t, reflect.DeepEqual(wantValue, gotValue))
			}
		}
	}
}

func TestOnlyWhatDiffersIsInAPatch(t *testing.T) {
	t.Parallel()
	many := map[string]any{}
	for i := range 66_000 { // more than the shorter heads of MessagePack count
		many[string(rune('a'+i%26))+string(rune('0'+i))] = int64(i)
	}
	more := map[string]any{"new": "x"}
	maps.Copy(more, many)
	small, err := codec.Msgpack.Marshal(many)
	require.NoError(t, err)
	large, err := codec.Msgpack.Marshal(more)
	require.NoError(t, err)
	patch := diff(msgpackLayout{}, small, large)
	assert.Less(t, len(patch), 30)
	got, err := apply(msgpackLayout{}, small, patch)
	require.NoError(t, err)
	assert.Empty(t, diff(msgpackLayout{}, got, large))
}

func FuzzApply(f *testing.F) {
	for _, enc := range []codec.Encoding{codec.Msgpack, codec.JSON} {
		l := layoutFor(enc.ContentType())
		shape, _ := layoutOf(l)
		a, err := enc.Marshal(map[string]any{"a": "1", "b": []any{"x", "y"}})
		require.NoError(f, err)
		b, err := enc.Marshal(map[string]any{"a": "2", "b": []any{"x", "z"}, "c": nil})
		require.NoError(f, err)
		f.Add(l, a, diff(shape, a, b))
		f.Add(l, b, diff(shape, b, a))
	}
	f.Fuzz(func(_ *testing.T, letter byte, data, patch []byte) {
		if l, ok := layoutOf(letter); ok {
			_, _ = apply(l, data, patch)
		}
	})
}

// FuzzDiff holds that a patch makes of one value the other, whatever they are.
func FuzzDiff(f *testing.F) {
	f.Add([]byte(`{"a":1}`), []byte(`{"a":[2,{"b":null}]}`))
	f.Add([]byte{0x81, 0xa1, 'a', 0xc0}, []byte{0x92, 0xc3, 0xc7, 1, 1, 1})
	f.Fuzz(func(t *testing.T, from, to []byte) {
		for _, l := range []layout{jsonLayout{}, msgpackLayout{}, opaque{}} {
			if duplicates(l, from) || duplicates(l, to) {
				continue // no encoding makes them
			}
			patch := diff(l, from, to)
			if len(patch) == 0 {
				continue
			}
			got, err := apply(l, from, patch)
			require.NoError(t, err)
			require.Empty(t, diff(l, got, to))
		}
	})
}

func duplicates(l layout, data []byte) bool {
	kind, all := l.parts(data)
	for i := range all {
		if kind == opMap && finder(all[:i])(all[i].key, i) >= 0 || duplicates(l, all[i].value) {
			return true
		}
	}
	return false
}

func FuzzParseSealed(f *testing.F) {
	s := sealed{layout: layoutJSON, sections: []section{{"ada", KeyID{1}, []byte("cipher")}, {"bob", KeyID{2}, nil}}}
	f.Add([]byte(s.encode()))
	s = sealed{layout: layoutMsgpack, whole: true, content: eventstore.ContentTypeMsgpack, blank: []byte{0x80}, sections: []section{{subject: "ada"}}}
	f.Add([]byte(s.encode()))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, text := range []string{string(raw), base64.RawStdEncoding.EncodeToString(raw)} {
			s, err := parseSealed(text)
			if err != nil {
				continue
			}
			again, err := parseSealed(s.encode())
			require.NoError(t, err)
			require.Equal(t, s, again)
		}
	})
}

func TestSkipAgreesWithTheLibrary(t *testing.T) {
	t.Parallel()
	var v any
	require.NoError(t, json.Unmarshal([]byte(`[{"a":[1,300,70000,5000000000,-1,-200,-40000,-3000000000,1.5,"x"]},null,true,"`+longText(40)+`","`+longText(300)+`","`+longText(70000)+`"]`), &v))
	for _, value := range []any{v, []byte("x"), make([]byte, 300), make([]byte, 70000), float32(1), uint8(200), int64(-1 << 40), uint64(1 << 63)} {
		data, err := codec.Msgpack.Marshal(value)
		require.NoError(t, err)
		n, err := skip(append(data, 0xc0), maxDepth)
		require.NoError(t, err)
		assert.Equal(t, len(data), n)
		for i := range data[:min(len(data), 1000)] {
			_, err := skip(data[:i], maxDepth)
			require.Error(t, err)
		}
	}
}

func longText(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'x'
	}
	return string(b)
}
