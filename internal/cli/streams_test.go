package cli_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/internal/cli"
)

func TestReadShowsATable(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.seed(t)
	assert.Equal(t, lines(`
		VERSION  CREATED                   TYPE          DATA
		      1  2026-11-21T10:00:01.000Z  order.placed  {"customer":"ada","note":"<3"}
		      2  2026-11-21T10:00:03.000Z  order.paid    {"cents":1200}
	`), r.must(t, "read", "order-1", "-o", "table"))
	assert.Equal(t, lines(`
		POSITION  STREAM   VERSION  CREATED                   TYPE          DATA
		       4  order-2        1  2026-11-21T10:00:04.000Z  order.placed  {"customer":"bob"}
		       3  order-1        2  2026-11-21T10:00:03.000Z  order.paid    {"cents":1200}
		       2  cart-9         1  2026-11-21T10:00:02.000Z  cart.opened
	`), r.must(t, "read", "$all", "-o", "table", "--backwards", "--limit", "3"))
}

func TestReadWritesLinesOfJSONWhenNobodyIsLooking(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.seed(t)
	assert.Equal(t, lines(`
		{"stream":"order-1","version":1,"position":1,"type":"order.placed","id":"00000000-0000-0000-0000-000000000001","created":"2026-11-21T10:00:01Z","contentType":"application/json","data":{"customer":"ada","note":"<3"},"metadata":{"actor":"ada"}}
		{"stream":"order-1","version":2,"position":3,"type":"order.paid","id":"00000000-0000-0000-0000-000000000003","created":"2026-11-21T10:00:03Z","contentType":"application/json","data":{"cents":1200}}
	`), r.must(t, "read", "order-1"))
}

func TestReadChooses(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.seed(t)
	require.NoError(t, err2(r.store.SetStreamMetadata(t.Context(), "order-1", eventstore.Any, eventstore.StreamMetadata{MaxCount: 9})))
	for _, c := range []struct {
		name string
		args []string
		want string // ids, by their last digit, or - for an event of the system
	}{
		{"all of a stream", []string{"order-1"}, "13"},
		{"from a version", []string{"order-1", "--from", "2"}, "3"},
		{"backwards from a version", []string{"order-1", "-b", "--from", "1"}, "1"},
		{"one", []string{"order-1", "-n", "1"}, "1"},
		{"a type of a stream", []string{"order-1", "--type", "order.paid"}, "3"},
		{"one of a type of a stream", []string{"order-1", "--type", "order.paid", "--type", "order.placed", "-n", "1", "-b"}, "3"},
		{"everything but the system's", []string{"$all"}, "1234"},
		{"everything", []string{"$all", "--system"}, "1234-"},
		{"a category", []string{"$all", "--category", "cart"}, "2"},
		{"two categories", []string{"$all", "--category", "cart", "--category", "order"}, "1234"},
		{"a type", []string{"$all", "-t", "order.placed"}, "14"},
		{"from a position", []string{"$all", "--from", "3"}, "34"},
		{"a type of the system needs no more words", []string{"$all", "-t", "$metadata"}, "-"},
		{"limit counts what matches", []string{"$all", "-t", "order.placed", "-n", "2"}, "14"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got strings.Builder
			for line := range strings.Lines(r.must(t, append([]string{"read"}, c.args...)...)) {
				_, rest, ok := strings.Cut(line, `"id":"00000000-0000-0000-0000-00000000000`)
				if !ok {
					rest = "-"
				}
				got.WriteString(rest[:1])
			}
			assert.Equal(t, c.want, got.String())
		})
	}
}

func err2[T any](_ T, err error) error { return err }

func TestATableShowsNothingThatATerminalObeys(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.must(t, "append", "evil", "-t", "\x1b[2J", "-d", "\"\u009b1m\"")
	r.must(t, "append", "evil", "-t", "text", "-d", "two\nlines \x7f", "--content-type", "text/plain")
	r.must(t, "append", "evil", "-t", "binary", "-d", "\x00\x01", "--content-type", "image/png")
	r.must(t, "append", "evil", "-t", "long", "-d", `"`+strings.Repeat("ü", 5000)+`"`)
	got := r.must(t, "read", "evil", "-o", "table")
	assert.NotContains(t, got, "\x1b")
	assert.NotContains(t, got, "\u009b")
	rows := strings.Split(got, "\n")
	require.Len(t, rows, 6)
	assert.Contains(t, rows[1], `\x1b[2J`)
	assert.Contains(t, rows[1], `"\u009b1m"`)
	assert.Contains(t, rows[2], `two\nlines \x7f`)
	assert.Contains(t, rows[3], "(2 bytes image/png)")
	assert.True(t, strings.HasSuffix(rows[4], "üüü… (10002 bytes)"), rows[4])
	assert.Less(t, len(rows[4]), 600)
}

