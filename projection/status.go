package projection

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// A State says what a runner does for a view.
//
//	stopped ──Run──▶ building ──level──▶ live
//	                 standby, retrying, paused ◀──▶ building, live
//	                 any ──▶ failed (stays until the next Run), stopped
type State string

// The states of a view in a runner.
const (
	StateStopped  State = "stopped"  // Run is not running
	StateStandby  State = "standby"  // others work at all its partitions; this one waits
	StateBuilding State = "building" // its version is not read yet
	StateLive     State = "live"     // the version that is read is being followed
	StateRetrying State = "retrying" // a partition, or all, waits after a transient error
	StatePaused   State = "paused"   // see [Runner.Pause]
	StateFailed   State = "failed"   // cannot go on; Err says why
)

// A Status describes a view in a runner.
type Status struct {
	View       string              `json:"view"`
	Owner      string              `json:"owner"` // the runner
	State      State               `json:"state"`
	Version    int                 `json:"version"`     // of the view, 0 if none is known yet
	Definition int                 `json:"definition"`  // of the runner's projection
	Position   eventstore.Position `json:"position"`    // up to which all partitions are applied
	Head       eventstore.Position `json:"head"`        // last of the event store
	Lag        uint64              `json:"lag"`         // Head less Position: events, where positions have no gaps
	LagSeconds float64             `json:"lag_seconds"` // age of the oldest event that is not applied
	Rate       float64             `json:"rate"`        // events applied per second, smoothed
	Events     int64               `json:"events"`      // applied since the view was last started here
	Parked     int64               `json:"parked"`      // events that are parked in the partitions here
	Retries    int                 `json:"retries"`     // transient errors since Run began
	Partitions []int               `json:"partitions"`  // worked at here
	Commits    int64               `json:"commits"`     // since the view was last started here
	BatchSize  float64             `json:"batch_size"`  // events in a commit, on average
	Writes     float64             `json:"writes"`      // documents, counters and members written in a commit, on average
	CommitTime time.Duration       `json:"commit_time"` // nanoseconds, on average
	CacheHits  float64             `json:"cache_hits"`  // share of what folds needed that was in memory
	CacheSize  int                 `json:"cache_size"`  // documents and counters in memory
	Unknown    map[string]int64    `json:"unknown,omitempty"`
	Source     error               `json:"-"` // why events cannot be read now
	Err        error               `json:"-"` // the last error, also when it is over
	ErrAt      time.Time           `json:"error_at,omitzero"`
	Rebuild    *Progress           `json:"rebuild,omitempty"` // of a rebuild that is under way here
}

// plainStatus has no methods.
type plainStatus Status

// jsonStatus is a Status in JSON.
type jsonStatus struct {
	plainStatus
	SourceText string `json:"source_error,omitempty"`
	ErrText    string `json:"error,omitempty"`
}

// MarshalJSON implements [json.Marshaler]. Errors become their texts.
func (s Status) MarshalJSON() ([]byte, error) {
	j := jsonStatus{plainStatus: plainStatus(s)}
	if s.Source != nil {
		j.SourceText = s.Source.Error()
	}
	if s.Err != nil {
		j.ErrText = s.Err.Error()
	}
	return json.Marshal(j)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (s *Status) UnmarshalJSON(data []byte) error {
	var j jsonStatus
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*s = Status(j.plainStatus)
	if j.SourceText != "" {
		s.Source = errors.New(j.SourceText)
	}
	if j.ErrText != "" {
		s.Err = errors.New(j.ErrText)
	}
	return nil
}

// Status describes all views. Partitions that other processes work at count
// with what they have stored. A view whose position cannot be told has the
// reason in Err; a head that cannot be told is an error, and so is never taken
// for a view without lag.
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
		View: f.p.name, Owner: f.r.opts.Owner, State: f.st, Version: f.version.Number, Definition: f.p.definition,
		Head: head, Retries: f.retries, Err: f.err, ErrAt: f.errAt, Rate: f.speed.smooth, Rebuild: f.rebuild,
	}
	pl := f.pl
	f.mu.Unlock()
	all := false
	if pl != nil {
		s.Position, all = pl.position()
		pl.describe(&s)
	}
	if !all {
		if err := f.stored(ctx, pl, &s); err != nil && s.Err == nil {
			s.Err = err
		}
	}
	s.Source = f.r.hub.failing()
	s.Unknown = f.r.hub.counter.counts()
	if s.Position < head {
		s.Lag = uint64(head - s.Position)
		s.LagSeconds = f.oldestUnapplied(ctx, s.Position)
	}
	return s
}

// describe fills in what the lanes here know.
func (pl *pipeline) describe(s *Status) {
	s.Events = pl.events.Load()
	var hits, misses int64
	for _, l := range pl.here() {
		s.Partitions = append(s.Partitions, l.index)
		s.Parked += l.parkedNow.Load()
		hits, misses = hits+l.hits.Load(), misses+l.misses.Load()
		s.CacheSize += int(l.kept.Load())
	}
	if hits+misses > 0 {
		s.CacheHits = float64(hits) / float64(hits+misses)
	}
	st := &pl.stats
	if s.Commits = st.commits.Load(); s.Commits > 0 {
		s.BatchSize = float64(st.events.Load()) / float64(s.Commits)
		s.Writes = float64(st.changes.Load()) / float64(s.Commits)
		s.CommitTime = time.Duration(st.seconds.Load() / s.Commits)
	}
}

// stored fills in what the view store knows of partitions that are worked at
// elsewhere, or nowhere.
func (f *follower) stored(ctx context.Context, pl *pipeline, s *Status) error {
	v, err := f.p.store.Active(ctx, f.p.name)
	if err != nil {
		return err
	}
	s.Version = v.Number
	checkpoints, err := f.p.store.Checkpoints(ctx, f.p.name, v.Number)
	if err != nil || len(checkpoints) == 0 {
		return err
	}
	low := s.Head
	for i, ck := range checkpoints {
		p := ck.Position
		if pl != nil && pl.version.Number == v.Number {
			here, _, _ := pl.own.at(func(int) int { return i })
			p = max(p, here)
		}
		low = min(low, p)
	}
	s.Position = low
	return nil
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
	from := f.st
	if f.st != StateFailed || s == StateStopped {
		f.st = s
	}
	to := f.st
	f.mu.Unlock()
	if hook := f.r.opts.Hooks.State; hook != nil && from != to {
		hook(f.p.name, from, to)
	}
}

func (f *follower) state() (State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.st, f.err
}

// note remembers a transient error.
func (f *follower) note(err error) {
	f.mu.Lock()
	f.err, f.errAt = err, time.Now()
	f.retries++
	f.mu.Unlock()
	if hook := f.r.opts.Hooks.Error; hook != nil {
		hook(f.p.name, err)
	}
}

func (f *follower) fail(err error) {
	f.mu.Lock()
	f.err, f.errAt = err, time.Now()
	f.mu.Unlock()
	f.set(StateFailed)
	if hook := f.r.opts.Hooks.Error; hook != nil {
		hook(f.p.name, err)
	}
}

func (f *follower) sample(pl *pipeline, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.speed.sample(pl.events.Load(), now)
}
