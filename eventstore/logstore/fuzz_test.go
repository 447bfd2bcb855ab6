package logstore

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

// Whatever lies in a file, decoding must neither panic nor accept what
// encoding does not give back.
func FuzzDecodeFrame(f *testing.F) {
	e := eventstore.Event{Type: "t", Data: []byte("data"), Metadata: eventstore.NewMetadata("k", "v")}
	p := place{position: 7, version: 3, id: eventstore.ID{1}, created: 5, flags: flagCommit, seed: 42, off: 64}
	whole := appendFrame(nil, &p, "s-1", &e)
	f.Add(whole, uint32(42), int64(64))
	f.Add(whole[:70], uint32(42), int64(64))
	f.Add(whole, uint32(42), int64(72))
	f.Add([]byte{}, uint32(0), int64(0))
	f.Add(bytes.Repeat([]byte{0xff}, 100), uint32(0), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, seed uint32, off int64) {
		got, reason := decodeFrame(b, seed, off)
		if reason != "" {
			require.Nil(t, got)
			return
		}
		typ, ct, stream, meta, data := got.parts()
		m, err := eventstore.ParseMetadata(string(meta))
		if err != nil || len(ct) == 0 {
			return
		}
		again := appendFrame(nil, &place{got.position(), got.version(), got.id(), got.created(), got[48], seed, off},
			string(stream), &eventstore.Event{Type: string(typ), ContentType: string(ct), Data: data, Metadata: m})
		if got[54] == 0 && got[55] == 0 {
			require.Equal(t, []byte(got), again[:len(got)])
		}
	})
}

func FuzzDecodeHeader(f *testing.F) {
	f.Add(header{eventstore.ID{1, 2}, 9}.encode())
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHeader("file", b)
		if err == nil && bytes.Equal(b[12:16], make([]byte, 4)) && bytes.Equal(b[40:60], make([]byte, 20)) && le.Uint32(b[8:]) == formatVersion {
			require.Equal(t, b[:headerSize], h.encode())
		}
	})
}
