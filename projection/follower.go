package projection

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// follower keeps one view level, for one runner.
type follower struct {
	r        *Runner
	p        *Projection
	decoders []*decoder
	spawn    func(func(context.Context)) // starts what ends with run; run's and what it calls
	poke     chan struct{}               // has one when the follower should look up at once
	begins   beginning                   // of a reactor

	mu        sync.Mutex
	st        State
	version   VersionInfo
	pl        *pipeline     // while one runs
	stop      func()        // ends what once does
	stopped   chan struct{} // closed when that has ended
	holds     int           // while above 0 no pipeline is started
	released  chan struct{} // closed when holds changes
	opened    bool          // the hub knows where it begins
	err       error
	errAt     time.Time
	retries   int
	speed     rate
	rebuild   *Progress
	rebuildOn func() // cancels the rebuild under way; nil without one
	careful   bool   // for pipelines to come
}

var errSwitched = errors.New("another version was made active")

func newFollower(r *Runner, p *Projection) *follower {
	return &follower{r: r, p: p, st: StateStopped, released: make(chan struct{}), poke: make(chan struct{}, 1)}
}

// maxBackoff is the longest pause between two tries.
const maxBackoff = 5 * time.Second

// backoffAfter is the pause after so many failures in a row: first, and then
// twice the one before, up to maxBackoff.
func backoffAfter(first time.Duration, failures int) time.Duration {
	d := first
	for ; failures > 1 && d < maxBackoff; failures-- {
		d = min(2*d, maxBackoff)
	}
	return d
}

// jitter keeps those that failed together from trying again together.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

func (f *follower) run(ctx context.Context) error {
	log := f.r.opts.Logger.With("view", f.p.name)
	backoff := f.r.opts.Backoff
	f.mu.Lock()
	f.opened = false
	f.mu.Unlock()
	defer f.known()
	var wg sync.WaitGroup
	defer wg.Wait()
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	f.spawn = func(do func(context.Context)) { wg.Go(func() { do(work) }) }
	f.set(StateStopped) // a failure of an earlier Run is over
	for ctx.Err() == nil {
		well, err := f.once(ctx)
		switch {
		case ctx.Err() != nil:
			return f.leave(ctx)
		case err == nil:
			continue
		case fatal(err):
			f.fail(err)
			f.tell(ctx, failureTTL)
			log.Error("projection stopped", "error", err)
			return fmt.Errorf("projection %q: %w", f.p.name, err)
		}
		f.known()
		f.note(err)
		f.set(StateRetrying)
		f.heed(err)
		f.tell(ctx, max(f.r.opts.LeaseTTL, 2*maxBackoff))
		log.Warn("projection tries again", "error", err)
		if well {
			backoff = f.r.opts.Backoff
		}
		_ = pause(ctx, nil, jitter(backoff))
		backoff = min(2*backoff, maxBackoff)
	}
	return f.leave(ctx)
}

// leave takes the status away. While the view is followed or waited for there
// is always one, so that nobody thinks that it has no application.
func (f *follower) leave(ctx context.Context) error {
	f.set(StateStopped)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellTime)
	defer cancel()
	_ = f.p.store.PutNote(ctx, f.p.name, statusNote+f.r.opts.Owner, nil, 0) // it expires anyway
	return nil
}

// known tells the hub once in a Run that this view has said where it begins.
func (f *follower) known() {
	f.mu.Lock()
	first := !f.opened
	f.opened = true
	f.mu.Unlock()
	if first {
		f.r.hub.open(1)
	}
}

// heed has the next pipeline look at each document, if one could not be
// encoded, so that the event behind it is parked instead of its whole batch
// failing for ever. It reports whether that is new.
func (f *follower) heed(err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !errors.Is(err, errEncode) || f.careful {
		return false
	}
	f.careful = true
	return true
}

func (f *follower) newPipeline(v VersionInfo, replay bool) *pipeline {
	pl := newPipeline(f.p, f.r.store, &f.r.opts, f.decoders, v, replay)
	pl.trouble = f.note
	f.mu.Lock()
	defer f.mu.Unlock()
	pl.careful.Store(f.careful)
	return pl
}

// fatal reports whether trying again cannot help.
func fatal(err error) bool {
	for _, target := range []error{
		ErrTooManyParked, ErrDefinitionChanged, ErrOtherStore, ErrDamaged, errUnknownType, eventstore.ErrClosed, eventstore.ErrCorrupt,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// once follows the view for as long as that goes without an error, a switch of
// versions or a hold. It returns a nil error to be called again, and whether it
// had worked.
func (f *follower) once(ctx context.Context) (well bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if !f.mayStart(ctx, func() { cancel(errSwitched) }) {
		return false, nil
	}
	defer f.ended() // last of all, because a hold waits for it
	well, err = f.follow(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errSwitched) && !fatal(err) {
		return well, nil
	}
	return well, err
}

func (f *follower) follow(ctx context.Context) (well bool, err error) {
	if f.p.reactor != nil {
		_ = f.decide(ctx) // if that fails it is tried again, and shows, when it is needed
	}
	if waits, err := f.waitWhilePaused(ctx); waits || err != nil {
		return false, err
	}
	v, active, err := f.pick(ctx)
	if err != nil {
		return false, err
	}
	pl := f.newPipeline(v, !active)
	s := &stretch{f: f, pl: pl, crew: newCrew(pl), active: active, held: make(map[int]bool), retry: make(map[int]*again)}
	err = s.run(ctx)
	return s.well, err
}

// mayStart waits while the view is held, and notes what a hold has to stop.
func (f *follower) mayStart(ctx context.Context, stop func()) bool {
	for {
		f.mu.Lock()
		free, released := f.holds == 0, f.released
		if free {
			f.stop, f.stopped = stop, make(chan struct{})
		}
		f.mu.Unlock()
		if free {
			return true
		}
		f.known()
		if pause(ctx, released, 0) != nil {
			return false
		}
	}
}

func (f *follower) ended() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.stopped)
	f.pl, f.stop = nil, nil
}

// hold stops following until the returned function is called. If what is under
// way does not end before ctx is done it is not held, but ends nevertheless.
func (f *follower) hold(ctx context.Context) (resume func(), err error) {
	f.mu.Lock()
	f.holds++
	stop, stopped := f.stop, f.stopped
	f.mu.Unlock()
	resume = func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.holds--
		close(f.released)
		f.released = make(chan struct{})
	}
	if stop == nil {
		return resume, nil
	}
	stop()
	if err := pause(ctx, stopped, 0); err != nil {
		resume()
		return nil, fmt.Errorf("%q has not stopped here yet: %w", f.p.name, err)
	}
	return resume, nil
}

func (f *follower) current() *pipeline {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pl
}

func (f *follower) feeds() []*feed {
	feeds := make([]*feed, len(f.p.targets))
	for i, t := range f.p.targets {
		feeds[i] = &t.base().feed
	}
	return feeds
}
