package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/internal/cli"
)

// logRun carries out foldstream log with some input.
func logRun(ctx context.Context, in string, args ...string) result {
	var out, notes bytes.Buffer
	code := cli.Run(ctx, append([]string{"log"}, args...), strings.NewReader(in), &out, &notes)
	return result{code, out.String(), notes.String()}
}

func logMust(t *testing.T, in string, args ...string) string {
	t.Helper()
	got := logRun(t.Context(), in, args...)
	require.Zero(t, got.code, got.err)
	require.Empty(t, got.err)
	return got.out
}

// logStore makes a store with orders and an ended stream, and returns its
// directory.
func logStore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "events")
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	s, err := logstore.Open(dir, &logstore.Options{Now: func() time.Time { return now }})
	require.NoError(t, err)
	for i := range byte(3) {
		e := eventstore.Event{ID: eventstore.ID{15: i + 1}, Type: "order.placed", ContentType: "application/json", Data: fmt.Appendf(nil, `{"n":%d}`, i)}
		require.NoError(t, err2(s.Append(t.Context(), fmt.Sprintf("order-%d", i%2), eventstore.Any, e)))
	}
	require.NoError(t, err2(s.Append(t.Context(), "cart-1", eventstore.Any, eventstore.Event{ID: eventstore.ID{15: 9}, Type: "cart.opened", Data: []byte{0, 1}})))
	require.NoError(t, err2(s.Tombstone(t.Context(), "cart-1", eventstore.Any)))
	require.NoError(t, s.Close())
	return dir
}

func TestLogExportWritesLines(t *testing.T) {
	t.Parallel()
	dir := logStore(t)
	text := logMust(t, "", "export", dir)
	assert.Equal(t, 5, strings.Count(text, "\n"))
	assert.Equal(t, lines(`
		{"position":1,"stream":"order-0","version":1,"type":"order.placed","id":"00000000-0000-0000-0000-000000000001","created":"2026-11-21T10:00:00Z","contentType":"application/json","data":{"n":0}}
		{"position":3,"stream":"order-0","version":2,"type":"order.placed","id":"00000000-0000-0000-0000-000000000003","created":"2026-11-21T10:00:00Z","contentType":"application/json","data":{"n":2}}
		{"position":4,"stream":"cart-1","version":1,"type":"cart.opened","id":"00000000-0000-0000-0000-000000000009","created":"2026-11-21T10:00:00Z","contentType":"application/octet-stream","encoding":"base64","data":"AAE="}
	`), logMust(t, "", "export", dir, "--category", "order", "--from", "1", "--limit", "1")+
		logMust(t, "", "export", dir, "--type", "order.placed", "--from", "3", "-n", "1")+
		logMust(t, "", "export", dir, "--no-system", "--from", "4"))

	file := filepath.Join(t.TempDir(), "events.jsonl")
	assert.Equal(t, fmt.Sprintf("5 events written to %s, %d B\n", file, len(text)), logMust(t, "", "export", dir, file, "-o", "table"))
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, text, string(written))
	again := logRun(t.Context(), "", "export", dir, file)
	assert.Equal(t, 2, again.code)
	assert.Contains(t, again.err, file+" exists already; remove it, or choose another name")
	only, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	assert.Len(t, only, 1, "nothing is left of the making")
}

// The events of a directory can be appended to a stream of any server.
func TestStreamsAppendTakesWhatLogExportWrites(t *testing.T) {
	t.Parallel()
	r := newRig()
	got := r.run(t.Context(), logMust(t, "", "export", logStore(t), "--no-system"), "append", "copy-1", "--lines")
	require.Zero(t, got.code, got.err)
	text := r.must(t, "read", "copy-1")
	assert.Equal(t, 4, strings.Count(text, "\n"))
	assert.Contains(t, text, `"id":"`+id(3)+`","created":"2026-11-21T10:00:01Z","contentType":"application/json","data":{"n":2}}`)
	assert.Contains(t, text, `"contentType":"application/octet-stream","data":"AAE=","encoding":"base64"}`)
}

