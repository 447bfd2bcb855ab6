package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/foldstream/foldstream/projection"
)

type rebuildCommand struct {
	viewArg

	Key    []string `sep:"none" placeholder:"KEY" xor:"what" help:"Fold only what is under this key anew, in the version that is read; may be given several times."`
	Stream string   `placeholder:"STREAM" xor:"what" help:"Fold only what the events of this stream change anew."`
	Cancel bool     `xor:"what" help:"End the rebuild that is under way; what is filled stays, and the next rebuild goes on from there."`
	Detach bool     `short:"d" xor:"what" help:"Return as soon as an application is at it."`
}

// Help implements kong.HelpProvider.
func (*rebuildCommand) Help() string {
	return `An application that follows the view fills a new version beside the one that is
read, verifies it and switches over in one step. The version before is kept, see
foldstream projections rollback. Progress is shown on a terminal.

Ctrl-C cancels the rebuild; it goes on where it stopped when it is asked for
again. With --detach nobody waits, and foldstream projections show tells how far
it is.

Examples:

  foldstream projections rebuild order-summary
  foldstream projections rebuild order-summary --detach
  foldstream projections rebuild order-summary --cancel
  foldstream projections rebuild order-summary --key 42 --key 43`
}

// Run asks for it and waits.
func (c *rebuildCommand) Run(ctx context.Context, p *projectionsCommand, w *world) error {
	return p.with(ctx, w, func(admin *projection.Admin) error {
		switch {
		case c.Cancel:
			if err := admin.CancelRebuild(ctx, c.View); err != nil {
				return err
			}
			return p.say(w, fmt.Sprintf("the rebuild of %s is cancelled; the next one goes on from there", c.View), c.said("cancelled"))
		case len(c.Key) > 0:
			if err := admin.RebuildKeys(ctx, c.View, c.Key...); err != nil {
				return err
			}
			return p.say(w, fmt.Sprintf("%d keys of %s are rebuilt", len(c.Key), c.View), c.said("rebuilt"))
		case c.Stream != "":
			if err := admin.RebuildStream(ctx, c.View, c.Stream); err != nil {
				return err
			}
			return p.say(w, fmt.Sprintf("what stream %s changes in %s is rebuilt", c.Stream, c.View), c.said("rebuilt"))
		case c.Detach:
			return c.detach(ctx, admin, p, w)
		}
		return c.follow(ctx, admin, p, w)
	})
}

func (c *rebuildCommand) said(result string) any {
	return struct {
		View   string   `json:"view"`
		Result string   `json:"result"`
		Keys   []string `json:"keys,omitempty"`
		Stream string   `json:"stream,omitempty"`
	}{c.View, result, c.Key, c.Stream}
}

func (c *rebuildCommand) follow(ctx context.Context, admin *projection.Admin, p *projectionsCommand, w *world) error {
	bar := newRebuildBar(w.err, isTerminal(w.err))
	result, err := admin.Rebuild(ctx, c.View, bar.at)
	bar.done()
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return c.interrupted(ctx, admin)
	}
	if err != nil {
		return err
	}
	return c.finished(p, w, result)
}

func (c *rebuildCommand) finished(p *projectionsCommand, w *world, r projection.RebuildResult) error {
	text := fmt.Sprintf("%s: version %d is read now, built from %d events in %s", c.View, r.NewVersion, r.Events, r.Duration.Round(time.Millisecond))
	if r.OldVersion > 0 {
		text += fmt.Sprintf("; version %d is kept, foldstream projections rollback %s goes back to it", r.OldVersion, c.View)
	}
	return p.say(w, text, r)
}

// cancelTime is how long an application may take to hear that a rebuild is
// cancelled. It looks for requests every second.
const cancelTime = 5 * time.Second

// interrupted cancels the rebuild, because whoever asked has gone.
func (c *rebuildCommand) interrupted(ctx context.Context, admin *projection.Admin) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
	defer stop()
	err := admin.CancelRebuild(ctx, c.View)
	switch {
	case err == nil:
		return reword(errInterrupted, "interrupted: the rebuild is cancelled; the next one goes on from there")
	case errors.Is(err, projection.ErrNotRunning), ctx.Err() != nil:
		return reword(errInterrupted, "interrupted: no application is at the rebuild")
	}
	return reword(errInterrupted, fmt.Sprintf("interrupted, and the rebuild could not be cancelled: %v; try foldstream projections rebuild %s --cancel", err, c.View))
}

// detach waits for the first sign of life.
func (c *rebuildCommand) detach(ctx context.Context, admin *projection.Admin, p *projectionsCommand, w *world) error {
	begun, stop := context.WithCancel(ctx)
	defer stop()
	var first *projection.Progress
	result, err := admin.Rebuild(begun, c.View, func(progress projection.Progress) {
		if first == nil {
			first = &progress
		}
		stop()
	})
	switch {
	case err == nil:
		return c.finished(p, w, result) // it was fast
	case ctx.Err() == nil && first != nil && errors.Is(err, context.Canceled):
		text := fmt.Sprintf("version %d of %s is being filled; foldstream projections show %s tells how far it is", first.Version, c.View, c.View)
		return p.say(w, text, first)
	}
	return err
}

// A rebuildBar shows how far a rebuild is, on a terminal only.
type rebuildBar struct {
	w    io.Writer
	show bool
	bar  *progressbar.ProgressBar // nil until there is something to show
}

func newRebuildBar(w io.Writer, show bool) *rebuildBar { return &rebuildBar{w: w, show: show} }

func (b *rebuildBar) at(p projection.Progress) {
	if !b.show {
		return
	}
	if b.bar == nil {
		b.bar = progressbar.NewOptions64(max(int64(p.Head), 1),
			progressbar.OptionSetWriter(b.w), progressbar.OptionSetWidth(30),
			progressbar.OptionSetPredictTime(false), progressbar.OptionClearOnFinish())
	}
	b.bar.Describe(fmt.Sprintf("%s, version %d: %.0f events/s, %s to go", shown(p.View, maxName), p.Version, p.Rate, etaText(p.ETA)))
	b.bar.ChangeMax64(max(int64(p.Head), 1))        // it grows meanwhile
	_ = b.bar.Set64(int64(min(p.Position, p.Head))) // only drawing can fail
}

func (b *rebuildBar) done() {
	if b.bar != nil {
		_ = b.bar.Clear()
	}
}
