package cli

import (
	"context"
	"fmt"

	"github.com/foldstream/foldstream/eventstore/logstore"
)

type logScavengeCommand struct {
	Dir       string  `arg:"" help:"Directory of the store, which nobody else may have open."`
	Threshold float64 `default:"0.1" placeholder:"SHARE" help:"Rewrite only segments of which this share can go (${default})."`
	All       bool    `help:"Rewrite every segment with anything that can go, such as when deleted data must really be gone."`
	DryRun    bool    `short:"n" help:"Only say what would go. The store may be in use."`
}

// Help implements kong.HelpProvider.
func (*logScavengeCommand) Help() string {
	return `Removes for ever what reading streams no longer shows: events of deleted streams,
events before a truncation or beyond a maximum count or age, and old metadata.
The last event of each stream stays, and so do all positions and versions. The
last segment, which still grows, is left alone.

An application that has the store open can scavenge it while it runs, with
Store.Scavenge. Ctrl-C ends a scavenge between two segments; what is done is done.

Examples:

  foldstream log scavenge ./events --dry-run
  foldstream log scavenge ./events
  foldstream log scavenge ./events --all`
}

// Validate implements kong's interface for that.
func (c *logScavengeCommand) Validate() error {
	if c.Threshold <= 0 || c.Threshold > 1 {
		return wrongUsage("--threshold %v is not a share above 0 and up to 1, such as 0.1", c.Threshold)
	}
	return nil
}

// Run rewrites segments.
func (c *logScavengeCommand) Run(ctx context.Context, l *logCommand, w *world) error {
	return l.with(ctx, w, c.Dir, access(c.DryRun), func(store *logstore.Store) error {
		report, err := l.scavenge(ctx, store, w, &logstore.ScavengeOptions{Threshold: c.Threshold, All: c.All, DryRun: c.DryRun})
		if err != nil {
			return err
		}
		text := "removed"
		if c.DryRun {
			text = "would be removed"
		}
		text = fmt.Sprintf("%d events, %s, %s from %d of %s", report.Events, sizeText(report.Bytes), text, report.Rewritten, counted(report.Segments, "sealed segment"))
		if report.LeftEvents > 0 {
			text += fmt.Sprintf("; %d events, %s, are not worth it, see --threshold and --all", report.LeftEvents, sizeText(report.LeftBytes))
		}
		return l.say(w, text, report)
	})
}

func (l *logCommand) scavenge(ctx context.Context, store *logstore.Store, w *world, opts *logstore.ScavengeOptions) (logstore.ScavengeReport, error) {
	bar := newWorkBar(w.err, isTerminal(w.err), "scavenging", true)
	defer bar.done()
	opts.Progress = bar.at
	return store.Scavenge(ctx, opts)
}
