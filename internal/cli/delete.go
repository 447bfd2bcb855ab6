package cli

import (
	"context"
	"fmt"

	"github.com/foldstream/foldstream/eventstore"
)

type deleteCommand struct {
	Stream   string      `arg:"" help:"Name of the stream."`
	Hard     bool        `help:"End the stream for ever with a tombstone: nobody can use its name again."`
	Expected expectation `default:"any" placeholder:"any|none|exists|N" help:"What the stream must be like (${default})."`
	Yes      bool        `short:"y" help:"Needed for --hard, which cannot be undone."`
}

// Help implements kong.HelpProvider.
func (*deleteCommand) Help() string {
	return `Hides the events of a stream (a soft delete). Whoever appends to it again
continues its versions. Events stay in $all.

Examples:

  foldstream streams delete order-42 --expected 3
  foldstream streams delete order-42 --hard --yes`
}

// Validate implements kong's interface for that.
func (c *deleteCommand) Validate() error {
	if c.Hard && !c.Yes {
		return wrongUsage("--hard ends stream %q for ever, nobody can use its name again; add --yes if that is meant", c.Stream)
	}
	return nil
}

// Run deletes the stream.
func (c *deleteCommand) Run(ctx context.Context, s *streamsCommand, w *world) error {
	return s.with(ctx, w, func(store eventstore.Store) error {
		what, do := "deleted", store.Delete
		if c.Hard {
			what, do = "ended for ever", store.Tombstone
		}
		receipt, err := do(ctx, c.Stream, c.Expected.Expected)
		if err != nil {
			return err
		}
		if s.table(w) {
			_, err = fmt.Fprintf(w.out, "%s %s at position %d\n", shown(c.Stream, maxName), what, receipt.Position)
			return err
		}
		return newEncoder(w.out).Encode(struct {
			Stream   string              `json:"stream"`
			Position eventstore.Position `json:"position"`
			Hard     bool                `json:"hard"`
		}{c.Stream, receipt.Position, c.Hard})
	})
}
