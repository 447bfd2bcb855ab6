package cli

import (
	"bufio"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/foldstream/foldstream/projection"
)

type viewsCommand struct{}

// Help implements kong.HelpProvider.
func (*viewsCommand) Help() string {
	return `LAG counts the events, on EventStoreDB the bytes of log, that are not applied;
BEHIND is the age of the oldest of them. Both are what applications said a moment
ago. A view that no application follows is "not followed".

Examples:

  foldstream projections list
  foldstream projections list --json | jq -r 'select(.state != "live") | .view'`
}

// Run prints a line for each view.
func (c *viewsCommand) Run(ctx context.Context, p *projectionsCommand, w *world) error {
	return p.with(ctx, w, func(admin *projection.Admin) error {
		views, err := admin.List(ctx)
		if err != nil {
			return err
		}
		if !p.table(w) {
			buf := bufio.NewWriter(w.out)
			enc := newEncoder(buf)
			for i := range views {
				if err := enc.Encode(viewOf(&views[i])); err != nil {
					return err
				}
			}
			return buf.Flush()
		}
		if len(views) == 0 {
			_, _ = fmt.Fprintf(w.err, "no views at %s with prefix %q\n", redact(p.Redis), p.Prefix)
		}
		t := newTable(w.out, column{title: "VIEW"}, column{title: "STATE"}, column{"VERSION", true}, column{"POSITION", true},
			column{"LAG", true}, column{"BEHIND", true}, column{"EVENTS/S", true}, column{"PARKED", true}, column{"APPS", true}, column{title: "NOTE"})
		for i := range views {
			v := viewOf(&views[i])
			if err := t.add(v.cells()...); err != nil {
				return err
			}
		}
		return t.flush()
	})
}

// A viewed view is one with what its runners say of it, all together.
type viewed struct {
	projection.ViewSummary
	State      string  `json:"state"`
	Apps       int     `json:"apps"`          // that follow it
	Lag        *uint64 `json:"lag,omitempty"` // nil while nobody can tell
	LagSeconds float64 `json:"lag_seconds"`
	Rate       float64 `json:"rate"` // events per second
	Note       string  `json:"note,omitempty"`
}

// stateRank orders states by how much they matter when runners differ. One that
// has failed may have been replaced.
var stateRank = map[projection.State]int{
	projection.StateStopped: 1, projection.StateFailed: 2, projection.StateStandby: 3, projection.StateLive: 4,
	projection.StateBuilding: 5, projection.StatePaused: 6, projection.StateRetrying: 7,
}

func viewOf(s *projection.ViewSummary) *viewed {
	v := &viewed{ViewSummary: *s, State: "not followed"}
	rank := 0
	for i := range s.Runners {
		r := &s.Runners[i]
		if stateRank[r.State] > rank {
			rank, v.State = stateRank[r.State], string(r.State)
			v.Note = "" // of one that matters less
		}
		if r.State != projection.StateFailed {
			v.Apps++
		}
		v.note(r)
		v.Rate += r.Rate
		// Each knows exactly how far its own partitions are, and the others by
		// what is stored, which may be a moment old.
		if r.Source == nil && r.State != projection.StateFailed && (v.Lag == nil || r.Lag < *v.Lag) {
			lag := r.Lag
			v.Lag, v.LagSeconds = &lag, r.LagSeconds
		}
	}
	if s.Paused {
		v.State = string(projection.StatePaused)
	}
	if v.Note == "" {
		v.Note = v.hint()
	}
	return v
}

// note takes what people should know of a runner.
func (v *viewed) note(r *projection.Status) {
	switch {
	case r.Rebuild != nil:
		v.Note = fmt.Sprintf("version %d is filled: %.0f%%, %s to go", r.Rebuild.Version, 100*r.Rebuild.Share, etaText(r.Rebuild.ETA))
	case r.Source != nil && r.State != projection.StateFailed:
		v.Note = "events cannot be read: " + r.Source.Error()
	case r.Err != nil && (r.State == projection.StateFailed && v.Apps == 0 || r.State == projection.StateRetrying):
		v.Note = r.Err.Error()
	}
}

func (v *viewed) hint() string {
	switch {
	case v.Active == 0:
		return "not built yet, and not read"
	case v.Parked > 0:
		return "foldstream projections parked list " + v.View
	}
	return ""
}

func (v *viewed) cells() []string {
	lag, behind, version := "-", "-", "-"
	if v.Lag != nil {
		lag, behind = strconv.FormatUint(*v.Lag, 10), secondsText(v.LagSeconds)
	}
	if v.Active > 0 {
		version = strconv.Itoa(v.Active)
	}
	return []string{
		shown(v.View, maxName), v.State, version, strconv.FormatUint(uint64(v.Position), 10), lag, behind,
		strconv.FormatFloat(v.Rate, 'f', 0, 64), strconv.Itoa(v.Parked), strconv.Itoa(v.Apps), shown(v.Note, maxData),
	}
}

func secondsText(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(10 * time.Millisecond).String()
}

func etaText(d time.Duration) string {
	if d <= 0 {
		return "?"
	}
	return d.Round(time.Second).String()
}