func TestLogImportMakesTheStoreAgain(t *testing.T) {
	t.Parallel()
	dir := logStore(t)
	text := logMust(t, "", "export", dir)
	for name, args := range map[string][]string{"stdin": {}, "dash": {"-"}, "file": {filepath.Join(t.TempDir(), "lines")}} {
		copied := filepath.Join(t.TempDir(), name)
		in := text
		if name == "file" {
			write(t, args[0], text)
			in = ""
		}
		assert.Equal(t, "5 events in 3 streams made a store in "+copied+"\n", logMust(t, in, append([]string{"import", copied, "-o", "table"}, args...)...))
		assert.Equal(t, text, logMust(t, "", "export", copied))
	}
	part := filepath.Join(t.TempDir(), "part")
	assert.JSONEq(t, `{"events":1,"streams":1,"bytes":193,"last":1}`, logMust(t, logMust(t, "", "export", dir, "--from", "3", "-n", "1"), "import", part, "--renumber", "--json"))
}

func TestLogStatsSayHowMuchThereIs(t *testing.T) {
	t.Parallel()
	dir := logStore(t)
	table := strings.Split(logMust(t, "", "stats", dir, "-o", "table"), "\n")
	assert.Equal(t, []string{"EVENTS", "REMOVED", "STREAMS", "HEAD", "SEGMENTS", "SIZE", "INDEX", "MEMORY"}, strings.Fields(table[0]))
	assert.Equal(t, []string{"5", "0", "3", "5", "1"}, strings.Fields(table[1])[:5])
	table = strings.Split(logMust(t, "", "stats", dir, "-o", "table", "--segments"), "\n")
	assert.Equal(t, []string{"00000000000000000001.log", "1", "5", "5", "0"}, strings.Fields(table[1])[:5])
	assert.True(t, strings.HasSuffix(table[1], "grows"), table[1])
	line := logMust(t, "", "stats", dir, "--segments")
	assert.Contains(t, line, `"events":5,"removed":0,"streams":3,"head":5,"segments":1,"bytes":`)
	assert.Contains(t, line, `"files":[{"file":"`+filepath.Join(dir, "00000000000000000001.log")+`","first":1,"last":5,`)
}

// bigStore makes a store with sealed segments, of whose events most are hidden.
func bigStore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "events")
	s, err := logstore.Open(dir, &logstore.Options{SegmentSize: 8 << 10, Sync: logstore.SyncNever})
	require.NoError(t, err)
	for i := range 600 {
		require.NoError(t, err2(s.Append(t.Context(), fmt.Sprintf("order-%d", i%3), eventstore.Any, eventstore.Event{Type: "order.placed", ContentType: "application/json", Data: []byte(`{"n":1}`)})))
	}
	require.NoError(t, err2(s.SetStreamMetadata(t.Context(), "order-0", eventstore.Any, eventstore.StreamMetadata{MaxCount: 1})))
	require.NoError(t, err2(s.Delete(t.Context(), "order-1", eventstore.Any)))
	require.NoError(t, s.Close())
	return dir
}

func TestLogScavengeRemovesWhatIsHidden(t *testing.T) {
	t.Parallel()
	dir := bigStore(t)
	dry := logMust(t, "", "scavenge", dir, "--dry-run", "-o", "table")
	assert.Regexp(t, `^\d+ events, \d+\.\d KiB, would be removed from \d of \d sealed segments\n$`, dry)
	dead := strings.Split(logMust(t, "", "stats", dir, "--dead", "-o", "table"), "\n")
	assert.Contains(t, dead[0], "DEAD EVENTS")
	first, _, _ := strings.Cut(dry, " ")
	assert.Contains(t, strings.Fields(dead[1]), first)
	assert.Equal(t, strings.ReplaceAll(dry, "would be removed", "removed"), logMust(t, "", "scavenge", dir, "-o", "table"))
	assert.Regexp(t, `^{"segments":\d,"rewritten":0,"events":0,"bytes":0,"left_events":0,"left_bytes":0}\n$`, logMust(t, "", "scavenge", dir, "--all", "--json"))
	assert.Contains(t, logMust(t, "", "stats", dir), `"removed":`+first+`,`)
	assert.Contains(t, logMust(t, "", "verify", dir, "-o", "table"), "all is well")
}

