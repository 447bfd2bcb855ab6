package codec_test

import (
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
)

// fuzzed has a chain of every kind of upcast.
func fuzzed() *codec.Codec {
	return codec.New(append(joinedTypes(),
		codec.Type[placed]("order.placed", codec.SchemaVersion(4)),
		codec.Rewrite("order.placed", 1, func(doc map[string]any) error { doc["Customer"] = doc["Name"]; return nil }),
		codec.Rewrite("order.placed", 2, func(doc map[string]any) error {
			doc["Cents"] = doc["Cents"].(int64) + 1 // may panic
			return nil
		}),
		codec.UpcastFrom("order.placed", 3, func(doc map[string]any, r eventstore.Recorded) ([]placed, error) {
			customer, _ := doc["Customer"].(string)
			return []placed{{Customer: customer + r.Stream}}, nil
		}),
		codec.Upcast("order.raw", 1, func(data codec.Raw) shipped { return shipped{string(data)} }),
		codec.Type[shipped]("order.shipped"),
		codec.Type[added]("order.added"),
	)...)
}

func FuzzDecode(f *testing.F) {
	c := fuzzed()
	types := []string{"order.placed", "order.raw", "order.shipped", "order.added", "member.joined", "member.changed", "member.seen"}
	contentTypes := []string{eventstore.ContentTypeMsgpack, eventstore.ContentTypeJSON, "", "application/unknown"}
	for i, typ := range types {
		for version := range 6 {
			for _, v := range []any{
				placed{"ada", []line{{"tea", 450}}, time.Unix(1, 2)}, joinedV1{"Ada"}, joinedV2{"Ada", "L"}, changed{"Rome", "Bo"},
				map[string]any{"Name": "ada", "Cents": 5, "x": map[int]any{1: []any{nil, 1.5}}}, big.NewInt(1),
			} {
				e := stored(f, codec.Msgpack, typ, "", v)
				f.Add(uint8(i), uint8(0), uint8(version), e.Data)
				e = stored(f, codec.JSON, typ, "", v)
				f.Add(uint8(i), uint8(1), uint8(version), e.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, typ, contentType, version uint8, data []byte) {
		r := eventstore.Recorded{
			Stream: "order-1", Type: types[int(typ)%len(types)], ContentType: contentTypes[int(contentType)%len(contentTypes)], Data: data,
			Metadata: eventstore.NewMetadata(eventstore.KeySchemaVersion, string('0'+rune(version%6))),
		}
		v, err := c.Decode(r)
		if err != nil {
			return
		}
		values, several := v.(eventstore.Several)
		if !several {
			values = eventstore.Several{v}
		}
		for _, v := range values {
			e, err := c.Encode(v)
			require.NoError(t, err, "what was read is of a type of today")
			_, err = c.Decode(recordedOf(e))
			require.NoError(t, err)
		}
	})
}

func recordedOf(e eventstore.Event) eventstore.Recorded {
	r := recorded(e)
	r.Metadata = e.Metadata
	return r
}

// TestChainsCompose builds chains of any length out of the kinds of upcast.
// Reading an event of version n must be what the functions of the versions from
// n on make of it one after another, and what reading the version after it is
// for what one function makes.
func TestChainsCompose(t *testing.T) {
	t.Parallel()
	type doc struct{ Trail []int64 }
	rapid.Check(t, func(t *rapid.T) {
		last := rapid.IntRange(2, 8).Draw(t, "last version")
		regs := []codec.Registration{codec.Type[doc]("n", codec.SchemaVersion(last))}
		for v := 1; v < last; v++ {
			regs = append(regs, codec.Rewrite("n", v, func(d map[string]any) error {
				trail, _ := d["Trail"].([]any)
				d["Trail"] = append(trail, int64(v))
				return nil
			}))
		}
		regs = rapid.Permutation(regs).Draw(t, "order")
		c := codec.New(regs...)
		enc := rapid.SampledFrom([]codec.Encoding{codec.Msgpack, codec.JSON}).Draw(t, "encoding")
		from := rapid.IntRange(1, last).Draw(t, "from")
		start := rapid.SliceOf(rapid.Int64()).Draw(t, "trail")
		data, err := enc.Marshal(doc{start})
		require.NoError(t, err)
		got, err := c.Decode(eventstore.Recorded{
			Type: "n", ContentType: enc.ContentType(), Data: data,
			Metadata: eventstore.NewMetadata(eventstore.KeySchemaVersion, string('0'+rune(from))),
		})
		require.NoError(t, err)
		want := append([]int64(nil), start...)
		for v := from; v < last; v++ {
			want = append(want, int64(v))
		}
		have := got.(doc).Trail
		require.Len(t, have, len(want))
		for i := range want {
			require.Equal(t, want[i], have[i])
		}
	})
}

// TestTypedChainsSplitInOrder: each of several values goes on up its own chain.
func TestTypedChainsSplitInOrder(t *testing.T) {
	t.Parallel()
	type (
		many  struct{ Ns []int }
		one   struct{ N int }
		final struct{ N, Times int }
	)
	c := codec.New(
		codec.Type[final]("final"),
		codec.Split("many", 1, func(old many) (all []one) {
			for _, n := range old.Ns {
				all = append(all, one{n})
			}
			return all
		}),
		codec.Split("one", 1, func(old one) []any { // n of them
			all := make([]any, max(old.N, 0))
			for i := range all {
				all[i] = final{old.N, i}
			}
			return all
		}, codec.Into[final]()),
	)
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.SliceOf(rapid.IntRange(0, 3)).Draw(t, "ns")
		data, err := codec.Msgpack.Marshal(many{ns})
		require.NoError(t, err)
		got, err := c.Decode(eventstore.Recorded{Type: "many", ContentType: eventstore.ContentTypeMsgpack, Data: data})
		require.NoError(t, err)
		want := eventstore.Several{}
		for _, n := range ns {
			for i := range n {
				want = append(want, final{n, i})
			}
		}
		if len(want) == 1 {
			require.Equal(t, want[0], got)
			return
		}
		require.Equal(t, want, got)
	})
}
