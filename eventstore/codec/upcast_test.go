package codec_test

import (
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
)

// The history of an event: version 1 had a name, version 2 split it, today
// there is a greeting.
type (
	joinedV1 struct{ Name string }
	joinedV2 struct{ First, Last string }
	joined   struct{ Greeting string }
	moved    struct{ City string }
	renamed  struct{ To string }
	changed  struct{ City, Name string } // was split in two

	member interface{ isMember() }
)

func (joined) isMember()  {}
func (moved) isMember()   {}
func (renamed) isMember() {}

func joinedTypes() []codec.Registration {
	return []codec.Registration{
		codec.Type[joined]("member.joined", codec.SchemaVersion(3), codec.Aliases("member.came")),
		codec.Type[moved]("member.moved"),
		codec.Type[renamed]("member.renamed"),
		codec.Upcast("member.joined", 1, func(old joinedV1) joinedV2 { return joinedV2{First: old.Name, Last: "?"} }),
		codec.Upcast("member.joined", 2, func(old joinedV2) joined { return joined{"Hello " + old.First + " " + old.Last} }),
		codec.Split("member.changed", 1, func(old changed) []member {
			var all []member
			if old.City != "" {
				all = append(all, moved{old.City})
			}
			if old.Name != "" {
				all = append(all, renamed{old.Name})
			}
			return all
		}, codec.Into[moved](), codec.Into[renamed]()),
		codec.Drop("member.seen"),
	}
}

// stored returns v as it was stored once, under name at a schema version.
func stored(t testing.TB, enc codec.Encoding, name, version string, v any) eventstore.Recorded {
	t.Helper()
	data, err := enc.Marshal(v)
	require.NoError(t, err)
	r := eventstore.Recorded{Stream: "member-1", Version: 7, Position: 42, Type: name, ContentType: enc.ContentType(), Data: data}
	if version != "" {
		r.Metadata = eventstore.NewMetadata("tenant", "t", eventstore.KeySchemaVersion, version)
	}
	return r
}

func TestUpcasts(t *testing.T) {
	t.Parallel()
	c := codec.New(joinedTypes()...)
	for name, tt := range map[string]struct {
		name, version string
		stored        any
		want          any
	}{
		"chain of all versions":     {"member.joined", "", joinedV1{"Ada"}, joined{"Hello Ada ?"}},
		"version 1 given":           {"member.joined", "1", joinedV1{"Ada"}, joined{"Hello Ada ?"}},
		"from the middle":           {"member.joined", "2", joinedV2{"Ada", "L"}, joined{"Hello Ada L"}},
		"today's":                   {"member.joined", "3", joined{"Hi"}, joined{"Hi"}},
		"an alias has the versions": {"member.came", "2", joinedV2{"Ada", "L"}, joined{"Hello Ada L"}},
		"one to two, in order":      {"member.changed", "", changed{"Rome", "Bo"}, eventstore.Several{moved{"Rome"}, renamed{"Bo"}}},
		"one of two":                {"member.changed", "", changed{City: "Rome"}, moved{"Rome"}},
		"one to none":               {"member.changed", "", changed{}, eventstore.Several{}},
		"dropped, whatever it has":  {"member.seen", "9", 17, eventstore.Several{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, enc := range []codec.Encoding{codec.Msgpack, codec.JSON} {
				r := stored(t, enc, tt.name, tt.version, tt.stored)
				got, err := c.Decode(r)
				require.NoError(t, err)
				assert.Equal(t, tt.want, got)

				into := reflect.New(reflect.TypeOf(tt.want))
				if _, several := tt.want.(eventstore.Several); several {
					require.ErrorContains(t, c.DecodeInto(r, into.Interface().(*eventstore.Several)), "Several", "only one value goes into a pointer")
					continue
				}
				require.NoError(t, c.DecodeInto(r, into.Interface()))
				assert.Equal(t, tt.want, into.Elem().Interface())
			}
		})
	}
}

