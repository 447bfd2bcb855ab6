package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// RebuildOptions configure [Runner.Rebuild]. The zero value is ready to use.
type RebuildOptions struct {
	// Progress is called a few times a second, and once at the end, by the
	// goroutine that called Rebuild.
	Progress func(Progress)
	// Verify is called when the new version is level and before it is made
	// active; both versions can be read through the view store then. An error
	// keeps the old version active and the new one for another try. Whatever it
	// says, a new version is only made active when what is stored of it has
	// passed what is stored of the old one.
	Verify func(ctx context.Context, c RebuildCheck) error
}

// RebuildCheck is what there is to verify.
type RebuildCheck struct {
	View     string
	Old, New VersionInfo // Old.Number is 0 for a first build
	Events   int64       // applied by this call
	Parked   int64       // events that are parked in the new version
}

// Progress says how far a rebuild is.
type Progress struct {
	View     string              `json:"view"`
	Version  int                 `json:"version"`  // that is being filled
	Events   int64               `json:"events"`   // applied so far by this call
	Position eventstore.Position `json:"position"` // up to which all partitions are filled
	Head     eventstore.Position `json:"head"`     // last of the event store
	Share    float64             `json:"share"`    // Position by Head, 0 to 1; of events, where positions have no gaps
	Rate     float64             `json:"rate"`     // events per second
	ETA      time.Duration       `json:"eta"`      // nanoseconds until it is level; 0 while that cannot be told
}

// RebuildResult says what a rebuild did.
type RebuildResult struct {
	View       string        `json:"view"`
	OldVersion int           `json:"old_version"` // still there, see [ViewStore.DropVersion]
	NewVersion int           `json:"new_version"` // active now
	Events     int64         `json:"events"`
	Duration   time.Duration `json:"duration"` // nanoseconds
}

