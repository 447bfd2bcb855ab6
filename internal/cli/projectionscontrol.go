package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/projection"
)

type pauseCommand struct{ viewArg }

// Help implements kong.HelpProvider.
func (*pauseCommand) Help() string {
	return `Each application commits the batch at hand and stops. The pause is stored and
outlives every process. Readers go on to see the view as it is.

Example:

  foldstream projections pause order-summary`
}

// pauseTime is how long applications may take to hear of a pause. They look
// every second.
const pauseTime = 5 * time.Second

// Run pauses the view and waits until everybody has heard of it.
func (c *pauseCommand) Run(ctx context.Context, p *projectionsCommand, w *world) error {
	return p.with(ctx, w, func(admin *projection.Admin) error {
		if err := admin.Pause(ctx, c.View); err != nil {
			return err
		}
		there, late, err := c.await(ctx, admin)
		if err != nil {
			return err
		}
		text := c.View + " is paused"
		switch {
		case there == 0:
			text += "; no application follows it now"
		case late > 0:
			text += fmt.Sprintf("; %d applications have yet to stop", late)
		}
		return p.say(w, text, struct {
			View    string `json:"view"`
			Paused  bool   `json:"paused"`
			Working int    `json:"working"` // applications that have yet to stop
		}{c.View, true, late})
	})
}

// await returns how many applications there are, and how many of them still
// work at the view.
func (c *pauseCommand) await(ctx context.Context, admin *projection.Admin) (there, working int, err error) {
	deadline := time.Now().Add(pauseTime)
	for {
		s, err := admin.Show(ctx, c.View)
		if err != nil {
			return 0, 0, err
		}
		working = 0
		for _, r := range s.Runners {
			if r.State != projection.StatePaused && r.State != projection.StateStopped && r.State != projection.StateFailed {
				working++
			}
		}
		if working == 0 || time.Now().After(deadline) {
			return len(s.Runners), working, nil
		}
		select {
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

type resumeCommand struct{ viewArg }

// Help implements kong.HelpProvider.
func (*resumeCommand) Help() string {
	return `Applications begin again within a second. A view that is not paused stays as it
is.

Example:

  foldstream projections resume order-summary`
}

// Run ends the pause.
func (c *resumeCommand) Run(ctx context.Context, p *projectionsCommand, w *world) error {
	return p.with(ctx, w, func(admin *projection.Admin) error {
		if err := admin.Resume(ctx, c.View); err != nil {
			return err
		}
		return p.say(w, c.View+" is resumed", struct {
			View   string `json:"view"`
			Paused bool   `json:"paused"`
		}{c.View, false})
	})
}

type skipCommand struct {
	viewArg

	Position uint64 `arg:"" help:"Position in the event store."`
	Yes      bool   `short:"y" help:"Needed, because the view lacks what is skipped until it is rebuilt."`
}

// Help implements kong.HelpProvider.
func (*skipCommand) Help() string {
	return `Partitions that are further stay where they are. The view lacks what is skipped
until it is rebuilt.

Example:

  foldstream projections skip order-summary 120034 --yes`
}

// Validate implements kong's interface for that.
func (c *skipCommand) Validate() error {
	return confirmed(c.Yes, "view %q would lack the events up to position %d until it is rebuilt", c.View, c.Position)
}

// Run asks an application to skip.
func (c *skipCommand) Run(ctx context.Context, p *projectionsCommand, w *world) error {
	return p.with(ctx, w, func(admin *projection.Admin) error {
		if err := admin.SkipTo(ctx, c.View, eventstore.Position(c.Position)); err != nil {
			return err
		}
		return p.say(w, fmt.Sprintf("%s goes on after position %d", c.View, c.Position), struct {
			View     string `json:"view"`
			Position uint64 `json:"position"`
		}{c.View, c.Position})
	})
}

type rollbackCommand struct{ viewArg }

// Help implements kong.HelpProvider.
func (*rollbackCommand) Help() string {
	return `Readers see the version before the active one at once, as it was left, and
applications follow it on from there.

Example:

  foldstream projections rollback order-summary`
}

// Run goes back.
func (c *rollbackCommand) Run(ctx context.Context, p *projectionsCommand, w *world) error {
	return p.with(ctx, w, func(admin *projection.Admin) error {
		version, err := admin.RollBack(ctx, c.View)
		if err != nil {
			return err
		}
		return p.say(w, fmt.Sprintf("%s: version %d is read now", c.View, version), versionSaid{c.View, version})
	})
}

type versionSaid struct {
	View    string `json:"view"`
	Version int    `json:"version"`
}

type dropVersionCommand struct {
	viewArg

	Version int  `arg:"" help:"Number of the version, see foldstream projections show."`
	Yes     bool `short:"y" help:"Needed, because it cannot be undone."`
}

// Help implements kong.HelpProvider.
func (*dropVersionCommand) Help() string {
	return `Removes a version that is not read with all its data, without blocking readers.

Example:

  foldstream projections drop-version order-summary 3 --yes`
}

// Validate implements kong's interface for that.
func (c *dropVersionCommand) Validate() error {
	return confirmed(c.Yes, "version %d of view %q would be gone for good", c.Version, c.View)
}

// Run drops the version.
func (c *dropVersionCommand) Run(ctx context.Context, p *projectionsCommand, w *world) error {
	return p.with(ctx, w, func(admin *projection.Admin) error {
		if err := admin.DropVersion(ctx, c.View, c.Version); err != nil {
			return err
		}
		return p.say(w, fmt.Sprintf("version %d of %s is dropped", c.Version, c.View), versionSaid{c.View, c.Version})
	})
}
