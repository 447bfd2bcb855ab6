package codec_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tinylib/msgp/msgp"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
)

// added has the methods that msgp generates for it, as a program has them.
type added struct {
	SKU      string
	Quantity int64
	Cents    int64
}

func (z *added) MarshalMsg(b []byte) ([]byte, error) {
	o := msgp.Require(b, z.Msgsize())
	o = append(o, 0x83, 0xa3, 'S', 'K', 'U')
	o = msgp.AppendString(o, z.SKU)
	o = append(o, 0xa8, 'Q', 'u', 'a', 'n', 't', 'i', 't', 'y')
	o = msgp.AppendInt64(o, z.Quantity)
	o = append(o, 0xa5, 'C', 'e', 'n', 't', 's')
	return msgp.AppendInt64(o, z.Cents), nil
}

func (z *added) UnmarshalMsg(b []byte) ([]byte, error) {
	n, b, err := msgp.ReadMapHeaderBytes(b)
	for ; n > 0 && err == nil; n-- {
		var field []byte
		if field, b, err = msgp.ReadMapKeyZC(b); err != nil {
			break
		}
		switch string(field) {
		case "SKU":
			z.SKU, b, err = msgp.ReadStringBytes(b)
		case "Quantity":
			z.Quantity, b, err = msgp.ReadInt64Bytes(b)
		case "Cents":
			z.Cents, b, err = msgp.ReadInt64Bytes(b)
		default:
			b, err = msgp.Skip(b)
		}
	}
	return b, err
}

func (z *added) Msgsize() int {
	return 1 + 4 + msgp.StringPrefixSize + len(z.SKU) + 9 + msgp.Int64Size + 6 + msgp.Int64Size
}

type addedPlain struct {
	SKU      string
	Quantity int64
	Cents    int64
}

var (
	benchEvents = codec.New(codec.Type[added]("order.added"), codec.Type[addedPlain]("order.added.plain"),
		codec.Type[shipped]("order.shipped", codec.As(codec.JSON)), codec.Type[joined]("member.joined", codec.SchemaVersion(2)),
		codec.Upcast("member.joined", 1, func(old joinedV1) joined { return joined{old.Name} }))
	benchValues = []struct {
		name  string
		event any
	}{
		{"generated", added{"sku-12", 3, 450}},
		{"reflected", addedPlain{"sku-12", 3, 450}},
		{"json", shipped{"x"}},
		{"version 2", joined{"x"}},
	}
)

// origin is what commands leave in the metadata of their events.
var origin = eventstore.NewMetadata(eventstore.KeyCommandID, "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
	eventstore.KeyCausationID, "6ba7b810-9dad-41d1-80b4-00c04fd430c8", eventstore.KeyCorrelationID, "6ba7b810-9dad-41d1-80b4-00c04fd430c8")

func benchRecorded(tb testing.TB, event any) eventstore.Recorded {
	tb.Helper()
	e, err := benchEvents.Encode(event)
	require.NoError(tb, err)
	r := recorded(e)
	r.Metadata = origin.Merge(e.Metadata)
	return r
}

func TestAllocationsOfTheFastPaths(t *testing.T) { //nolint:paralleltest // it counts allocations
	event := any(added{"sku-12", 3, 450})
	r := benchRecorded(t, event)
	var into added
	for name, tt := range map[string]struct {
		most float64
		do   func()
	}{
		"Encode":     {1, func() { _, _ = benchEvents.Encode(event) }},
		"Decode":     {2, func() { _, _ = benchEvents.Decode(r) }}, // the value and its string
		"DecodeInto": {1, func() { _ = benchEvents.DecodeInto(r, &into) }},
	} {
		if got := testing.AllocsPerRun(200, tt.do); got > tt.most {
			t.Errorf("%s: %v allocations, want %v at most", name, got, tt.most)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, v := range benchValues {
		b.Run(v.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := benchEvents.Encode(v.event); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, v := range benchValues {
		b.Run(v.name, func(b *testing.B) {
			r := benchRecorded(b, v.event)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := benchEvents.Decode(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("upcast", func(b *testing.B) {
		r := stored(b, codec.Msgpack, "member.joined", "", joinedV1{"x"})
		b.ReportAllocs()
		for b.Loop() {
			if _, err := benchEvents.Decode(r); err != nil {
				b.Fatal(err)
			}
		}
	})
}
