package logstore

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

// Whatever lies in a file, decoding must neither panic nor accept what
// encoding does not give back.
func FuzzDecodeFrame(f *testing.F) {
	e := eventstore.Event{Type: "t", Data: []byte("data"), Metadata: eventstore.NewMetadata("k", "v")}
	g := base{first: 7, ticks: 3, seed: 42}
	p := place{base: &g, position: 9, version: 3, id: eventstore.ID{1}, created: 500, flags: flagCommit, off: 64}
	whole := appendFrame(nil, &p, "s-1", &e)
	f.Add(whole, int64(64), false)
	f.Add(whole[:20], int64(64), true)
	f.Add(whole, int64(72), true)
	f.Add([]byte{}, int64(0), false)
	f.Add(bytes.Repeat([]byte{0xff}, 100), int64(0), true)
	f.Fuzz(func(t *testing.T, b []byte, off int64, mend bool) {
		n, k := frameLength(b)
		if mend && k > 0 && n <= len(b)-k-4 { // else the fields are seldom looked at
			b = bytes.Clone(b)
			le.PutUint32(b[k:], crc32.Update(g.frameSeed(off, n), castagnoli, b[k+4:k+4+n]))
		}
		var got frame
		if got.decode(b, &g, off) != "" {
			return
		}
		m, err := eventstore.ParseMetadata(string(got.meta))
		if err != nil {
			return
		}
		var again frame
		again.decode(appendFrame(nil, &place{&g, off, got.position, got.version, got.id, got.created, got.flags & 0xf},
			string(got.stream), &eventstore.Event{Type: string(got.typ), ContentType: string(got.contentType), Data: got.data, Metadata: m}), &g, off)
		got.size, again.size = 0, 0 // numbers can be written in more than one way
		got.flags, again.flags = got.flags&0xf, again.flags&0xf
		require.Equal(t, got, again)
	})
}

// A damaged index file is refused, and one that is accepted can be asked.
func FuzzDecodeIndex(f *testing.F) {
	stamp := indexStamp{eventstore.ID{1}, 1, 7}
	tl := newTail()
	for i := range 200 {
		name := fmt.Sprint("s-", i%9)
		st := tl.streams[name]
		if st == nil {
			st = &stream{name: name}
			tl.streams[name] = st
		}
		tl.add(st, &frameInfo{int64(64 + 40*i), uint32(i), eventstore.Version(1 + len(st.added)), "t", eventstore.NewMetadata(eventstore.KeyTags, fmt.Sprintf("all,t%d", i%7))})
	}
	whole := encodeIndex(stamp, indexSummary{last: 200, end: 64 + 40*200, events: 200, born: 9}, tl)
	f.Add(whole, false)
	f.Add(whole[:300], true)
	f.Fuzz(func(t *testing.T, b []byte, mend bool) {
		if mend && len(b) >= indexHeader {
			b = bytes.Clone(b)
			le.PutUint32(b[120:], crc32.Checksum(b[indexHeader:], castagnoli))
			le.PutUint32(b[124:], crc32.Checksum(b[:124], castagnoli))
		}
		x, err := decodeIndex(b, stamp)
		if err != nil {
			return
		}
		for i := range 20 {
			x.streams.find(hashName(fmt.Sprint("s-", i)), func(postings []byte) bool { return len(postings)%4 != 0 })
			x.tags.find(hashTag(fmt.Sprint("t", i)), func(postings []byte) bool { return len(postings)%4 != 0 })
		}
		if x.events > 0 {
			x.blockOf(0)
			x.blockOf(1 << 31)
		}
	})
}

func FuzzDecodeHeader(f *testing.F) {
	f.Add((&header{storeID: eventstore.ID{1, 2}, first: 9}).encode())
	f.Add((&header{storeID: eventstore.ID{1, 2}, first: 9, created: 4, generation: 3, last: 12}).encode())
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := decodeHeader("file", b); err == nil {
			require.Equal(t, b[:headerSize], h.encode())
		}
	})
}
