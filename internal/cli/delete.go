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
	return confirmed(c.Yes || !c.Hard, "--hard ends stream %q for ever, nobody can use its name again", c.Stream)
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
		text := fmt.Sprintf("%s %s at position %d", shown(c.Stream, maxName), what, receipt.Position)
		return s.say(w, text, struct {
			Stream   string              `json:"stream"`
			Position eventstore.Position `json:"position"`
			Hard     bool                `json:"hard"`
		}{c.Stream, receipt.Position, c.Hard})
	})
}