func TestNamesLeadToTheTypesOfToday(t *testing.T) {
	t.Parallel()
	c := codec.New(joinedTypes()...)
	assert.Equal(t, []string{"member.joined", "member.came"}, c.TypeNames(reflect.TypeFor[joined]()))
	assert.Equal(t, []string{"member.moved", "member.changed"}, c.TypeNames(reflect.TypeFor[moved]()))
	assert.Equal(t, []string{"member.renamed", "member.changed"}, c.TypeNames(reflect.TypeFor[renamed]()))
	assert.Nil(t, c.TypeNames(reflect.TypeFor[joinedV2]()), "no stored event is one when it is read")

	for name, tt := range map[string]struct {
		t       reflect.Type
		several int
	}{
		"member.joined":  {reflect.TypeFor[joined](), 0},
		"member.came":    {reflect.TypeFor[joined](), 0},
		"member.changed": {nil, math.MaxInt},
		"member.seen":    {nil, math.MaxInt},
		"member.other":   {nil, 0},
	} {
		got, several := c.TypeOf(name)
		assert.Equal(t, tt.t, got, name)
		assert.Equal(t, tt.several, several, name)
	}
	c = codec.New(
		codec.Type[joined]("member.joined", codec.SchemaVersion(4)),
		codec.Type[moved]("member.moved"),
		codec.Split("member.joined", 1, func(joinedV1) []member { return nil }),
		codec.Upcast("member.joined", 2, func(joinedV2) joined { return joined{} }),
		codec.Rewrite("member.joined", 3, func(map[string]any) error { return nil }),
		codec.Upcast("member.put", 1, func(renamed) moved { return moved{} }),
	)
	got, several := c.TypeOf("member.joined")
	assert.Equal(t, reflect.TypeFor[joined](), got)
	assert.Equal(t, 2, several, "version 1 may be several; the versions after it are one")
	got, several = c.TypeOf("member.put")
	assert.Equal(t, reflect.TypeFor[moved](), got)
	assert.Zero(t, several)
	assert.Equal(t, []string{"member.moved", "member.joined", "member.put"}, c.TypeNames(reflect.TypeFor[moved]()), "a Split without Into may be any of its interface")
}

func TestSchemaVersionIsRecorded(t *testing.T) {
	t.Parallel()
	c := codec.New(joinedTypes()...)
	e, err := c.Encode(joined{"Hi"})
	require.NoError(t, err)
	assert.Equal(t, eventstore.NewMetadata(eventstore.KeySchemaVersion, "3"), e.Metadata)
	e, err = c.Encode(moved{"Rome"})
	require.NoError(t, err)
	assert.Zero(t, e.Metadata.Len(), "version 1 needs no mention")
}

func TestNewerSchemaIsATypedError(t *testing.T) {
	t.Parallel()
	c := codec.New(joinedTypes()...)
	for name, known := range map[string]int{"member.joined": 3, "member.moved": 1, "member.changed": 1} {
		for _, version := range []string{"4", "0", "-1", "x", "", "99999999999999999999", "9223372036854775807"} {
			r := stored(t, codec.Msgpack, name, "", joined{"Hi"})
			r.Metadata = eventstore.NewMetadata(eventstore.KeySchemaVersion, version)
			_, err := c.Decode(r)
			require.ErrorIs(t, err, eventstore.ErrNewerSchema)
			var newer *eventstore.NewerSchemaError
			require.ErrorAs(t, err, &newer)
			assert.Equal(t, eventstore.NewerSchemaError{Type: name, Stream: "member-1", Version: 7, Schema: version, Known: known}, *newer)
			require.ErrorIs(t, c.DecodeInto(r, new(joined)), eventstore.ErrNewerSchema)
		}
	}
}

