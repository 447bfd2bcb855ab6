package eventstore_test

import (
	"encoding/json"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

func TestFilter(t *testing.T) {
	t.Parallel()
	assert.Nil(t, eventstore.Filter{}.Matcher())
	assert.True(t, eventstore.Filter{}.IsZero())
	tests := []struct {
		name        string
		filter      eventstore.Filter
		stream, typ string
		want        bool
	}{
		{name: "Category", filter: eventstore.Filter{Categories: []string{"cart", "order"}}, stream: "order-1-2", typ: "t", want: true},
		{name: "CategoryIsWhole", filter: eventstore.Filter{Categories: []string{"ord"}}, stream: "order-1", typ: "t"},
		{name: "StreamPrefix", filter: eventstore.Filter{StreamPrefixes: []string{"x", "ord"}}, stream: "order-1", typ: "t", want: true},
		{name: "StreamRegexp", filter: eventstore.Filter{StreamRegexp: regexp.MustCompile("-1$")}, stream: "order-2", typ: "t"},
		{name: "Type", filter: eventstore.Filter{Types: []string{"a", "b"}}, stream: "s", typ: "b", want: true},
		{name: "TypePrefix", filter: eventstore.Filter{TypePrefixes: []string{"order."}}, stream: "s", typ: "orders", want: false},
		{name: "TypeRegexp", filter: eventstore.Filter{TypeRegexp: regexp.MustCompile("^o")}, stream: "s", typ: "o", want: true},
		{name: "EveryConditionHolds", filter: eventstore.Filter{Types: []string{"a"}, Categories: []string{"x"}}, stream: "y-1", typ: "a"},
		{name: "SystemStream", filter: eventstore.Filter{ExcludeSystem: true}, stream: "$$order-1", typ: "t"},
		{name: "SystemType", filter: eventstore.Filter{ExcludeSystem: true}, stream: "s", typ: "$metadata"},
		{name: "NoSystem", filter: eventstore.Filter{ExcludeSystem: true}, stream: "s", typ: "t", want: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.False(t, tt.filter.IsZero())
			assert.Equal(t, tt.want, tt.filter.Matcher()(tt.stream, tt.typ))
		})
	}
}

func TestSplitStream(t *testing.T) {
	t.Parallel()
	for stream, want := range map[string][2]string{
		"order-42": {"order", "42"}, "order-4-2": {"order", "4-2"}, "order": {"order", ""}, "-x": {"", "x"}, "order-": {"order", ""},
	} {
		category, id := eventstore.SplitStream(stream)
		assert.Equal(t, want, [2]string{category, id}, stream)
	}
	assert.Equal(t, "order-42", eventstore.StreamName("order", "42"))
}

func TestCheckStream(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "order-1", "$$order-1", "$system", "日本", strings.Repeat("x", eventstore.MaxStreamName)} {
		assert.NoError(t, eventstore.CheckStream(good))
	}
	for _, bad := range []string{"", "$$", "$all", "$$$all", "\xff", strings.Repeat("x", eventstore.MaxStreamName+1)} {
		assert.ErrorIs(t, eventstore.CheckStream(bad), eventstore.ErrInvalid)
	}
}

func TestCheckEvents(t *testing.T) {
	t.Parallel()
	e := eventstore.Event{Type: "four", Data: make([]byte, 10), Metadata: eventstore.NewMetadata("k", "v")}
	assert.Equal(t, 10+4+8, e.Size())
	require.NoError(t, eventstore.CheckEvents("s", 44, []eventstore.Event{e, e}))
	err := eventstore.CheckEvents("s", 43, []eventstore.Event{e, e})
	var tooLarge *eventstore.TooLargeError
	require.ErrorAs(t, err, &tooLarge)
	assert.Equal(t, eventstore.TooLargeError{Stream: "s", Size: 44, Limit: 43}, *tooLarge)
	for _, bad := range []eventstore.Event{
		{}, {Type: strings.Repeat("t", 1025)}, {Type: "\xff"}, {Type: "t", ContentType: strings.Repeat("c", 256)},
	} {
		assert.ErrorIs(t, eventstore.CheckEvents("s", 1<<20, []eventstore.Event{e, bad}), eventstore.ErrInvalid)
	}
}

