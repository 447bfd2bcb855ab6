package cli_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/internal/cli"
)

func TestWhatReadWritesAppendTakesAndNothingIsLost(t *testing.T) {
	t.Parallel()
	r := newRig()
	events := []eventstore.Event{
		{ID: eventstore.NewID(), Type: "json", ContentType: eventstore.ContentTypeJSON, Data: []byte(`{"big":12345678901234567890,"s":"é<"}`)},
		{ID: eventstore.NewID(), Type: "null", ContentType: eventstore.ContentTypeJSON, Data: []byte(`null`)},
		{ID: eventstore.NewID(), Type: "no json", ContentType: eventstore.ContentTypeJSON, Data: []byte(`{`)},
		{ID: eventstore.NewID(), Type: "binary", ContentType: eventstore.ContentTypeBinary, Data: []byte{0, 255, 10}, Metadata: eventstore.NewMetadata("a", "b\x00")},
		{ID: eventstore.NewID(), Type: "nothing", ContentType: eventstore.ContentTypeJSON, Data: []byte{}},
		{ID: eventstore.NewID(), Type: "raw", ContentType: "text/plain", Data: []byte("x"), Metadata: eventstore.NewMetadata(eventstore.KeyRaw, `{"n":1}`)},
	}
	_, err := r.store.Append(t.Context(), "from", eventstore.NoStream, events...)
	require.NoError(t, err)
	got := r.run(t.Context(), r.must(t, "read", "from"), "append", "to", "--lines", "--expected", "none")
	require.Equal(t, result{0, `{"stream":"to","version":6,"position":12,"repeated":false,"events":6}` + "\n", ""}, got)
	n := 0
	for rec, err := range r.store.Read(t.Context(), "to", eventstore.ReadOptions{}) {
		require.NoError(t, err)
		want := events[n]
		assert.Equal(t, want, eventstore.Event{ID: rec.ID, Type: rec.Type, ContentType: rec.ContentType, Data: rec.Data, Metadata: rec.Metadata}, want.Type)
		n++
	}
	assert.Equal(t, 6, n)
}

func TestLinesByHand(t *testing.T) {
	t.Parallel()
	r := newRig()
	in := `{"type":"a","data":{"n":1},"metadata":{"k":"v"}}` + "\n\n" +
		`{"data":"just text","contentType":"text/plain"}` + "\r\n" +
		`{}` // no line end
	got := r.run(t.Context(), in, "append", "s", "--lines", "--type", "fallback")
	require.Zero(t, got.code, got.err)
	out := r.must(t, "read", "s", "-o", "table")
	assert.Regexp(t, `1 .* a +{"n":1}\n.* fallback  just text\n.* fallback\n$`, out)
}

// Batches after the first expect what the one before left, so that nobody
// gets between them.
func TestManyLinesGoInBatches(t *testing.T) {
	t.Parallel()
	r := newRig()
	in := strings.Repeat(`{"type":"x","data":{}}`+"\n", 1201)
	got := r.run(t.Context(), in, "append", "s", "--lines", "--expected", "none")
	assert.Equal(t, result{0, `{"stream":"s","version":1201,"position":1201,"repeated":false,"events":1201}` + "\n", ""}, got)

	large := fmt.Sprintf(`{"type":"x","data":"%s"}`+"\n", strings.Repeat("y", 300<<10)) // two are over a batch
	got = r.run(t.Context(), strings.Repeat(large, 5), "append", "large", "--lines")
	assert.Equal(t, result{0, `{"stream":"large","version":5,"position":1206,"repeated":false,"events":5}` + "\n", ""}, got)
}

func TestWaitingForInputCanBeInterrupted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string // before nothing more comes
		args []string
		want string
	}{
		{"", []string{"-t", "x", "-d", "-"}, "foldstream: interrupted\n"},
		{"", []string{"--lines"}, "foldstream: interrupted\n"},
		{strings.Repeat(`{"type":"x"}`+"\n", 501), []string{"--lines"}, "foldstream: interrupted; 500 events before that were appended, up to version 500\n"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		in, more := io.Pipe()
		r := newRig()
		got := make(chan string)
		go func() {
			var notes strings.Builder
			assert.Equal(t, 1, cli.RunWith(ctx, append([]string{"streams", "append", "s"}, c.args...), in, io.Discard, &notes, r.open))
			got <- notes.String()
		}()
		_, err := io.WriteString(more, c.in+" ") // returns once it is read
		require.NoError(t, err)
		require.Eventually(t, func() bool { // until what is there was appended
			head, err := r.store.Head(ctx)
			return err == nil && int(head) == len(c.in)/13/500*500
		}, patience, time.Millisecond)
		cancel()
		assert.Equal(t, c.want, <-got)
		_ = more.Close()
	}
}

func TestLinesSayHowFarTheyCame(t *testing.T) {
	t.Parallel()
	r := newRig()
	in := strings.Repeat(`{"type":"x"}`+"\n", 700) + `{"tpye":"x"}`
	got := r.run(t.Context(), in, "append", "s", "--lines")
	assert.Equal(t, 1, got.code)
	assert.Equal(t, `foldstream: line 701: not an event such as {"type":"order.placed","data":{}}: json: unknown field "tpye"; 500 events before that were appended, up to version 500`+"\n", got.err)
	assert.Contains(t, got.out, `"version":500`)
	for in, want := range map[string]string{
		``:                          "standard input has no events",
		`{}`:                        `line 1: the event has no "type"`,
		`{"type":"x"} {"type":"y"}`: "line 1: there is more than one JSON object",
		`{"type":"x","id":"17"}`:    "is not a UUID",
		`{"type":"x","metadata":3}`: "metadata 3 is not a JSON object",
		`{"type":"x","data":"=","encoding":"base64"}`: "data is not base64",
		`{"type":"x","data":"=","encoding":"hex"}`:    `encoding "hex" is not known`,
		`{"type":"x","data":{},"contentType":"a/b"}`:  "must be a string",
	} {
		got := r.run(t.Context(), in, "append", "s", "--lines")
		assert.Equal(t, 1, got.code, in)
		assert.Contains(t, got.err, want, in)
		assert.Equal(t, 1, strings.Count(got.err, "\n"), got.err)
		assert.Empty(t, got.out)
	}
}
