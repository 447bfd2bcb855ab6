package logstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// awkward are the data of events that JSON lines could spoil.
var awkward = []struct {
	contentType, data string
}{
	{"application/json", `{"a":1}`},
	{"application/json", `{ "b" : 1.0e+2,  "a":"<&>` + "\u2028" + `" , "a":2}`}, // not canonical
	{"application/json", "{\n  \"pretty\": true\r\n}\n"},
	{"application/json", ` {}`},
	{"application/json", `null`},
	{"application/json", `"text"`},
	{"application/json", ``},
	{"application/json", `{"half":`},
	{"application/json", `1},{"data":2`},
	{"application/json", `1,"stream":"other"`},
	{"application/json", "\"\xff\""},
	{"application/json", `"\ud800"`},
	{"application/json", strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999)},
	{"application/json", strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)},
	{"text/plain", `aGk=`},
	{"", "\x00\x01\xff"},
	{"application/octet-stream", `{"a":1}`},
	{"odd/\"\x01\xfe", "x"},
}

// fill gives a store everything that a store can hold.
func fill(t *testing.T, s eventstore.Store) {
	t.Helper()
	ctx := t.Context()
	for i, a := range awkward {
		e := eventstore.Event{Type: "awk\"ward\n", ContentType: a.contentType, Data: []byte(a.data)}
		switch i % 4 {
		case 1:
			e.Metadata = eventstore.NewMetadata("actor", "ada <a&b>\t", "", "empty key", "empty", "")
		case 2:
			e.Metadata = eventstore.NewMetadata("binary", "\xff\x00")
		case 3:
			m, err := eventstore.ParseMetadata(eventstore.NewMetadata("b", "2").Encoded() + eventstore.NewMetadata("a", "1").Encoded())
			require.NoError(t, err)
			e.Metadata = m // not in the order that others give
		}
		_, err := s.Append(ctx, fmt.Sprintf("awk-%d ü\\", i%3), eventstore.Any, e)
		require.NoError(t, err)
	}
	for _, stream := range []string{"gone-1", "back-1", "ended-1", "short-1"} {
		appendTo(t, s, stream, 3)
	}
	for _, stream := range []string{"gone-1", "back-1"} {
		_, err := s.Delete(ctx, stream, eventstore.Any)
		require.NoError(t, err)
	}
	appendTo(t, s, "back-1", 2)
	_, err := s.SetStreamMetadata(ctx, "short-1", eventstore.Any, eventstore.StreamMetadata{MaxCount: 2})
	require.NoError(t, err)
	_, err = s.Tombstone(ctx, "ended-1", eventstore.Any)
	require.NoError(t, err)
}

func exported(t *testing.T, s eventstore.Store, opts *logstore.ExportOptions) string {
	t.Helper()
	var b bytes.Buffer
	report, err := logstore.Export(t.Context(), s, &b, opts)
	require.NoError(t, err)
	assert.Equal(t, int64(b.Len()), report.Bytes)
	assert.Equal(t, uint64(strings.Count(b.String(), "\n")), report.Events)
	return b.String()
}

