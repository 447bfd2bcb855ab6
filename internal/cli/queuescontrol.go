package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/foldstream/foldstream/command"
)

// A queueChoice names commands.
type queueChoice struct {
	queueArg

	ID  []string `arg:"" optional:"" help:"Ids of commands."`
	All bool     `help:"All dead-lettered commands."`
}

// Validate implements kong's interface for that.
func (c *queueChoice) Validate() error {
	if c.All == (len(c.ID) > 0) {
		return wrongUsage("name commands of queue %q, or give --all for those that are dead-lettered", c.Queue)
	}
	return c.queueArg.Validate()
}

// each does something to the chosen commands, as far as it goes, and says so.
func (c *queueChoice) each(ctx context.Context, q *queuesCommand, w *world, done string, do func(*command.Queue, string) error) error {
	return q.with(ctx, w, c.Queue, !readOnly, func(queue *command.Queue) error {
		ids := c.ID
		if c.All {
			for s, err := range queue.List(ctx, command.ListFilter{States: []command.State{command.StateDeadLettered}}) {
				if err != nil {
					return err
				}
				ids = append(ids, s.ID)
			}
		}
		var errs []error
		n := 0
		for _, id := range ids {
			if err := do(queue, id); err != nil {
				errs = append(errs, err)
				continue
			}
			n++
		}
		text := fmt.Sprintf("%d commands %s", n, done)
		if n == 1 {
			text = "1 command " + done
		}
		errs = append(errs, q.say(w, text, map[string]int{"commands": n}))
		return errors.Join(errs...)
	})
}

type queueRetryCommand struct{ queueChoice }

// Help implements kong.HelpProvider.
func (*queueRetryCommand) Help() string {
	return `A worker tries them again soon, with their tries counted anew. It may be a
command that was dead-lettered, failed or dropped, or one that waits for its next
try or its time. Commands that changed nothing before are decided again; what one
has done already it does not do twice.

Examples:

  foldstream commands retry jobs 6f1c0a52-8a0d-4d0e-9b41-3c9a4d3f7a10
  foldstream commands retry jobs --all`
}

// Run has workers try again.
func (c *queueRetryCommand) Run(ctx context.Context, q *queuesCommand, w *world) error {
	return c.each(ctx, q, w, "will be tried again", func(queue *command.Queue, id string) error { return queue.Retry(ctx, id) })
}

type queueDropCommand struct {
	queueChoice

	Reason string `short:"m" default:"dropped by an operator" placeholder:"TEXT" help:"Why, for those who look at it later."`
	Yes    bool   `help:"Yes, they are never to be carried out."`
}

// Help implements kong.HelpProvider.
func (*queueDropCommand) Help() string {
	return `They are not carried out, and later commands of their keys go on. One that is
running is canceled, and may have its effect all the same.

Examples:

  foldstream commands drop jobs 6f1c0a52-8a0d-4d0e-9b41-3c9a4d3f7a10 -m "sent by mistake" --yes
  foldstream commands drop jobs --all --yes`
}

// Run drops commands.
func (c *queueDropCommand) Run(ctx context.Context, q *queuesCommand, w *world) error {
	if err := confirmed(c.Yes, "dropped commands of queue %q are never carried out", c.Queue); err != nil {
		return err
	}
	return c.each(ctx, q, w, "dropped", func(queue *command.Queue, id string) error { return queue.Drop(ctx, id, c.Reason) })
}