func TestUpcastsThatNeedMoreThanData(t *testing.T) {
	t.Parallel()
	bad := errors.New("no city")
	c := codec.New(
		codec.Type[moved]("member.moved", codec.SchemaVersion(2)),
		codec.UpcastFrom("member.moved", 1, func(old renamed, r eventstore.Recorded) ([]moved, error) {
			if old.To == "" {
				return nil, bad
			}
			return []moved{{old.To + " " + r.Stream + " " + r.Metadata.Get("tenant") + " " + r.Created.Format(time.DateOnly)}}, nil
		}),
		codec.Upcast("member.raw", 1, func(data codec.Raw) moved { return moved{string(data)} }),
		codec.Upcast("member.panics", 1, func(old renamed) moved { panic("at " + old.To) }),
		codec.Upcast("member.strange", 1, func(old renamed) any {
			if old.To == "" {
				return nil
			}
			return old
		}),
	)
	r := stored(t, codec.Msgpack, "member.moved", "1", renamed{"Rome"})
	r.Created = time.Date(2026, 2, 3, 4, 5, 6, 7, time.UTC)
	got, err := c.Decode(r)
	require.NoError(t, err)
	assert.Equal(t, moved{"Rome member-1 t 2026-02-03"}, got)

	for name, tt := range map[string]struct {
		event eventstore.Recorded
		says  string
	}{
		"error":        {stored(t, codec.Msgpack, "member.moved", "", renamed{}), "no city"},
		"panic":        {stored(t, codec.Msgpack, "member.panics", "", renamed{"Rome"}), "panic: at Rome"},
		"nothing":      {stored(t, codec.Msgpack, "member.strange", "", renamed{}), "it made a <nil>"},
		"unregistered": {stored(t, codec.Msgpack, "member.strange", "", renamed{"Rome"}), "it made a codec_test.renamed"},
		"damaged":      {stored(t, codec.Msgpack, "member.panics", "", 17), "member.panics"},
	} {
		_, err := c.Decode(tt.event)
		var failed *codec.DecodeError
		require.ErrorAs(t, err, &failed, name)
		require.ErrorContains(t, err, tt.says, name)
		assert.Equal(t, eventstore.Version(7), failed.Version)
	}
	_, err = c.Decode(stored(t, codec.Msgpack, "member.moved", "", renamed{}))
	require.ErrorIs(t, err, bad)
	r.Type, r.Metadata, r.Data = "member.raw", eventstore.Metadata{}, []byte("Oslo")
	got, err = c.Decode(r)
	require.NoError(t, err)
	assert.Equal(t, moved{"Oslo"}, got)
}

func TestRewrites(t *testing.T) {
	t.Parallel()
	type booked struct {
		Guest  string
		Cents  int64
		Share  float64
		At     time.Time
		Token  []byte
		Extras map[int]string
	}
	at := time.Date(2026, 2, 3, 4, 5, 6, 7, time.UTC)
	var types map[string]reflect.Type
	rewrites := []codec.Registration{
		codec.Rewrite("room.booked", 1, func(doc map[string]any) error {
			types = make(map[string]reflect.Type)
			for k, v := range doc {
				types[k] = reflect.TypeOf(v)
			}
			doc["Guest"] = doc["name"].(map[string]any)["first"]
			delete(doc, "name")
			return nil
		}),
		codec.Rewrite("room.booked", 2, func(doc map[string]any) error {
			if doc["Guest"] == "nobody" {
				return errors.New("no guest")
			}
			doc["Cents"] = doc["Euros"].(int64) * 100
			return nil
		}),
		codec.Type[booked]("room.booked", codec.SchemaVersion(3)),
	}
	c := codec.New(rewrites...)
	v1 := map[string]any{
		"name": map[string]string{"first": "Ada"}, "Euros": uint16(math.MaxInt16), "Big": uint64(math.MaxUint64),
		"Share": 0.5, "At": at, "Token": []byte("t"), "Extras": map[int]string{1: "a"}, "List": []any{uint8(1), nil, true},
	}
	for _, enc := range []codec.Encoding{codec.Msgpack, codec.JSON} {
		got, err := c.Decode(stored(t, enc, "room.booked", "", v1))
		require.NoError(t, err)
		b := got.(booked)
		assert.True(t, at.Equal(b.At))
		b.At = at
		assert.Equal(t, booked{"Ada", math.MaxInt16 * 100, 0.5, at, []byte("t"), map[int]string{1: "a"}}, b)
		assert.Equal(t, reflect.TypeFor[int64](), types["Euros"], "numbers are the same in all encodings")
		if enc == codec.Msgpack {
			assert.Equal(t, reflect.TypeFor[uint64](), types["Big"])
			assert.Equal(t, reflect.TypeFor[time.Time](), types["At"])
		}
	}
	_, err := c.Decode(stored(t, codec.JSON, "room.booked", "2", map[string]any{"Guest": "nobody"}))
	require.ErrorContains(t, err, "rewrite of schema version 2: no guest")
	_, err = c.Decode(stored(t, codec.Msgpack, "room.booked", "", 17))
	require.ErrorContains(t, err, "no document")

	c = codec.New(
		codec.Rewrite("room.taken", 1, func(doc map[string]any) error { doc["To"] = doc["by"]; return nil }),
		codec.Upcast("room.taken", 2, func(old renamed) moved { return moved(struct{ City string }{old.To}) }),
		codec.Upcast("room.left", 1, func(doc map[string]any) moved { return moved{doc["n"].(string)} }),
		codec.Type[moved]("member.moved"),
	)
	got, err := c.Decode(stored(t, codec.JSON, "room.taken", "", map[string]any{"by": "Bo"}))
	require.NoError(t, err)
	assert.Equal(t, moved{"Bo"}, got)
	got, err = c.Decode(stored(t, codec.Msgpack, "room.left", "", map[string]any{"n": "Bo"}))
	require.NoError(t, err)
	assert.Equal(t, moved{"Bo"}, got)
}

