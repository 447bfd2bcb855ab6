package logstore

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

// Data may hold a copy of a frame; it must not be taken for one.
func TestAFrameIsValidInItsPlaceOnly(t *testing.T) {
	t.Parallel()
	h := header{storeID: eventstore.NewID(), first: 1}
	b := h.base()
	p := place{base: &b, position: 1, version: 1, id: eventstore.NewID(), flags: flagCommit | flagSynced, off: 640}
	enc := appendFrame(nil, &p, "s-1", &eventstore.Event{Type: "t", Data: []byte("data")})
	var f frame
	require.Empty(t, f.decode(enc, &b, 640))
	assert.NotEmpty(t, f.decode(enc, &b, 641), "another offset")
	for _, other := range []header{
		{storeID: h.storeID, first: 2}, {storeID: eventstore.NewID(), first: 1},
		{storeID: h.storeID, first: 1, generation: 1, last: 1}, {storeID: h.storeID, first: 1, created: 1},
	} {
		b := other.base()
		assert.NotEmpty(t, f.decode(enc, &b, 640), "another segment, store or generation")
	}
}

// Every field comes back, however large or odd it is.
func TestAFrameKeepsEveryField(t *testing.T) {
	t.Parallel()
	h := header{storeID: eventstore.NewID(), first: 1 << 40, created: 1 << 60}
	b := h.base()
	var buf []byte
	for _, ct := range append(contentTypes[1:5], "text/plain", "") {
		for _, size := range []int{0, 1, 90, 127, 128, 300, 16_300, 17_000, 3 << 20} {
			p := place{
				base: &b, off: headerSize + int64(len(buf)), position: b.first + eventstore.Position(size), version: eventstore.Version(1 + size*size),
				id: eventstore.NewID(), created: (b.ticks - int64(size)*3) * tick, flags: flagTombstone,
			}
			e := eventstore.Event{Type: "order.placed", ContentType: ct, Metadata: eventstore.NewMetadata("k", "v"), Data: make([]byte, size)}
			start := len(buf)
			buf = appendFrame(buf, &p, "order-42", &e)
			require.LessOrEqual(t, int64(len(buf)-start), frameLen("order-42", &e))
			var f frame
			require.Empty(t, f.decode(buf[start:], &b, p.off))
			if ct == "" {
				ct = eventstore.ContentTypeBinary
			}
			assert.Equal(t, len(buf)-start, f.size)
			assert.Equal(t, []any{p.position, p.version, p.id, p.created, true, false}, []any{f.position, f.version, f.id, f.created, f.has(flagTombstone), f.has(flagCommit)})
			assert.Equal(t, []string{"order.placed", "order-42", ct, e.Metadata.Encoded()}, []string{string(f.typ), string(f.stream), string(f.contentType), string(f.meta)})
			assert.Len(t, f.data, size)
		}
	}
}

// After a failed sync the last write may be in the page cache only, where the
// system calls it clean: only writing it again brings it to the disk.
func TestOpenWritesTheLastWriteAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(dir, nil)
	require.NoError(t, err)
	var end [3]int64
	for i := range end {
		_, err = s.Append(t.Context(), "s-1", eventstore.Any, eventstore.Event{Type: "t"}, eventstore.Event{Type: "t"})
		require.NoError(t, err)
		end[i] = s.current().end
	}
	require.NoError(t, s.Abandon())
	var calls []int64
	opts := new(Options)
	SetHooks(opts, func(f File, b []byte, off int64) (int, error) {
		calls = append(calls, off, off+int64(len(b)))
		return f.WriteAt(b, off)
	}, func(File) error {
		calls = append(calls, -1)
		return nil
	})
	s, err = Open(dir, opts)
	require.NoError(t, err)
	assert.Equal(t, []int64{end[1], end[2], -1}, calls)
	require.NoError(t, s.Close())
}

func TestUvarint(t *testing.T) {
	t.Parallel()
	for shift := range 64 {
		for _, v := range []uint64{1 << shift, 1<<shift - 1, 1<<shift + 5, ^uint64(0) >> shift} {
			enc := binary.AppendUvarint([]byte{9}, v)
			for pad := range 9 { // near the end there is another way
				got, at := uvarint(append(enc, make([]byte, pad)...), 1)
				require.Equal(t, v, got)
				require.Equal(t, len(enc), at)
			}
			if len(enc) > 2 {
				_, at := uvarint(enc[:len(enc)-1], 1)
				require.Greater(t, at, len(enc)-1)
			}
		}
	}
	_, at := uvarint(bytes.Repeat([]byte{0xff}, 20), 2)
	require.Greater(t, at, 20)
}

func TestTicksAreWhole(t *testing.T) {
	t.Parallel()
	for ns, want := range map[int64]int64{0: 0, 1: 0, 99: 0, 100: 1, -1: -1, -100: -1, -101: -2, 1<<63 - 1: (1<<63 - 1) / 100} {
		assert.Equal(t, want, ticks(ns), ns)
	}
}