func TestListSaysWhatThereIs(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.seed(t)
	ctx := t.Context()
	for _, stream := range []string{"gone-1", "gone-2", "gone-3", "short-1"} {
		for range 3 {
			r.must(t, "append", stream, "-t", "x")
		}
	}
	r.must(t, "delete", "gone-1")
	r.must(t, "delete", "gone-2", "--hard", "--yes")
	r.must(t, "delete", "gone-3")
	r.must(t, "append", "gone-3", "-t", "x") // and back again
	require.NoError(t, err2(r.store.SetStreamMetadata(ctx, "short-1", eventstore.Any, eventstore.StreamMetadata{MaxCount: 2})))

	assert.Equal(t, lines(`
		STREAM   EVENTS  VERSION  CHANGED
		cart-9        1        1  2026-11-21T10:00:02.000Z
		gone-3        1        4  2026-11-21T10:00:20.000Z
		order-1       2        2  2026-11-21T10:00:03.000Z
		order-2       1        1  2026-11-21T10:00:04.000Z
		short-1       2        3  2026-11-21T10:00:16.000Z
	`), r.must(t, "list", "-o", "table"))
	assert.Equal(t, lines(`
		STREAM  EVENTS  VERSION  CHANGED                   STATE
		gone-1       0        3  2026-11-21T10:00:07.000Z  deleted
		gone-2       0        3  2026-11-21T10:00:18.000Z  tombstoned
		gone-3       1        4  2026-11-21T10:00:20.000Z
	`), r.must(t, "list", "-o", "table", "--deleted", "--prefix", "gone"))
	assert.Equal(t, lines(`
		{"stream":"order-1","events":2,"version":2,"position":3,"changed":"2026-11-21T10:00:03Z"}
	`), r.must(t, "list", "--category", "order", "--sort", "events", "--limit", "1"))
	assert.Contains(t, r.must(t, "list", "--sort", "changed", "-n", "1"), `"gone-3"`)
	assert.Contains(t, r.must(t, "list", "--prefix", "$$short"), `{"stream":"$$short-1","events":1,"version":1,`)
	assert.Contains(t, r.must(t, "list", "--system"), `"$$gone-1"`)
	nothing := r.run(ctx, "", "list", "-o", "table", "--prefix", "zzz")
	assert.Equal(t, result{0, "", "no streams\n"}, nothing)
}

func TestAppendSaysWhereTheStreamEnded(t *testing.T) {
	t.Parallel()
	r := newRig()
	assert.Equal(t, "a-1 is at version 1, position 1: 1 appended\n", r.must(t, "append", "a-1", "-t", "x", "-o", "table", "--id", id(1), "--expected", "none"))
	assert.Equal(t, "a-1 had it already: version 1, position 1\n", r.must(t, "append", "a-1", "-t", "x", "-o", "table", "--id", id(1), "--expected", "none"))
	assert.Equal(t, lines(`
		{"stream":"a-1","version":2,"position":2,"repeated":false,"events":1}
	`), r.must(t, "append", "a-1", "-t", "x", "--expected", "exists"))
}

func TestAppendTakesDataFromWhereItIs(t *testing.T) {
	t.Parallel()
	r := newRig()
	file := t.TempDir() + "/data"
	write(t, file, `{"from":"file"}`)
	require.Zero(t, r.run(t.Context(), `{"from":"stdin"}`, "append", "a", "-t", "x", "-d", "-").code)
	r.must(t, "append", "a", "-t", "x", "--data-file", file)
	r.must(t, "append", "a", "-t", "x", "-d", "plain", "--content-type", "text/plain", "--metadata", `{"n":1,"b":[true]}`)
	r.must(t, "append", "a", "-t", "x")
	got := r.must(t, "read", "a")
	for i, want := range []string{
		`"contentType":"application/json","data":{"from":"stdin"}}`,
		`"contentType":"application/json","data":{"from":"file"}}`,
		`"contentType":"text/plain","data":"cGxhaW4=","encoding":"base64","metadata":{"n":1,"b":[true]}}`,
		`"contentType":"application/octet-stream"}`,
	} {
		assert.Contains(t, strings.Split(got, "\n")[i], want)
	}
}

// A loop of the shell over lines of input must keep its input.
func TestInputThatIsNotAskedForIsLeftAlone(t *testing.T) {
	t.Parallel()
	in := strings.NewReader("for somebody else")
	var out strings.Builder
	require.Zero(t, cli.RunWith(t.Context(), []string{"streams", "append", "s", "-t", "x", "-d", "{}"}, in, &out, &out, newRig().open), &out)
	assert.Equal(t, len("for somebody else"), in.Len())
}

func TestDeleteHidesOrEnds(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.seed(t)
	assert.Equal(t, lines(`
		{"stream":"order-1","position":5,"hard":false}
	`), r.must(t, "delete", "order-1", "--expected", "2"))
	assert.Equal(t, 1, r.run(t.Context(), "", "read", "order-1").code)
	refused := r.run(t.Context(), "", "delete", "order-1", "--hard")
	assert.Equal(t, 2, refused.code)
	assert.Contains(t, refused.err, `--hard ends stream "order-1" for ever`)
	assert.Equal(t, "order-1 ended for ever at position 6\n", r.must(t, "delete", "order-1", "--hard", "--yes", "-o", "table"))
}