func TestExpected(t *testing.T) {
	t.Parallel()
	assert.Equal(t, eventstore.NoStream, eventstore.Exact(0))
	v, ok := eventstore.Exact(7).Version()
	assert.True(t, ok)
	assert.EqualValues(t, 7, v)
	_, ok = eventstore.Any.Version()
	assert.False(t, ok)
	for x, want := range map[eventstore.Expected]string{
		eventstore.NoStream: "no stream", eventstore.Any: "any version", eventstore.StreamExists: "an existing stream",
		3: "version 3", -9: "invalid expectation -9",
	} {
		assert.Equal(t, want, x.String())
	}
}

func TestStreamMetadataJSON(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]eventstore.StreamMetadata{
		`{}`:                             {},
		`{"$maxCount":3,"$maxAge":3600}`: {MaxCount: 3, MaxAge: time.Hour},
		`{"$tb":0}`:                      {TruncateBefore: 1},
		`{"$tb":9223372036854775807}`:    {TruncateBefore: eventstore.DeletedStream},
		`{"$cacheControl":60,"mine":{"x":[1,2]}}`: {CacheControl: time.Minute, Custom: map[string]json.RawMessage{"mine": json.RawMessage(`{"x":[1,2]}`)}},
		`{"$acl":{"$r":["a","b"],"$mw":["c"]}}`:   {ACL: &eventstore.ACL{Read: []string{"a", "b"}, MetaWrite: []string{"c"}}},
		`{"$acl":{}}`:                             {ACL: &eventstore.ACL{}},
		`{"$maxCount":9223372036854775807}`:       {MaxCount: math.MaxInt64},
	} {
		b, err := json.Marshal(m)
		require.NoError(t, err)
		assert.JSONEq(t, want, string(b))
		var back eventstore.StreamMetadata
		require.NoError(t, json.Unmarshal(b, &back))
		assert.Equal(t, m, back)
	}
	assert.True(t, eventstore.StreamMetadata{TruncateBefore: eventstore.DeletedStream}.Deleted())
	assert.False(t, eventstore.StreamMetadata{TruncateBefore: 5}.Deleted())
}

func TestStreamMetadataReadsWhatOthersWrote(t *testing.T) {
	t.Parallel()
	var m eventstore.StreamMetadata
	require.NoError(t, json.Unmarshal([]byte(`{"$acl":{"$r":"one"},"$maxCount":-1,"$maxAge":0,"$tb":-5}`), &m))
	assert.Equal(t, eventstore.StreamMetadata{ACL: &eventstore.ACL{Read: []string{"one"}}}, m)
	for _, bad := range []string{`[]`, `7`, `{"$maxCount":"x"}`, `{"$acl":"$userStreamAcl"}`, `{"$tb":1.5}`, `{`} {
		assert.Error(t, m.UnmarshalJSON([]byte(bad)), bad)
	}
	b, err := json.Marshal(eventstore.StreamMetadata{MaxAge: time.Millisecond})
	require.NoError(t, err)
	assert.JSONEq(t, `{"$maxAge":1}`, string(b), "a short limit is not none")
}

func TestMetadataNumbersAreClampedAndKeysHaveCase(t *testing.T) {
	t.Parallel()
	in := eventstore.StreamMetadata{
		MaxCount: math.MaxUint64, MaxAge: math.MaxInt64, TruncateBefore: math.MaxUint64,
		Custom: map[string]json.RawMessage{"$tB": json.RawMessage(`"x"`), "$maxcount": json.RawMessage(`1`)},
	}
	data, err := json.Marshal(in)
	require.NoError(t, err)
	var got eventstore.StreamMetadata
	require.NoError(t, json.Unmarshal(data, &got))
	assert.Equal(t, uint64(math.MaxInt64), got.MaxCount)
	assert.True(t, got.Deleted())
	assert.Greater(t, got.MaxAge, 100*365*24*time.Hour)
	assert.Equal(t, in.Custom, got.Custom)
}