func TestWrongUpcastsDoNotStart(t *testing.T) {
	t.Parallel()
	v1to2 := codec.Upcast("member.joined", 1, func(joinedV1) joinedV2 { return joinedV2{} })
	v2to3 := codec.Upcast("member.joined", 2, func(joinedV2) joined { return joined{} })
	type3 := codec.Type[joined]("member.joined", codec.SchemaVersion(3))
	for name, tt := range map[string]struct {
		says  []string
		types []codec.Registration
	}{
		"gap":             {[]string{`"member.joined" at schema versions [2]`}, []codec.Registration{type3, v1to2}},
		"gap at the end":  {[]string{`"member.joined" at schema versions [1 2]`}, []codec.Registration{type3}},
		"gap in the past": {[]string{`"member.joined" at schema versions [1]`}, []codec.Registration{codec.Type[joined]("a"), v2to3}},
		"twice":           {[]string{`"member.joined" at schema version 1 is upcast twice`}, []codec.Registration{type3, v1to2, v1to2, v2to3}},
		"today's version": {[]string{"raise its codec.SchemaVersion"}, []codec.Registration{codec.Type[joined]("member.joined"), v1to2, v2to3}},
		"missing target":  {[]string{"makes a codec_test.joinedV2, which is not registered"}, []codec.Registration{codec.Type[joined]("a"), v1to2}},
		"no implementer":  {[]string{"which no registered type implements"}, []codec.Registration{codec.Type[joinedV1]("a"), codec.Split("b", 1, func(changed) []member { return nil })}},
		"wrong Into":      {[]string{"never a codec_test.joinedV1"}, []codec.Registration{codec.Type[joinedV1]("a"), codec.Split("b", 1, func(changed) []member { return nil }, codec.Into[joinedV1]())}},
		"circle": {[]string{"leads back to itself"}, []codec.Registration{
			v1to2, codec.Upcast("member.joined", 2, func(joinedV2) joinedV1 { return joinedV1{} }),
		}},
		"ambiguous": {[]string{`from which both "a" at schema version 1 and "b" at schema version 1`}, []codec.Registration{
			type3, v1to2, v2to3,
			codec.Upcast("a", 1, func(changed) joined { return joined{} }), codec.Upcast("b", 1, func(changed) joined { return joined{} }),
			codec.Upcast("c", 1, func(moved) changed { return changed{} }),
		}},
		"rewrite to nothing": {[]string{"nothing reads what the rewrite"}, []codec.Registration{codec.Rewrite("a", 1, func(map[string]any) error { return nil })}},
		"dropped and upcast": {[]string{"is dropped, and upcast"}, []codec.Registration{type3, v1to2, v2to3, codec.Drop("a"), codec.Upcast("a", 1, func(moved) joined { return joined{} })}},
		"dropped twice":      {[]string{`"a" is registered twice`}, []codec.Registration{codec.Drop("a"), codec.Drop("a")}},
		"version 0":          {[]string{"count from 1"}, []codec.Registration{type3, v1to2, v2to3, codec.Upcast("a", 0, func(moved) joined { return joined{} })}},
		"type of version 0":  {[]string{"count from 1"}, []codec.Registration{codec.Type[joined]("a", codec.SchemaVersion(0))}},
		"cannot be decoded":  {[]string{"upcast of \"a\" at schema version 1: func() is a func"}, []codec.Registration{type3, v1to2, v2to3, codec.Upcast("a", 1, func(func()) joined { return joined{} })}},
		"all at once": {[]string{`"a" at schema versions [1]`, `"b" at schema versions [1 2 3]`, "chan int", "is registered as"}, []codec.Registration{
			codec.Type[joined]("a", codec.SchemaVersion(2)), codec.Type[moved]("b", codec.SchemaVersion(4)),
			codec.Type[struct{ C chan int }]("c"), codec.Type[moved]("d"),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				err, _ := recover().(error)
				require.Error(t, err)
				for _, says := range tt.says {
					require.ErrorContains(t, err, says)
				}
			}()
			codec.New(tt.types...)
		})
	}
}
