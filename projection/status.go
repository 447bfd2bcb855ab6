package projection

import (
	"context"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// A State says what a runner does for a view.
type State string

// The states of a view in a runner.
const (
	StateStopped  State = "stopped"  // Run is not running
	StateStandby  State = "standby"  // another runner works at it; this one waits
	StateBuilding State = "building" // its version is not read yet
	StateLive     State = "live"     // the version that is read is being followed
	StateRetrying State = "retrying" // waits after a transient error
	StateFailed   State = "failed"   // cannot go on; Err says why
)

// A Status describes a view in a runner.
type Status struct {
	View       string
	State      State
	Version    int                 // of the view, 0 if none is known yet
	Position   eventstore.Position // up to which all partitions are applied
	Head       eventstore.Position // last of the event store
	Lag        uint64              // Head less Position: events, where positions have no gaps
	LagSeconds float64             // age of the oldest event that is not applied
	Rate       float64             // events applied per second, smoothed
	Events     int64               // applied since the view was last started here
	Parked     int64               // events that are parked
	Retries    int                 // transient errors since Run began
	Err        error               // the last error, also when it is over
	ErrAt      time.Time
	Rebuild    *Progress // of a rebuild that is under way here
}

// Status describes all views. A view that another process follows, or nobody,
// has the position that is stored. A view whose position cannot be told has
// the reason in Err; a head that cannot be told is an error.
func (r *Runner) Status(ctx context.Context) ([]Status, error) {
	head, err := r.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]Status, len(r.followers))
	for i, f := range r.followers {
		all[i] = f.status(ctx, head)
	}
	return all, nil
}

func (f *follower) status(ctx context.Context, head eventstore.Position) Status {
	f.mu.Lock()
	s := Status{
		View: f.p.name, State: f.st, Version: f.version.Number, Head: head, Retries: f.retries,
		Err: f.err, ErrAt: f.errAt, Rate: f.speed.smooth, Rebuild: f.rebuild,
	}
	pl := f.pl
	f.mu.Unlock()
	if pl != nil {
		s.Position, s.Events, s.Parked = pl.position(), pl.events.Load(), pl.parked.Load()
	} else if err := f.stored(ctx, &s); err != nil && s.Err == nil {
		s.Err = err
	}
	if s.Position < head {
		s.Lag = uint64(head - s.Position)
		s.LagSeconds = f.oldestUnapplied(ctx, s.Position)
	}
	return s
}

// stored fills in what the view store knows.
func (f *follower) stored(ctx context.Context, s *Status) error {
	v, err := f.p.store.Active(ctx, f.p.name)
	if err != nil {
		return err
	}
	s.Version = v.Number
	s.Position, err = f.p.targets[0].base().lowestCheckpoint(ctx)
	return err
}

// oldestUnapplied returns the age in seconds of the first event after p that
// the view handles, 0 if there is none.
func (f *follower) oldestUnapplied(ctx context.Context, p eventstore.Position) float64 {
	opts := eventstore.ReadAllOptions{From: p, Limit: 2, Filter: eventstore.Filter{Types: f.p.types()}}
	for rec, err := range f.r.store.ReadAll(ctx, opts) {
		if err != nil {
			break
		}
		if rec.Position > p {
			return max(time.Since(rec.Created).Seconds(), 0)
		}
	}
	return 0
}

func (f *follower) set(s State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.st != StateFailed || s == StateStopped {
		f.st = s
	}
}

func (f *follower) state() (State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.st, f.err
}

func (f *follower) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.st, f.err, f.errAt = StateRetrying, err, time.Now()
	f.retries++
}

func (f *follower) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.st, f.err, f.errAt = StateFailed, err, time.Now()
}

func (f *follower) sample(pl *pipeline, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.speed.sample(pl.events.Load(), now)
}
