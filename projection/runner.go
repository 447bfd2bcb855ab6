package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/foldstream/foldstream/eventstore"
)

// A Runner keeps views level with an event store. It reads the events once for
// all its projections, so a process needs one runner for a store.
//
// Several runners, in one process or many, may be given the same projections:
// they share the partitions of each view evenly, and take over within
// [Options.LeaseTTL] what one that has stopped, died or hangs leaves. A version
// that is built for the first time is built by one of them. It is safe for
// concurrent use.
type Runner struct {
	store     eventstore.Store
	opts      Options
	invalid   error // of the options, told by Run
	followers []*follower
	hub       *hub
	running   atomic.Bool
}

// NewRunner returns a runner of projections over a store. A nil opts means the
// defaults. It panics if two projections have the same name.
func NewRunner(store eventstore.Store, opts *Options, projections ...*Projection) *Runner {
	r := &Runner{store: store}
	r.opts, r.invalid = opts.withDefaults()
	seen := make(map[string]bool)
	for _, p := range projections {
		if seen[p.name] {
			panic(fmt.Sprintf("projection %q is given twice", p.name))
		}
		seen[p.name] = true
		r.followers = append(r.followers, newFollower(r, p))
	}
	var ds decoders
	for _, f := range r.followers {
		f.decoders = ds.of(f.p)
	}
	r.hub = newHub(store, &r.opts, projections)
	return r
}

// Run applies events to the views until ctx is done, and then returns nil,
// with everything that was handled committed. A view that meets a transient
// error tries again by itself; one that cannot go on, see [Status.Err], stops
// while the others go on. Run returns when all have stopped, with the errors
// of those that failed. A second Run at the same time returns [ErrRunning].
// Every goroutine that it starts ends before it returns.
func (r *Runner) Run(ctx context.Context) error {
	if r.invalid != nil {
		return r.invalid
	}
	if !r.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer r.running.Store(false)
	errs := make([]error, len(r.followers))
	r.hub.run(ctx, len(r.followers), func() {
		var wg sync.WaitGroup
		for i, f := range r.followers {
			wg.Go(func() { errs[i] = f.run(ctx) })
		}
		wg.Wait()
	})
	return errors.Join(errs...)
}

// Views returns the names of the views, as they were given.
func (r *Runner) Views() []string {
	names := make([]string, len(r.followers))
	for i, f := range r.followers {
		names[i] = f.p.name
	}
	return names
}

func (r *Runner) follower(view string) (*follower, error) {
	for _, f := range r.followers {
		if f.p.name == view {
			return f, nil
		}
	}
	return nil, fmt.Errorf("%w: %q; there are %q", ErrNoView, view, r.Views())
}

// WaitLevel waits until the given views, all without any, can be read and have
// reached the position that is the last of the event store now. Run must be
// running or be about to. It returns the error of a view that cannot go on, and
// the context's error, in an [*eventstore.NotCaughtUpError], when ctx is done
// before.
func (r *Runner) WaitLevel(ctx context.Context, views ...string) error {
	head, err := r.store.Head(ctx)
	if err != nil {
		return err
	}
	if len(views) == 0 {
		views = r.Views()
	}
	for _, view := range views {
		f, err := r.follower(view)
		if err != nil {
			return err
		}
		if err := f.waitLevel(ctx, head); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) waitLevel(ctx context.Context, head eventstore.Position) error {
	t := f.p.targets[0].base()
	for {
		have, here, changed := t.feed.lowest()
		st, err := f.state()
		if st == StateFailed {
			return err
		}
		if have >= head && here && st == StateLive {
			return nil
		}
		if !here && st != StateStopped { // others work at it, and store how far they are
			if stored, err := t.lowestCheckpoint(ctx); err == nil && stored >= head {
				return nil
			}
		}
		if err := pause(ctx, changed, maxPoll); err != nil {
			return &eventstore.NotCaughtUpError{View: f.p.name, Want: head, Have: have, Err: err}
		}
	}
}