// imported makes a store of lines and opens it.
func imported(t *testing.T, text string, opts *logstore.ImportOptions) *logstore.Store {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "new", "store")
	_, err := logstore.Import(t.Context(), dir, strings.NewReader(text), opts)
	require.NoError(t, err)
	s, err := logstore.Open(dir, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func opened(t *testing.T, opts *logstore.Options) *logstore.Store {
	t.Helper()
	s, err := logstore.Open(t.TempDir(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestExportAndImportGiveTheSameStore(t *testing.T) {
	t.Parallel()
	s := opened(t, &logstore.Options{SegmentSize: small})
	fill(t, s)
	appendTo(t, s, "many-1", 2000) // several segments
	text := exported(t, s, nil)
	back := imported(t, text, &logstore.ImportOptions{SegmentSize: small})
	want, got := readAll(t, s), readAll(t, back)
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i], got[i])
	}
	assert.Equal(t, text, exported(t, back, nil))
	verified(t, back.Dir())
	assert.Greater(t, back.Stats().Segments, 1)
	assert.Equal(t, s.Stats().Streams, back.Stats().Streams)

	// What the events say about streams holds there too.
	ctx := t.Context()
	for stream, want := range map[string]string{"gone-1": "not found", "ended-1": "tombstone", "back-1": "4,5,", "short-1": "2,3,"} {
		versions := ""
		for r, err := range back.Read(ctx, stream, eventstore.ReadOptions{}) {
			if err != nil {
				versions = err.Error()
				break
			}
			versions += fmt.Sprintf("%d,", r.Version)
		}
		assert.Contains(t, versions, want, stream)
	}
	// An append to the one is a repetition in the other.
	last := want[len(want)-1]
	r, err := back.Append(ctx, last.Stream, eventstore.Exact(last.Version-1), eventstore.Event{ID: last.ID, Type: last.Type})
	require.NoError(t, err)
	assert.Equal(t, eventstore.Receipt{Stream: last.Stream, Version: last.Version, Position: last.Position, Repeated: true}, r)
	_, err = back.Append(ctx, "many-1", eventstore.Exact(2000), event(1))
	assert.NoError(t, err)
}

func TestExportReadsAnyStore(t *testing.T) {
	t.Parallel()
	s := memstore.New(&memstore.Options{Now: func() time.Time { return time.Now().Truncate(100) }}) // as exact as a log is
	fill(t, s)
	text := exported(t, s, nil)
	assert.Equal(t, text, exported(t, imported(t, text, nil), nil))
}

func TestExportChooses(t *testing.T) {
	t.Parallel()
	s := opened(t, nil)
	appendTo(t, s, "a-1", 3)
	appendTo(t, s, "b-1", 3)
	var b bytes.Buffer
	report, err := logstore.Export(t.Context(), s, &b, &logstore.ExportOptions{From: 3, Limit: 2, Filter: eventstore.Filter{Categories: []string{"b"}}})
	require.NoError(t, err)
	assert.Equal(t, logstore.ExportReport{Events: 2, Bytes: int64(b.Len()), First: 4, Last: 5}, report)
	assert.Contains(t, b.String(), `{"position":4,"stream":"b-1","version":1,"type":"counted","id":"`)
	assert.Contains(t, b.String(), `"contentType":"application/json","data":{"n":       0}}`+"\n")
}

func TestALineIsWhatAPersonWouldWrite(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 10, 0, 0, 123_000_000, time.UTC)
	s := imported(t, `
		{"stream":"order-1","type":"order.placed","data":{"customer": "ada"},"metadata":{"actor":"ada"}}
		{"stream":"note-1","type":"noted","contentType":"text/plain","data":"two\nlines","metadata":{"n":1}}

		{"stream":"order-1","type":"order.paid","created":"2026-11-21T12:00:00.123+02:00"}
	`, &logstore.ImportOptions{Now: func() time.Time { return at }})
	all := readAll(t, s)
	require.Len(t, all, 3)
	for i := range all {
		assert.False(t, all[i].ID.IsZero())
		assert.Equal(t, at, all[i].Created)
		assert.EqualValues(t, i+1, all[i].Position)
	}
	assert.JSONEq(t, `{"customer": "ada"}`, string(all[0].Data))
	assert.Equal(t, eventstore.ContentTypeJSON, all[0].ContentType)
	assert.Equal(t, "ada", all[0].Metadata.Get("actor"))
	assert.Equal(t, "two\nlines", string(all[1].Data))
	assert.Equal(t, `{"n":1}`, all[1].Metadata.Get(eventstore.KeyRaw))
	assert.Equal(t, eventstore.ContentTypeBinary, all[2].ContentType)
	assert.EqualValues(t, 2, all[2].Version)
}

