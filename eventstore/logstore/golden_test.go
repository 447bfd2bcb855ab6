package logstore_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

var update = flag.Bool("update", false, "write testdata/golden anew, which only a new format version may ask for")

const golden = "testdata/golden"

// makeGolden makes a store with everything that the format can say: several
// segments, one of them rewritten, every content type, limits, a tombstone.
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

// Every later version must open what this one wrote, and read the same.
func TestGoldenStore(t *testing.T) {
	t.Parallel()
	lines := golden + ".jsonl"
	if *update {
		require.NoError(t, os.RemoveAll(golden))
		makeGolden(t, golden)
		s, err := logstore.Open(golden, &logstore.Options{ReadOnly: true})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(lines, []byte(exported(t, s, nil)), 0o600))
		require.NoError(t, s.Close())
	}
	want, err := os.ReadFile(lines)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(golden)))

	report := verified(t, dir)
	assert.Equal(t, report.Segments, report.Indexes)
	assert.Positive(t, report.Removed)
	s := open(t, dir, nil)
	assert.Equal(t, string(want), exported(t, s, nil))
	assert.Equal(t, report.Events, s.Stats().Events)
	for stream, want := range map[string]string{"order-0": "14 15 16 17 18 ", "order-1": "19 ", "order-2": "", "order-3": "1 2 "} {
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
		events = append(events, readSegment(t, b)...)
	}
	assert.Equal(t, events, all, "the document says what the store does")

	without := t.TempDir() // index files say nothing that segments do not
	require.NoError(t, os.CopyFS(without, os.DirFS(golden)))
	for _, seg := range segments(t, without) {
		require.NoError(t, os.Remove(index(seg)))
	}
	assert.Equal(t, string(want), exported(t, open(t, without, nil), nil))
}

// readSegment is a reader made of docs/log-format.md alone, with nothing of
// this package.
func readSegment(t *testing.T, b []byte) (events []eventstore.Recorded) {
	t.Helper()
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
		events = append(events, r)
	}
	return events
}
