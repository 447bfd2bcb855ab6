package shred_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore/codec"
)

func BenchmarkSeal(b *testing.B) {
	r := newRig(codec.Msgpack)
	for name, event := range map[string]any{"fields": ada(), "whole": note(), "nothing": plain{"tea"}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Encode(event); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	r := newRig(codec.Msgpack)
	for name, event := range map[string]any{"fields": ada(), "whole": note(), "nothing": plain{"tea"}} {
		e, err := r.Encode(event)
		require.NoError(b, err)
		rec := recordedOf(e)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Decode(rec); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What is not personal costs no allocation more than without a ring.
func TestATypeWithNothingPersonalAllocatesAsBefore(t *testing.T) {
	sealed, unsealed := newRig(codec.Msgpack).Codec, codec.New(codec.Type[plain]("plain"))
	event := any(plain{"tea"})
	e, err := unsealed.Encode(event)
	require.NoError(t, err)
	rec := recordedOf(e)
	least := func(do func()) float64 { // pools forget now and then
		n := testing.AllocsPerRun(1, do)
		for range 100 {
			n = min(n, testing.AllocsPerRun(1, do))
		}
		return n
	}
	encode := func(c *codec.Codec) float64 { return least(func() { _, _ = c.Encode(event) }) }
	decode := func(c *codec.Codec) float64 { return least(func() { _, _ = c.Decode(rec) }) }
	assert.InDelta(t, encode(unsealed), encode(sealed), 0)
	assert.InDelta(t, decode(unsealed), decode(sealed), 0)
}