// What a scavenge has left has gaps, and keeps its positions and versions.
func TestImportKeepsGaps(t *testing.T) {
	t.Parallel()
	const text = `{"position":3,"stream":"a-1","version":2,"type":"x"}
{"position":4,"stream":"a-1","version":3,"type":"x"}
{"position":1000,"stream":"b-1","version":1,"type":"x"}
{"position":9000000000000,"stream":"c-1","version":7,"type":"x"}
{"position":9000000000001,"stream":"a-1","version":4,"type":"x"}
`
	s := imported(t, text, nil)
	again := exported(t, s, nil)
	assert.Equal(t, strings.Split(text, "\n"), strings.Split(regexp.MustCompile(`,"id".*?"}`).ReplaceAllString(again, "}"), "\n"))
	assert.Equal(t, logstore.Stats{Events: 5, Streams: 3, Segments: s.Stats().Segments, Bytes: s.Stats().Bytes, Head: 9000000000001}, s.Stats())
	r, err := s.Append(t.Context(), "c-1", eventstore.Exact(7), event(1))
	require.NoError(t, err)
	assert.Equal(t, eventstore.Receipt{Stream: "c-1", Version: 8, Position: 9000000000002}, r)
	var versions []eventstore.Version
	for r, err := range s.Read(t.Context(), "a-1", eventstore.ReadOptions{Backwards: true}) {
		require.NoError(t, err)
		versions = append(versions, r.Version)
	}
	assert.Equal(t, []eventstore.Version{4, 3, 2}, versions)
	report := verified(t, s.Dir())
	assert.EqualValues(t, 6, report.Events)
	require.NoError(t, s.Close())
	verified(t, s.Dir())
	back, err := logstore.Open(s.Dir(), nil)
	require.NoError(t, err)
	assert.Len(t, readAll(t, back), 6)
	require.NoError(t, back.Close())
}

func TestRenumberTakesAPart(t *testing.T) {
	t.Parallel()
	s := opened(t, nil)
	appendTo(t, s, "a-1", 2)
	appendTo(t, s, "b-1", 2)
	appendTo(t, s, "a-1", 2)
	text := exported(t, s, &logstore.ExportOptions{From: 2, Filter: eventstore.Filter{Categories: []string{"a"}}})
	all := readAll(t, imported(t, text+text, &logstore.ImportOptions{Renumber: true}))
	require.Len(t, all, 6)
	for i := range all {
		assert.EqualValues(t, i+1, all[i].Position)
		assert.EqualValues(t, i+1, all[i].Version)
	}
}

