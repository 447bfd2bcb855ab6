package logstore_test

import (
	"cmp"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

var update = flag.Bool("update", false, "write testdata/tagged anew, which only a new format version may ask for")

const (
	golden = "testdata/golden" // with index files of version 1, which knew nothing of tags
	tagged = "testdata/tagged"
)

// makeGolden makes a store with everything that the format can say: several
// segments, one of them rewritten, every content type, limits, a tombstone, tags.
func makeGolden(t *testing.T, dir string) {
	t.Helper()
	now := time.Date(2026, 11, 21, 10, 0, 0, 123_456_789, time.UTC)
	ids := 0
	s, err := logstore.Open(dir, &logstore.Options{SegmentSize: 4096, Now: func() time.Time {
		now = now.Add(1234567 * time.Microsecond)
		return now
	}})
	require.NoError(t, err)
	add := func(stream string, es ...eventstore.Event) {
		for i := range es {
			ids++
			es[i].ID = eventstore.DeriveID("golden", fmt.Sprint(ids))
		}
		_, err := s.Append(t.Context(), stream, eventstore.Any, es...)
		require.NoError(t, err)
	}
	placed := eventstore.Event{Type: "order.placed", ContentType: eventstore.ContentTypeJSON, Data: []byte(`{"customer": "ada", "lines": [1, 2]}`), Metadata: eventstore.NewMetadata("actor", "ada", "$correlationId", "c-1")}
	paid := eventstore.Event{Type: "order.paid", ContentType: eventstore.ContentTypeMsgpack, Data: []byte{0x81, 0xa5, 'c', 'e', 'n', 't', 's', 0xcd, 0x04, 0xb0}}
	sent := eventstore.Event{Type: "order.sent", ContentType: "application/protobuf", Data: []byte{8, 1}}
	noted := eventstore.Event{Type: "noted", ContentType: "text/plain; charset=utf-8", Data: []byte("ü\n")}
	empty := eventstore.Event{Type: "touched"}
	for i := range 24 {
		stream := fmt.Sprintf("order-%d", i%4)
		placed, sent := placed, sent
		placed.Metadata, err = placed.Metadata.WithTags("customer:ada", eventstore.Tag("order", fmt.Sprint(i%4)), fmt.Sprintf("ü %d", i))
		require.NoError(t, err)
		sent.Metadata, err = sent.Metadata.WithTags(eventstore.Tag("order", fmt.Sprint(i%4)))
		require.NoError(t, err)
		add(stream, placed, paid)
		add(stream, sent)
		add("note-ü \"1\"", noted, empty)
	}
	_, err = s.SetStreamMetadata(t.Context(), "order-0", eventstore.Any, eventstore.StreamMetadata{MaxCount: 5})
	require.NoError(t, err)
	_, err = s.Delete(t.Context(), "order-1", eventstore.Any)
	require.NoError(t, err)
	_, err = s.Tombstone(t.Context(), "order-2", eventstore.Any)
	require.NoError(t, err)
	report, err := s.Scavenge(t.Context(), &logstore.ScavengeOptions{Threshold: 0.5})
	require.NoError(t, err)
	require.Positive(t, report.Rewritten)
	require.Less(t, report.Rewritten, report.Segments)
	add("order-1", placed)
	big := placed
	big.Data = []byte(`"` + strings.Repeat("x", 300) + `"`)
	add("order-3", big)
	require.NoError(t, s.Close())
	require.NoError(t, os.Remove(filepath.Join(dir, "lock")))
	for _, seg := range segments(t, dir) { // the file need not be as long as a segment may get
		require.NoError(t, os.Truncate(seg, used(t, seg)))
	}
}

// Every later version must open what this one and those before it wrote, and
// read the same.
func TestGoldenStore(t *testing.T) {
	t.Parallel()
	if *update {
		require.NoError(t, os.RemoveAll(tagged))
		makeGolden(t, tagged)
		s, err := logstore.Open(tagged, &logstore.Options{ReadOnly: true})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(tagged+".jsonl", []byte(exported(t, s, nil)), 0o600))
		require.NoError(t, s.Close())
	}
	t.Run("Tagged", func(t *testing.T) {
		t.Parallel()
		testGolden(t, tagged, 0, map[string]string{"order-0": "14 15 16 17 18 ", "order-1": "19 ", "order-2": "", "order-3": "1 2 "})
		testGoldenTags(t)
	})
	t.Run("WithoutTags", func(t *testing.T) {
		t.Parallel()
		testGolden(t, golden, 3, map[string]string{"order-0": "14 15 16 17 18 ", "order-1": "19 ", "order-2": "", "order-3": "1 2 "})
	})
}

func testGolden(t *testing.T, golden string, stale int, streams map[string]string) {
	t.Helper()
	want, err := os.ReadFile(golden + ".jsonl")
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(golden)))

	report := verified(t, dir)
	assert.Equal(t, report.Segments, report.Indexes+stale)
	assert.Equal(t, stale, report.Stale)
	assert.Positive(t, report.Removed)
	s := open(t, dir, nil)
	assert.Equal(t, string(want), exported(t, s, nil))
	assert.Equal(t, report.Events, s.Stats().Events)
	for stream, want := range streams {
		var got strings.Builder
		for r, err := range s.Read(t.Context(), stream, eventstore.ReadOptions{}) {
			if err != nil {
				assert.ErrorIs(t, err, eventstore.ErrStreamDeleted)
				break
			}
			fmt.Fprintf(&got, "%d ", r.Version)
		}
		assert.Equal(t, want, got.String()[:len(want)], stream)
	}
	all := readAll(t, s)
	assert.Equal(t, report.Head+1, appendTo(t, s, "order-3", 1).Position)

	var events []eventstore.Recorded
	for _, file := range segments(t, golden) {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		events = append(events, slices.Collect(maps.Values(readSegment(t, b)))...)
	}
	slices.SortFunc(events, func(a, b eventstore.Recorded) int { return cmp.Compare(a.Position, b.Position) })
	assert.Equal(t, events, all, "the document says what the store does")

	without := t.TempDir() // index files say nothing that segments do not
	require.NoError(t, os.CopyFS(without, os.DirFS(golden)))
	for _, seg := range segments(t, without) {
		require.NoError(t, os.Remove(index(seg)))
	}
	assert.Equal(t, string(want), exported(t, open(t, without, nil), nil))
}