// Rebuild fills a new version of a view from the first event, while the old
// one goes on to be read and followed. When it is level the new version is
// made active in one step. Readers never see a view that is half built.
//
// A rebuild that was interrupted goes on where it stopped when it is asked for
// again. The version that was active before is kept, so that going back is one
// call of [ViewStore.Activate]; versions older than that are dropped. Only one
// process rebuilds a view at a time; another gets [ErrRunning]. A view that
// was never built is built. The runner need not be running.
func (r *Runner) Rebuild(ctx context.Context, view string, opts *RebuildOptions) (RebuildResult, error) {
	if r.invalid != nil {
		return RebuildResult{}, r.invalid
	}
	f, err := r.follower(view)
	if err != nil {
		return RebuildResult{}, err
	}
	var o RebuildOptions
	if opts != nil {
		o = *opts
	}
	if err := f.refuseReactor("rebuild"); err != nil {
		return RebuildResult{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !f.beginRebuild(cancel) {
		return RebuildResult{}, fmt.Errorf("rebuild of view %q: %w", view, ErrRunning)
	}
	defer f.endRebuild()
	result, err := f.rebuildView(ctx, o)
	if err != nil {
		return result, fmt.Errorf("rebuild of view %q: %w", view, err)
	}
	return result, nil
}

// CancelRebuild ends the rebuild of a view that this runner is at; what is
// filled stays, and the next rebuild goes on from there. It returns
// [ErrNotRunning] if there is none.
func (r *Runner) CancelRebuild(view string) error {
	f, err := r.follower(view)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rebuildOn == nil {
		return fmt.Errorf("cancel the rebuild of view %q: %w", view, ErrNotRunning)
	}
	f.rebuildOn()
	return nil
}

func (f *follower) rebuildView(ctx context.Context, o RebuildOptions) (RebuildResult, error) {
	start := time.Now()
	b := &rebuilding{f: f, opts: o, resume: func() {}}
	defer func() { b.resume() }() // following goes on last of all, when the filling has let go
	old, err := f.p.store.Active(ctx, f.p.name)
	if err != nil && !errors.Is(err, ErrNotBuilt) {
		return RebuildResult{}, err
	}
	if err != nil || old.Definition != f.p.definition { // what is built now is what would be built here
		if err := b.hold(ctx); err != nil {
			return RebuildResult{}, err
		}
	}
	b.old = old
	v, err := f.toFill(ctx, old.Number)
	if err != nil {
		return RebuildResult{}, err
	}
	store, opts := f.p.store, &f.r.opts
	holders, err := store.Lease(ctx, f.p.name, opts.Owner, opts.LeaseTTL, allLeases(v)...)
	if err != nil {
		return RebuildResult{}, err
	}
	defer release(ctx, store, f.p.name, opts.Owner, allLeases(v))
	if holders[0] != opts.Owner {
		return RebuildResult{}, fmt.Errorf("%w: %s is at it", ErrRunning, holders[0])
	}
	if err := f.stillActive(ctx, old.Number, v.Number); err != nil {
		return RebuildResult{}, err
	}
	b.pl = f.newPipeline(v, true)
	err = b.run(ctx)
	return RebuildResult{
		View: f.p.name, OldVersion: old.Number, NewVersion: v.Number,
		Events: b.pl.events.Load(), Duration: time.Since(start),
	}, err
}

// stillActive returns an error when another process has rebuilt the view
// between a look at its active version and the lease of the next one, which is
// dropped then: it would be compared with the wrong version.
func (f *follower) stillActive(ctx context.Context, old, next int) error {
	now, err := f.p.store.Active(ctx, f.p.name)
	if errors.Is(err, ErrNotBuilt) {
		err = nil
	}
	if err != nil || now.Number == old {
		return err
	}
	if next > now.Number {
		err = f.p.store.DropVersion(ctx, f.p.name, next)
	}
	return errors.Join(fmt.Errorf("%w: version %d has just become active; ask again to rebuild that", ErrRunning, now.Number), err)
}

// toFill returns the version to fill, after making room for it.
func (f *follower) toFill(ctx context.Context, active int) (VersionInfo, error) {
	v, err := f.p.nextVersion(ctx, f.p.newVersion(&f.r.opts))
	if err != nil {
		return VersionInfo{}, err
	}
	return v, f.dropOld(ctx, active, v.Number)
}

// dropOld removes the versions below next, but for the one to keep.
func (f *follower) dropOld(ctx context.Context, keep, next int) error {
	versions, err := f.p.store.Versions(ctx, f.p.name)
	if err != nil {
		return err
	}
	for _, v := range versions {
		if v.Active || v.Number == keep || v.Number >= next {
			continue
		}
		if err := f.p.store.DropVersion(ctx, f.p.name, v.Number); err != nil {
			return err
		}
	}
	return nil
}

// passOld waits until the new version is as far as the old one, which other
// processes may follow: each look takes the old one's partitions from them, and
// it returns after one that found nothing more.
func (f *follower) passOld(ctx context.Context, pl *pipeline, old int) error {
	for old != 0 {
		furthest, err := f.fence(ctx, old)
		if err != nil {
			return err
		}
		have, all, changed := pl.own.lowest()
		if have >= furthest {
			return nil
		}
		for have < furthest {
			if !all {
				return errors.New("filling stopped before it had passed the old version")
			}
			if err := pause(ctx, changed, idlePoll); err != nil {
				return err
			}
			have, all, changed = pl.own.lowest()
		}
	}
	return nil
}

// fence takes all partitions of a version over and returns how far it is.
func (f *follower) fence(ctx context.Context, version int) (furthest eventstore.Position, err error) {
	checkpoints, err := f.p.store.Checkpoints(ctx, f.p.name, version)
	for i := 0; err == nil && i < len(checkpoints); i++ {
		var s Session
		if s, err = f.p.store.Acquire(ctx, f.p.name, version, i); err == nil {
			furthest = max(furthest, s.Checkpoint().Position)
			_ = s.Close() // it has done its work
		}
	}
	return furthest, err
}

func (f *follower) beginRebuild(cancel func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rebuildOn != nil {
		return false
	}
	f.rebuildOn = cancel
	return true
}

func (f *follower) endRebuild() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rebuildOn, f.rebuild = nil, nil
}