func TestABadLineNamesItselfAndLeavesNothing(t *testing.T) {
	t.Parallel()
	const good = `{"position":1,"stream":"a-1","version":1,"type":"x"}`
	for _, c := range []struct{ name, text, want string }{
		{"half a line", good + "\n" + `{"stream":"a-1","ty`, "line 2: not an event such as"},
		{"a name that is not known", `{"streem":"a-1","type":"x"}`, `line 1: not an event such as {"stream":"order-42","type":"order.placed","data":{}}: json: unknown field "streem"`},
		{"two on a line", good + good, "line 1: there is more than one JSON object"},
		{"no stream", `{"type":"x"}`, "line 1: eventstore: invalid stream name"},
		{"no type", `{"stream":"a"}`, "line 1: eventstore: invalid event type"},
		{"an id that is none", `{"stream":"a","type":"x","id":"1"}`, `"1" is not a UUID`},
		{"a time that is none", `{"stream":"a","type":"x","created":"now"}`, "line 1: not an event"},
		{"a time out of range", `{"stream":"a","type":"x","created":"9000-01-01T00:00:00Z"}`, "line 1: created 9000-01-01T00:00:00Z is out of range"},
		{"bytes that are not text", good + "\n{\"stream\":\"\xff\"}", "line 2: it is not UTF-8"},
		{"an encoding", `{"stream":"a","type":"x","encoding":"hex","data":"00"}`, `line 1: encoding "hex" is not known`},
		{"base64 that is none", `{"stream":"a","type":"x","encoding":"base64","data":"%"}`, "line 1: data is not base64"},
		{"data of the wrong kind", `{"stream":"a","type":"x","contentType":"text/plain","data":{}}`, `line 1: data of content type "text/plain" must be a string`},
		{"metadata of the wrong kind", `{"stream":"a","type":"x","metadata":7}`, "line 1: metadata is not a JSON object"},
		{"metadata that is not base64", `{"stream":"a","type":"x","metadata":"7"}`, "line 1: metadata that is a string must be base64"},
		{"metadata that is not encoded", `{"stream":"a","type":"x","metadata":"/w=="}`, "line 1: eventstore: metadata is not a list"},
		{"a position again", good + "\n" + good, "line 2: position 1 does not follow 1 of the line before"},
		{"a version left out", good + "\n" + `{"position":2,"stream":"a-1","version":3,"type":"x"}`, `line 2: version 3 of stream "a-1" where 2 was due`},
		{"a version beyond all", `{"stream":"a-1","version":9223372036854775808,"type":"x"}`, "version 9223372036854775808 is out of range"},
		{"a position beyond all", `{"position":9223372036854775808,"stream":"a-1","type":"x"}`, "9223372036854775808 is out of range"},
		{"life after a tombstone", `{"stream":"a","type":"$streamDeleted"}` + "\n\n" + `{"stream":"a","type":"x"}`, `line 3: stream "a" goes on after its tombstone`},
		{"metadata after a tombstone", `{"stream":"a","type":"$streamDeleted"}` + "\n" + `{"stream":"$$a","type":"x"}`, `line 2: stream "$$a" goes on after its tombstone`},
		{"a tombstone of metadata", `{"stream":"$$a","type":"$streamDeleted"}`, "line 1: eventstore: invalid stream name"},
		{"a long line", `{"stream":"a","type":"x","data":"` + strings.Repeat("y", 2<<20) + `"}`, "line 1: it is longer than 1048576 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "store")
			many := exportedEvents(t, 500) // segments have been written by then
			_, err := logstore.Import(t.Context(), dir, strings.NewReader(c.text), &logstore.ImportOptions{MaxLine: 1 << 20})
			require.ErrorContains(t, err, c.want)
			assert.NoDirExists(t, dir)

			require.NoError(t, os.Mkdir(dir, 0o755))
			_, err = logstore.Import(t.Context(), dir, strings.NewReader(many+strings.ReplaceAll(c.text, `"position":`, `"position":50`)), &logstore.ImportOptions{MaxLine: 1 << 20, SegmentSize: 16 << 10})
			line, ok := errors.AsType[*logstore.LineError](err)
			require.True(t, ok, err)
			assert.Greater(t, line.Line, 500)
			assert.Empty(t, filesOf(t, dir))
		})
	}
}

func exportedEvents(t *testing.T, n int) string {
	t.Helper()
	s := memstore.New(nil)
	appendTo(t, s, "many-1", n)
	return exported(t, s, nil)
}

// filesOf returns what is in dir besides the lock.
func filesOf(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		if e.Name() != "lock" {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestImportTouchesNothingThatIsThere(t *testing.T) {
	t.Parallel()
	lines := exportedEvents(t, 3)
	store := write(t, nil, func(s *logstore.Store) { appendTo(t, s, "a-1", 3) })
	before := segments(t, store)
	_, err := logstore.Import(t.Context(), store, strings.NewReader(lines), nil)
	require.ErrorIs(t, err, eventstore.ErrInvalid)
	assert.ErrorContains(t, err, "it holds a store; choose a directory that is empty or does not exist")
	assert.Equal(t, before, segments(t, store))

	foreign := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(foreign, "letter"), []byte("x"), 0o600))
	_, err = logstore.Import(t.Context(), foreign, strings.NewReader(lines), nil)
	require.ErrorIs(t, err, eventstore.ErrInvalid)
	assert.ErrorContains(t, err, "it holds letter")
	assert.Equal(t, []string{"letter"}, filesOf(t, foreign))

	// What a crash in the middle of an import leaves is no store, and no hindrance.
	crashed := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(crashed, fmt.Sprintf("%020d.log.tmp", 1)), []byte("x"), 0o600))
	_, err = logstore.Import(t.Context(), crashed, strings.NewReader(lines), nil)
	require.NoError(t, err)
}