// testGoldenTags demands that the document says where the events with a tag
// are.
func testGoldenTags(t *testing.T) {
	t.Helper()
	found := 0
	for _, file := range segments(t, tagged) {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		want := map[string][]uint32{"never": nil, "customer:": nil}
		events := readSegment(t, b)
		for _, off := range slices.Sorted(maps.Keys(events)) {
			for tag := range events[off].Metadata.Tags() {
				want[tag] = append(want[tag], off)
				found++
			}
		}
		b, err = os.ReadFile(index(file))
		require.NoError(t, err)
		for tag, offs := range want {
			assert.Equal(t, offs, readTag(t, b, tag), tag)
		}
	}
	assert.Greater(t, found, 20)
}

// readTag finds the offsets of the events with a tag in an index file, as
// docs/log-format.md says, with nothing of this package.
func readTag(t *testing.T, b []byte, tag string) (offs []uint32) {
	t.Helper()
	le := binary.LittleEndian
	n := func(off int) int { return int(le.Uint32(b[off:])) }
	require.Equal(t, "foldidx\n", string(b[:8]))
	require.Equal(t, 2, n(8))
	events, streams, blocks := n(60), n(64), n(72)
	at := 128 + n(88) + 8*(blocks+1) + 8*blocks + 4*events + 8*(streams+1) + 4*(1<<n(96)+1) + n(92)
	tags, count, filter, log2 := n(100), n(104), n(108), n(112)
	if tags == 0 {
		require.Len(t, b, at)
		return nil
	}
	h := xxhash.Sum64String(tag) >> 32 << 32
	line := b[at+int(h>>32*uint64(filter/64)>>32)*64:]
	g := h * 0x9E3779B97F4A7C15 >> 10
	for i := range 6 {
		if bit := g >> (9 * i) & 511; line[bit>>3]>>(bit&7)&1 == 0 {
			return nil
		}
	}
	postings := at + filter
	directory := postings + 4*count
	buckets := directory + 8*(tags+1)
	require.Len(t, b, buckets+4*(1<<log2+1))
	bucket := int(h >> (64 - log2))
	for i := n(buckets + 4*bucket); i < n(buckets+4*bucket+4); i++ {
		if n(directory+8*i) != int(h>>32) {
			continue
		}
		for p := n(directory + 8*i + 4); p < n(directory+8*i+12); p++ {
			offs = append(offs, le.Uint32(b[postings+4*p:]))
		}
	}
	return offs
}

// readSegment is a reader made of docs/log-format.md alone, with nothing of
// this package. It returns the events by their offsets.
func readSegment(t *testing.T, b []byte) map[uint32]eventstore.Recorded {
	t.Helper()
	events := make(map[uint32]eventstore.Recorded)
	le, table := binary.LittleEndian, crc32.MakeTable(crc32.Castagnoli)
	require.Equal(t, "foldlog\n", string(b[:8]))
	require.EqualValues(t, 2, le.Uint32(b[8:]))
	require.Equal(t, crc32.Checksum(b[:60], table), le.Uint32(b[60:]))
	first, base := le.Uint64(b[32:]), int64(le.Uint64(b[40:]))
	for off := 64; off < len(b) && b[off] != 0; {
		n, k := binary.Uvarint(b[off:])
		at := off + k + 4
		body := b[at : at+int(n)]
		seed := le.Uint32(b[60:]) ^ uint32(off) ^ uint32(n)*0x9E3779B1
		require.Equal(t, crc32.Update(seed, table, body), le.Uint32(b[at-4:]))
		frame := uint32(off)
		off = at + int(n)

		flags, id, rest := body[0], eventstore.ID(body[1:17]), body[17:]
		uvarint := func() uint64 {
			v, k := binary.Uvarint(rest)
			rest = rest[k:]
			return v
		}
		text := func(n uint64) string {
			s := string(rest[:n])
			rest = rest[n:]
			return s
		}
		r := eventstore.Recorded{ID: id, Position: eventstore.Position(first + uvarint()), Version: eventstore.Version(uvarint())}
		z := uvarint()
		r.Created = time.Unix(0, (base/100+(int64(z>>1)^-int64(z&1)))*100).UTC() // base is after 1970
		typeLen, streamLen, ctLen := uvarint(), uvarint(), uint64(0)
		if flags>>4 == 0 {
			ctLen = uvarint()
		}
		metaLen := uvarint()
		r.Type, r.Stream = text(typeLen), text(streamLen)
		r.ContentType = []string{text(ctLen), "application/octet-stream", "application/json", "application/msgpack", "application/protobuf"}[flags>>4]
		var err error
		r.Metadata, err = eventstore.ParseMetadata(text(metaLen))
		require.NoError(t, err)
		r.Data = rest
		events[frame] = r
	}
	return events
}
