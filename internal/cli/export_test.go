package cli

import (
	"context"
	"io"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/projection"
)

// RunWith is Run with another way to open a store, in an empty environment.
func RunWith(ctx context.Context, args []string, in io.Reader, out, notes io.Writer, open func(string, *esdbstore.Options) (eventstore.Store, error)) int {
	return run(ctx, args, &world{in: in, out: out, err: notes, open: open, getenv: func(string) string { return "" }})
}

// Redact is what errors show of a connection string.
var Redact = redact

// A RebuildBar shows a rebuild.
type RebuildBar struct{ *rebuildBar }

// NewRebuildBar returns one that draws if show is set.
func NewRebuildBar(w io.Writer, show bool) RebuildBar { return RebuildBar{newRebuildBar(w, show)} }

// At draws.
func (b RebuildBar) At(p projection.Progress) { b.at(p) }

// Done takes it away.
func (b RebuildBar) Done() { b.done() }

// A WorkBar shows an operation on a log.
type WorkBar struct{ *workBar }

// NewWorkBar returns one that draws, as if the work had begun long ago, if show
// is set.
func NewWorkBar(w io.Writer, show bool) WorkBar {
	b := newWorkBar(w, show, "working", true)
	if b != nil {
		b.begun = time.Now().Add(-time.Hour)
	}
	return WorkBar{b}
}

// At draws.
func (b WorkBar) At(p logstore.Progress) { b.at(p) }

// Done takes it away.
func (b WorkBar) Done() { b.done() }