func TestLogVerifyListsDamages(t *testing.T) {
	t.Parallel()
	dir := bigStore(t)
	assert.Regexp(t, `^602 events in 5 streams and \d segments, \d+\.\d KiB: all is well\n$`, logMust(t, "", "verify", dir, "-o", "table"))
	assert.Contains(t, logMust(t, "", "verify", dir), `"unfinished":0,"damages":[],"more":0}`)

	file := filepath.Join(dir, "00000000000000000001.log")
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	b[1000] ^= 1
	require.NoError(t, os.WriteFile(file, b, 0o600))
	got := logRun(t.Context(), "", "verify", dir, "-o", "table")
	assert.Equal(t, 1, got.code)
	assert.Equal(t, "foldstream: "+dir+" is damaged in 1 place\n", got.err)
	rows := strings.Split(got.out, "\n")
	assert.Equal(t, []string{"FILE", "OFFSET", "OF", "DAMAGE"}, strings.Fields(rows[0]))
	assert.Contains(t, rows[1], file)
	assert.Contains(t, rows[1], "EVENTS  the checksum of a frame does not match; ")
	got = logRun(t.Context(), "", "verify", dir, "--json")
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.out, `"damages":[{"file":"`+file+`","offset":`)

	copied := filepath.Join(t.TempDir(), "copy")
	got = logRun(t.Context(), "", "backup", dir, copied, "--verify")
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.err, "foldstream: the copy in "+copied+" is damaged, and so perhaps the store (foldstream log verify "+dir+"): ")
}

// A server goes on while its directory is looked at, exported and backed up.
func TestLogCommandsBesideAServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "events")
	s := serve(t, "--data", dir)
	must(t, s.url, "append", "order-1", "-t", "order.placed", "-d", "{}")
	must(t, s.url, "append", "order-1", "-t", "order.paid", "-d", "{}")
	copied := filepath.Join(t.TempDir(), "copy")
	assert.Regexp(t, `^\d+ events up to position \d+ are in `+copied+`: 1 segment, 0 linked and 1 copied\n$`, logMust(t, "", "backup", dir, copied, "--verify", "-o", "table"))
	assert.Contains(t, logMust(t, "", "stats", dir), `"segments":1,`)
	assert.Contains(t, logMust(t, "", "verify", dir, "-o", "table"), ": all is well")
	want := logMust(t, "", "export", dir)
	assert.Equal(t, 2, strings.Count(logMust(t, "", "export", dir, "--category", "order"), "\n"))
	assert.Equal(t, "0 events, 0 B, would be removed from 0 of 0 sealed segments\n", logMust(t, "", "scavenge", dir, "--dry-run", "-o", "table"))
	oneLine(t, 1, "directory "+dir+" is in use by another process; stop that one first", logRun(t.Context(), "", "scavenge", dir))
	must(t, s.url, "append", "order-1", "-t", "order.sent", "-d", "{}")
	s.signal(t, syscall.SIGTERM)
	require.Zero(t, s.end(t))
	assert.Equal(t, want, logMust(t, "", "export", copied))

	again := serve(t, "--data", copied) // a backup is restored by using it
	assert.Equal(t, 2, strings.Count(must(t, again.url, "read", "order-1", "-o", "json"), "\n"))
}

