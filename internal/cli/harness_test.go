package cli_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/internal/cli"
)

// A rig runs commands on a store in memory, whose clock ticks a second for
// each append.
type rig struct {
	store eventstore.Store
}

// A result is what a command left behind.
type result struct {
	code     int
	out, err string
}

func newRig() *rig {
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	return &rig{store: memstore.New(&memstore.Options{Now: func() time.Time { // called by one writer at a time
		now = now.Add(time.Second)
		return now
	}})}
}

// A kept store outlives the command that closes it.
type kept struct{ eventstore.Store }

func (kept) Close() error { return nil }

func (r *rig) open(string, *esdbstore.Options) (eventstore.Store, error) { return kept{r.store}, nil }

// run carries out foldstream streams with some input.
func (r *rig) run(ctx context.Context, in string, args ...string) result {
	var out, notes bytes.Buffer
	code := cli.RunWith(ctx, append([]string{"streams"}, args...), strings.NewReader(in), &out, &notes, r.open)
	return result{code, out.String(), notes.String()}
}

// must runs a command that goes well and returns its output.
func (r *rig) must(t *testing.T, args ...string) string {
	t.Helper()
	got := r.run(t.Context(), "", args...)
	require.Zero(t, got.code, got.err)
	require.Empty(t, got.err)
	return got.out
}

// seed makes two orders and a cart.
func (r *rig) seed(t *testing.T) {
	t.Helper()
	r.must(t, "append", "order-1", "-t", "order.placed", "-d", `{"customer": "ada", "note": "<3"}`, "--id", id(1), "--metadata", `{"actor":"ada"}`)
	r.must(t, "append", "cart-9", "-t", "cart.opened", "--id", id(2))
	r.must(t, "append", "order-1", "-t", "order.paid", "-d", `{"cents":1200}`, "--id", id(3), "--expected", "1")
	r.must(t, "append", "order-2", "-t", "order.placed", "-d", `{"customer":"bob"}`, "--id", id(4), "--expected", "none")
}

// id returns the nth of some UUIDs.
func id(n byte) string { return eventstore.ID{15: n}.String() }

// lines returns text with the indentation of the test's source taken away.
func lines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimPrefix(text, "\n")) {
		b.WriteString(strings.TrimLeft(line, "\t"))
	}
	return b.String()
}
