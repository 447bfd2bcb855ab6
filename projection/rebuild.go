package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// RebuildOptions configure [Runner.Rebuild]. The zero value is ready to use.
type RebuildOptions struct {
	// Progress is called a few times a second, and once at the end, by the
	// goroutine that called Rebuild.
	Progress func(Progress)
}

// Progress says how far a rebuild is.
type Progress struct {
	View     string
	Version  int                 // that is being filled
	Events   int64               // applied so far by this call
	Position eventstore.Position // up to which all partitions are filled
	Head     eventstore.Position // last of the event store
	Share    float64             // Position by Head, 0 to 1
	Rate     float64             // events per second
	ETA      time.Duration       // until it is level; 0 while that cannot be told
}

// RebuildResult says what a rebuild did.
type RebuildResult struct {
	View       string
	OldVersion int // still there, see [ViewStore.DropVersion]
	NewVersion int // active now
	Events     int64
	Duration   time.Duration
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
	if !f.beginRebuild() {
		return RebuildResult{}, fmt.Errorf("rebuild of view %q: %w", view, ErrRunning)
	}
	defer f.endRebuild()
	result, err := f.rebuildView(ctx, o)
	if f.heed(err) {
		result, err = f.rebuildView(ctx, o) // goes on where it stopped, with care
	}
	if err != nil {
		return result, fmt.Errorf("rebuild of view %q: %w", view, err)
	}
	return result, nil
}

func (f *follower) rebuildView(ctx context.Context, o RebuildOptions) (RebuildResult, error) {
	start := time.Now()
	resume := func() {} // following goes on last of all, when the filling has let go
	defer func() { resume() }()
	old, err := f.p.store.Active(ctx, f.p.name)
	if errors.Is(err, ErrNotBuilt) {
		resume = f.hold() // the first build is this one
	} else if err != nil {
		return RebuildResult{}, err
	} else if old.Definition != f.p.definition {
		resume = f.hold() // it may be building the very same version
	}
	v, err := f.toFill(ctx, old.Number)
	if err != nil {
		return RebuildResult{}, err
	}
	store, opts := f.p.store, &f.r.opts
	holder, err := lease(ctx, store, f.p.name, leaseName(v.Number), opts)
	if err != nil {
		return RebuildResult{}, err
	}
	if holder != opts.Owner {
		return RebuildResult{}, fmt.Errorf("%w: %s is at it", ErrRunning, holder)
	}
	defer release(ctx, store, f.p.name, leaseName(v.Number), opts.Owner)
	pl := f.newPipeline(v, true)
	if err := pl.open(ctx); err != nil {
		return RebuildResult{}, err
	}
	held, err := f.fill(ctx, pl, old.Number, o)
	if held != nil {
		first := resume
		resume = func() { held(); first() }
	}
	return RebuildResult{
		View: f.p.name, OldVersion: old.Number, NewVersion: v.Number,
		Events: pl.events.Load(), Duration: time.Since(start),
	}, err
}

// toFill returns the version to fill, after making room for it.
func (f *follower) toFill(ctx context.Context, active int) (VersionInfo, error) {
	v, err := f.p.nextVersion(ctx, &f.r.opts)
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

// fill runs the pipeline until the new version is active. It returns the
// function that ends the hold, if it came to hold the view.
func (f *follower) fill(ctx context.Context, pl *pipeline, old int, o RebuildOptions) (resume func(), err error) {
	runCtx, cancel := context.WithCancel(ctx)
	failed := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { failed <- pl.run(runCtx) })
	defer wg.Wait()
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var speed rate
	speed.sample(0, time.Now())
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case err := <-failed:
			if err == nil {
				err = ctx.Err()
			}
			return nil, err
		case now := <-tick.C:
			if err := f.progress(ctx, pl, &speed, now, o); err != nil {
				return nil, err
			}
		case <-pl.level:
			resume = f.hold()
			return resume, f.switchOver(ctx, pl, old, &speed, o)
		}
	}
}

// switchOver makes the new version active. The view is held, so that a reader
// who has seen a position in the old version never finds less in the new one.
func (f *follower) switchOver(ctx context.Context, pl *pipeline, old int, speed *rate, o RebuildOptions) error {
	if err := f.passOld(ctx, pl, old); err != nil {
		return err
	}
	if err := f.p.store.Activate(ctx, f.p.name, pl.version.Number); err != nil {
		return err
	}
	pl.attach(f.feeds())
	f.r.opts.Logger.Info("view rebuilt", "view", f.p.name, "version", pl.version.Number, "events", pl.events.Load())
	return f.progress(ctx, pl, speed, time.Now(), o)
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
		have, changed := pl.own.lowest()
		if have >= furthest {
			return nil
		}
		for have < furthest {
			select {
			case <-pl.ended:
				return errors.New("filling stopped before it had passed the old version")
			case <-ctx.Done():
				return ctx.Err()
			case <-changed:
			}
			have, changed = pl.own.lowest()
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

func (f *follower) progress(ctx context.Context, pl *pipeline, speed *rate, now time.Time, o RebuildOptions) error {
	opts := &f.r.opts
	holder, err := lease(ctx, f.p.store, f.p.name, leaseName(pl.version.Number), opts)
	if err == nil && holder != opts.Owner {
		return fmt.Errorf("lease went to %s: %w", holder, ErrFenced)
	}
	head, err := f.r.store.Head(ctx)
	if err != nil {
		return err
	}
	p := Progress{View: f.p.name, Version: pl.version.Number, Events: pl.events.Load(), Position: pl.position(), Head: head}
	p.Rate = speed.sample(p.Events, now)
	p.Share = 1
	if head > p.Position {
		p.Share = float64(p.Position) / float64(head)
		if done := p.Position - min(p.Position, minOf(pl.start)); done > 0 && p.Rate > 0 && p.Events > 0 {
			perEvent := float64(done) / float64(p.Events) // positions
			p.ETA = time.Duration(float64(head-p.Position) / perEvent / p.Rate * float64(time.Second))
		}
	}
	f.mu.Lock()
	f.rebuild = &p
	f.mu.Unlock()
	if o.Progress != nil {
		o.Progress(p)
	}
	return nil
}

func minOf(ps []eventstore.Position) eventstore.Position {
	low := ps[0]
	for _, p := range ps {
		low = min(low, p)
	}
	return low
}

func (f *follower) beginRebuild() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rebuildOn {
		return false
	}
	f.rebuildOn = true
	return true
}

func (f *follower) endRebuild() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rebuildOn, f.rebuild = false, nil
}