func TestLogErrorsNameTheValueAndTheRemedy(t *testing.T) {
	t.Parallel()
	dir, empty, foreign := logStore(t), t.TempDir(), t.TempDir()
	write(t, filepath.Join(foreign, "letter"), "x")
	none := filepath.Join(empty, "none")
	for _, c := range []struct {
		in   string
		args []string
		want string
	}{
		{"", []string{"stats", none}, none + " cannot be read as a directory: no such file or directory"},
		{"", []string{"stats", empty}, empty + " holds no store; give the directory of logstore.Open, or of foldstream serve --data"},
		{"", []string{"export", foreign}, foreign + " holds no store; give the directory of logstore.Open, or of foldstream serve --data"},
		{"", []string{"export", dir, filepath.Join(none, "file")}, "open " + none},
		{"", []string{"import", dir}, "directory " + dir + ": it holds a store; choose a directory that is empty or does not exist"},
		{"", []string{"verify", empty}, empty + " holds no store"},
		{"", []string{"scavenge", none}, none + " cannot be read as a directory"},
		{"", []string{"backup", dir, foreign}, "directory " + foreign + ": it holds letter"},
		{"", []string{"backup", dir, dir}, "directory " + dir + ": it holds a store"},
		{"", []string{"import", foreign}, "directory " + foreign + ": it holds letter and no segment of a log; choose a directory that is empty or does not exist"},
		{"", []string{"import", none, filepath.Join(empty, "lines")}, "open " + filepath.Join(empty, "lines") + ": no such file or directory"},
		{`{"stream":"a","type":"x"}` + "\n{", []string{"import", none}, `line 2: not an event such as {"stream":"order-42","type":"order.placed","data":{}}: unexpected EOF; nothing was made`},
		{`{"stream":"$all","type":"x"}`, []string{"import", none}, `line 1: invalid stream name "$all": $all stands for all streams; it cannot be written or read as one; nothing was made`},
		{`{"stream":"a","type":"x","data":"` + strings.Repeat("y", 1<<20) + `"}`, []string{"import", none, "--max-line", "1MiB"}, "line 1: it is longer than 1048576 bytes; give --max-line if it is an event; nothing was made"},
	} {
		got := logRun(t.Context(), c.in, c.args...)
		assert.Equal(t, 1, got.code)
		assert.Contains(t, got.err, "foldstream: "+c.want)
		assert.Equal(t, 1, strings.Count(got.err, "\n"), got.err)
		assert.NoDirExists(t, none)
	}
	s, err := logstore.Open(dir, nil)
	require.NoError(t, err)
	assert.Contains(t, logRun(t.Context(), "", "import", dir).err, "it holds a store")
	require.NoError(t, s.Close())
}

func TestInterruptedLogCommandsSaySoAndLeaveNothing(t *testing.T) {
	t.Parallel()
	dir := logStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file, store := filepath.Join(t.TempDir(), "lines"), filepath.Join(t.TempDir(), "store")
	oneLine(t, 1, "interrupted", logRun(ctx, "", "export", dir, file))
	assert.NoFileExists(t, file)
	oneLine(t, 1, "interrupted", logRun(ctx, "", "verify", bigStore(t)))
	oneLine(t, 1, "interrupted", logRun(ctx, "", "scavenge", bigStore(t)))
	oneLine(t, 1, "interrupted", logRun(ctx, "", "backup", dir, store))
	assert.NoDirExists(t, store)
	oneLine(t, 1, "interrupted", logRun(ctx, `{"stream":"a","type":"x"}`, "import", store))
	assert.NoDirExists(t, store)
}

// A signal ends an import that waits for input, and takes away what it made.
func TestASignalEndsAnImport(t *testing.T) {
	t.Parallel()
	store := filepath.Join(t.TempDir(), "store")
	in, feed, err := os.Pipe()
	require.NoError(t, err)
	p := startWith(t, in, "log", "import", store)
	defer func() { require.NoError(t, feed.Close()) }()
	require.NoError(t, in.Close())
	_, err = feed.WriteString(`{"stream":"a","type":"x"}` + "\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { _, err := os.Stat(store); return err == nil }, patience, time.Millisecond)
	p.signal(t, syscall.SIGTERM)
	assert.Equal(t, 1, p.end(t))
	assert.Equal(t, "foldstream: interrupted\n", p.notes.String())
	assert.NoDirExists(t, store)
}

func TestTheWorkBarDraws(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	bar := cli.NewWorkBar(&b, true)
	bar.At(logstore.Progress{Events: 5, Done: 500, Total: 1000})
	assert.Contains(t, b.String(), "working")
	assert.Contains(t, b.String(), "50%")
	bar.Done()
	none := cli.NewWorkBar(&b, false)
	none.At(logstore.Progress{})
	none.Done()
}
