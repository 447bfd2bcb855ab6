package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

type logBackupCommand struct {
	Dir    string `arg:"" help:"Directory of the store."`
	To     string `arg:"" help:"Directory for the copy, which must be empty or not exist."`
	Copy   bool   `help:"Copy every segment, also where hard links would do. A disk that fails takes both ends of a link along."`
	Verify bool   `help:"Read the copy and check it."`
}

// Help implements kong.HelpProvider.
func (*logBackupCommand) Help() string {
	return `Makes a consistent copy, also while an application writes to the store: all that
was committed when it began, and nothing later. On the same file system segments
that no longer change are hard links, which cost nothing. The copy is a store
like any other: to restore it, stop the application and put it in the place of
the old one.

Examples:

  foldstream log backup ./events ./backups/$(date +%F)
  foldstream log backup ./events /mnt/other-disk/events --verify`
}

// Run makes the copy.
func (c *logBackupCommand) Run(ctx context.Context, l *logCommand, w *world) error {
	return l.with(ctx, w, c.Dir, readOnly, func(store *logstore.Store) error {
		bar := newWorkBar(w.err, isTerminal(w.err), "backing up", true)
		report, err := store.Backup(ctx, c.To, &logstore.BackupOptions{Copy: c.Copy, Progress: bar.at})
		bar.done()
		if err != nil {
			return err
		}
		if c.Verify {
			found, err := verify(ctx, c.To, 1, w)
			if errors.Is(err, eventstore.ErrCorrupt) {
				d := found.Damages[0]
				return reword(err, fmt.Sprintf("the copy in %s is damaged, and so perhaps the store (foldstream log verify %s): %s", c.To, c.Dir, d))
			}
			if err != nil {
				return err
			}
		}
		return l.say(w, fmt.Sprintf("%d events up to position %d are in %s: %s, %d linked and %d copied",
			report.Events, report.Head, c.To, counted(report.Linked+report.Copied, "segment"), report.Linked, report.Copied), report)
	})
}