// A cancelled reader cancels what reads it once it was asked a few times.
type cancelled struct {
	cancel context.CancelFunc
	asked  int
}

func (c *cancelled) Read(p []byte) (int, error) {
	if c.asked++; c.asked == 3 {
		c.cancel()
	}
	text := bytes.Repeat([]byte(`{"stream":"a","type":"x"}`+"\n"), len(p)/30)
	return copy(p, text), nil
}

func TestACancelledImportLeavesNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	dir := filepath.Join(t.TempDir(), "store")
	var reports []logstore.Progress
	_, err := logstore.Import(ctx, dir, &cancelled{cancel: cancel}, &logstore.ImportOptions{SegmentSize: small, Progress: func(p logstore.Progress) { reports = append(reports, p) }})
	require.ErrorIs(t, err, context.Canceled)
	assert.NoDirExists(t, dir)
	require.NotEmpty(t, reports)
	assert.Positive(t, reports[0].Done)
	assert.EqualValues(t, 1024, reports[0].Events)
}

func TestACancelledExportEnds(t *testing.T) {
	t.Parallel()
	s := opened(t, nil)
	appendTo(t, s, "a-1", 3000)
	ctx, cancel := context.WithCancel(t.Context())
	var last logstore.Progress
	report, err := logstore.Export(ctx, s, new(bytes.Buffer), &logstore.ExportOptions{Progress: func(p logstore.Progress) {
		last = p
		cancel()
	}})
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, logstore.Progress{Events: 1024, Done: 1024, Total: 3000}, last)
	assert.Less(t, report.Events, uint64(3000))
}

func TestAnImportOfNothingIsAnEmptyStore(t *testing.T) {
	t.Parallel()
	s := imported(t, "", nil)
	assert.Zero(t, s.Stats().Events)
	appendTo(t, s, "a-1", 1)
}

// Whatever a line says, an import either refuses it or makes a store that
// opens and whose export says the same again.
func FuzzImport(f *testing.F) {
	s := memstore.New(nil)
	_, err := s.Append(context.Background(), "a-1", eventstore.Any, event(1), eventstore.Event{ID: eventstore.NewID(), Type: "t", Data: []byte{0, 1}, Metadata: eventstore.NewMetadata("k", "v")})
	require.NoError(f, err)
	_, err = s.Tombstone(context.Background(), "a-1", eventstore.Any)
	require.NoError(f, err)
	var b bytes.Buffer
	_, err = logstore.Export(context.Background(), s, &b, nil)
	require.NoError(f, err)
	f.Add(b.Bytes())
	f.Add([]byte(`{"stream":"a","type":"x","contentTypeBase64":"/w==","encoding":"base64","data":"AA==","metadata":"AA=="}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if _, err := logstore.Import(t.Context(), dir, bytes.NewReader(text), &logstore.ImportOptions{SegmentSize: 4096}); err != nil {
			require.Empty(t, filesOf(t, dir))
			return
		}
		s, err := logstore.Open(dir, &logstore.Options{SegmentSize: 4096})
		require.NoError(t, err)
		defer func() { require.NoError(t, s.Close()) }()
		again := exported(t, s, nil)
		require.Equal(t, again, exported(t, imported(t, again, nil), nil))
	})
}
