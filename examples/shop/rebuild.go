package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/foldstream/foldstream/projection"
)

// A rebuildReport says how a rebuilt view compares with the one that was live.
type rebuildReport struct {
	View       string  `json:"view"`
	OldVersion int     `json:"old_version"`
	NewVersion int     `json:"new_version"`
	Events     int64   `json:"events"` // that the view is made of
	Seconds    float64 `json:"seconds"`
	Items      int64   `json:"items"` // documents, counters and members
	Equal      bool    `json:"equal"`
}

// rebuild fills a new version of a view from the first event, switches to it
// and compares the two. Nothing may be written meanwhile.
func (a *app) rebuild(ctx context.Context, view string, w io.Writer) (rebuildReport, error) {
	head, err := a.store.Head(ctx)
	if err != nil {
		return rebuildReport{}, err
	}
	m := newMeter(w, "rebuild "+view, int64(head))
	result, err := a.runner.Rebuild(ctx, view, &projection.RebuildOptions{Progress: func(p projection.Progress) {
		words := fmt.Sprintf("%.0f %%, %d events", 100*p.Share, p.Events)
		if p.Share < 1 {
			words += fmt.Sprintf(", %.0f events/s, %s to go", p.Rate, p.ETA.Round(time.Second))
		}
		m.set(int64(p.Position), words)
	}})
	if err != nil {
		return rebuildReport{}, err
	}
	live, err := projection.Digest(ctx, a.stored, view, result.OldVersion)
	if err != nil {
		return rebuildReport{}, fmt.Errorf("sum up version %d of view %q: %w", result.OldVersion, view, err)
	}
	rebuilt, err := projection.Digest(ctx, a.stored, view, result.NewVersion)
	if err != nil {
		return rebuildReport{}, fmt.Errorf("sum up version %d of view %q: %w", result.NewVersion, view, err)
	}
	r := rebuildReport{
		View: view, OldVersion: result.OldVersion, NewVersion: result.NewVersion, Events: result.Events,
		Seconds: result.Duration.Seconds(), Items: rebuilt.Documents + rebuilt.Counters + rebuilt.Members, Equal: live == rebuilt,
	}
	m.done(fmt.Sprintf("100 %%, %d events in %.2f s", r.Events, r.Seconds))
	return r, nil
}

// rebuildViews is the subcommand rebuild: of one view, or of all.
func rebuildViews(ctx context.Context, a *app, only string, asJSON bool, out, notes io.Writer) (err error) {
	names := a.runner.Views()
	if only != "" {
		names = []string{only}
	}
	stop := a.follow(ctx)
	defer func() { err = joinStop(err, stop) }()
	if err := a.waitLevel(ctx, notes); err != nil {
		return err
	}
	reports, differ := []rebuildReport{}, 0
	for _, view := range names {
		r, err := a.rebuild(ctx, view, notes)
		if err != nil {
			return err
		}
		if reports = append(reports, r); !r.Equal {
			differ++
		}
		if !asJSON {
			_, _ = fmt.Fprintf(out, "%-16s version %d -> %d  %9d events  %8.2f s  %9d items  %s\n",
				r.View, r.OldVersion, r.NewVersion, r.Events, r.Seconds, r.Items, equalWord(r.Equal))
		}
	}
	if asJSON {
		if err := json.NewEncoder(out).Encode(map[string]any{"views": reports}); err != nil {
			return err
		}
	}
	if differ > 0 {
		return fmt.Errorf("%d rebuilt views differ from the live ones, which are kept; the events say what is right", differ)
	}
	return nil
}

func equalWord(equal bool) string {
	if equal {
		return "equal to the live one"
	}
	return "DIFFERS from the live one"
}

// joinStop stops the views and adds what they have to say to err.
func joinStop(err error, stop func() error) error {
	if stopped := stop(); err == nil {
		return stopped
	}
	return err
}
