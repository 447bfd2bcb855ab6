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
	r *Runner
	p *Projection

	mu        sync.Mutex
	st        State
	version   VersionInfo
	pl        *pipeline     // while one runs
	stop      func()        // ends what once does
	stopped   chan struct{} // closed when that has ended
	holds     int           // while above 0 no pipeline is started
	released  chan struct{} // closed when holds changes
	err       error
	errAt     time.Time
	retries   int
	speed     rate
	rebuild   *Progress
	rebuildOn bool
	careful   bool // for pipelines to come
}

var errSwitched = errors.New("another version was made active")

func newFollower(r *Runner, p *Projection) *follower {
	return &follower{r: r, p: p, st: StateStopped, released: make(chan struct{})}
}

func (f *follower) run(ctx context.Context) error {
	log := f.r.opts.Logger.With("view", f.p.name)
	backoff := f.r.opts.Backoff
	f.set(StateStopped) // a failure of an earlier Run is over
	for ctx.Err() == nil {
		started := time.Now()
		err := f.once(ctx)
		switch {
		case ctx.Err() != nil:
			f.set(StateStopped)
			return nil //nolint:nilerr // it was ended by its caller, it did not fail
		case err == nil:
			continue
		case fatal(err):
			f.fail(err)
			log.Error("projection stopped", "error", err)
			return fmt.Errorf("projection %q: %w", f.p.name, err)
		}
		f.note(err)
		f.heed(err)
		log.Warn("projection tries again", "error", err)
		if time.Since(started) > 10*backoff {
			backoff = f.r.opts.Backoff // it had worked for a while
		}
		_ = pause(ctx, nil, backoff/2+rand.N(backoff/2+1))
		backoff = min(2*backoff, 5*time.Second)
	}
	f.set(StateStopped)
	return nil
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
	pl := newPipeline(f.p, f.r.store, &f.r.opts, v, replay)
	f.mu.Lock()
	defer f.mu.Unlock()
	pl.careful = f.careful
	return pl
}

// fatal reports whether trying again cannot help.
func fatal(err error) bool {
	return errors.Is(err, ErrTooManyParked) || errors.Is(err, ErrDefinitionChanged) || errors.Is(err, ErrOtherStore) || errors.Is(err, ErrDamaged) ||
		errors.Is(err, eventstore.ErrClosed) || errors.Is(err, eventstore.ErrCorrupt)
}

// once follows the view for as long as that goes without an error, a switch of
// versions or a hold. It returns nil to be called again.
func (f *follower) once(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if !f.mayStart(ctx, func() { cancel(errSwitched) }) {
		return nil
	}
	defer f.ended() // last of all, because a hold waits for it
	err := f.follow(ctx, cancel)
	if err != nil && errors.Is(context.Cause(ctx), errSwitched) && !fatal(err) {
		return nil
	}
	return err
}

func (f *follower) follow(ctx context.Context, cancel context.CancelCauseFunc) error {
	v, active, err := f.pick(ctx)
	if err != nil {
		return err
	}
	store, opts := f.p.store, &f.r.opts
	holder, err := lease(ctx, store, f.p.name, leaseName(v.Number), opts)
	if err != nil {
		return err
	}
	if holder != opts.Owner {
		f.set(StateStandby)
		_ = pause(ctx, nil, opts.LeaseTTL/3)
		return nil
	}
	defer release(ctx, store, f.p.name, leaseName(v.Number), opts.Owner)
	pl := f.newPipeline(v, !active)
	if err := pl.open(ctx); err != nil {
		return err
	}
	if err := f.belongs(ctx, pl); err != nil {
		pl.close()
		return err
	}
	return f.drive(ctx, cancel, pl, active)
}

// belongs refuses a view that has seen more than the event store holds: it was
// built from another store, or the store has lost events.
func (f *follower) belongs(ctx context.Context, pl *pipeline) error {
	head, err := f.r.store.Head(ctx)
	if err != nil {
		return err
	}
	for i, p := range pl.start {
		if p > head {
			return fmt.Errorf("%w: partition %d of view %q, version %d, is at position %d, the event store ends at %d; give the view store another prefix, or drop the view",
				ErrOtherStore, i, f.p.name, pl.version.Number, p, head)
		}
	}
	return nil
}

func leaseName(version int) string { return fmt.Sprintf("v%d", version) }

// release gives a lease up even when ctx is done, so that another process need
// not wait for it to expire.
func release(ctx context.Context, store ViewStore, view, name, owner string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = store.Release(ctx, view, owner, name) // it expires anyway
}

// lease takes or prolongs one lease and returns its holder.
func lease(ctx context.Context, store ViewStore, view, name string, opts *Options) (string, error) {
	holders, err := store.Lease(ctx, view, opts.Owner, opts.LeaseTTL, name)
	if err != nil {
		return "", err
	}
	return holders[0], nil
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
		if pause(ctx, released, 0) != nil {
			return false
		}
	}
}

// pick chooses the version to work at: the active one, or a new one when there
// is none or its definition is another.
func (f *follower) pick(ctx context.Context) (v VersionInfo, active bool, err error) {
	v, err = f.p.store.Active(ctx, f.p.name)
	if err == nil && v.Definition == f.p.definition {
		return v, true, nil
	}
	if err != nil && !errors.Is(err, ErrNotBuilt) {
		return v, false, err
	}
	if err == nil && v.Definition > f.p.definition && !f.r.opts.StopOnNewDefinition {
		// This program is the older one. Two that replace each other's view would never end.
		return v, false, fmt.Errorf("view %q, version %d, was built by definition %d, which is newer than the program's %d; rebuild it to go back", f.p.name, v.Number, v.Definition, f.p.definition)
	}
	if err == nil && f.r.opts.StopOnNewDefinition {
		return v, false, fmt.Errorf("%w: view %q, version %d, was built by definition %d, the program has %d; rebuild it",
			ErrDefinitionChanged, f.p.name, v.Number, v.Definition, f.p.definition)
	}
	v, err = f.p.nextVersion(ctx, &f.r.opts)
	return v, false, err
}

// nextVersion returns the version that is being built, which is made if there
// is none.
func (p *Projection) nextVersion(ctx context.Context, opts *Options) (VersionInfo, error) {
	taken := 0 // highest number that was refused: just made by another process, or being dropped
	for {
		v, err := p.tryNextVersion(ctx, opts, taken)
		if !errors.Is(err, ErrVersionExists) {
			return v, err
		}
		taken = v.Number
	}
}

func (p *Projection) tryNextVersion(ctx context.Context, opts *Options, taken int) (VersionInfo, error) {
	versions, err := p.store.Versions(ctx, p.name)
	if err != nil {
		return VersionInfo{}, err
	}
	next := VersionInfo{Number: taken + 1, Partitions: opts.Partitions, Definition: p.definition, Created: time.Now().UTC()}
	active := 0
	for _, v := range versions {
		if v.Active {
			active = v.Number
		}
		next.Number = max(next.Number, v.Number+1)
	}
	if n := len(versions); n > 0 {
		last := versions[n-1]
		if last.Number > active && last.Definition == p.definition && !last.Built {
			return last, nil // goes on where it stopped
		}
	}
	return next, p.store.CreateVersion(ctx, p.name, next)
}

// drive runs an open pipeline and keeps its lease.
func (f *follower) drive(ctx context.Context, cancel context.CancelCauseFunc, pl *pipeline, active bool) error {
	f.started(pl)
	if active {
		pl.attach(f.feeds())
		f.set(StateLive)
	} else {
		f.set(StateBuilding)
	}
	f.r.opts.Logger.Info("projection started", "view", f.p.name, "version", pl.version.Number, "active", active, "position", uint64(pl.position()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := f.maintain(ctx, pl, active); err != nil {
			cancel(err)
		}
	})
	err := pl.run(ctx)
	cancel(nil)
	wg.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	if errors.Is(err, errSwitched) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// maintain prolongs the lease, makes a built version active, and notices when
// another was made active elsewhere.
func (f *follower) maintain(ctx context.Context, pl *pipeline, active bool) error {
	opts, store := &f.r.opts, f.p.store
	tick := time.NewTicker(min(opts.LeaseTTL/3, time.Second))
	defer tick.Stop()
	level := pl.level
	if active {
		level = nil
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-level:
			if err := f.activate(ctx, pl); err != nil {
				return err
			}
			level, active = nil, true
		case now := <-tick.C:
			f.sample(pl, now)
			holder, err := lease(ctx, store, f.p.name, leaseName(pl.version.Number), opts)
			if err == nil && holder != opts.Owner {
				return fmt.Errorf("lease went to %s: %w", holder, ErrFenced)
			}
			if v, err := store.Active(ctx, f.p.name); active && err == nil && v.Number != pl.version.Number {
				return errSwitched
			}
			// a store that does not answer shows in the next commit
		}
	}
}

// activate makes a version active that was built because there was none, or
// one of another definition, which is kept to go back to.
func (f *follower) activate(ctx context.Context, pl *pipeline) error {
	old, err := f.p.store.Active(ctx, f.p.name)
	if err != nil && !errors.Is(err, ErrNotBuilt) {
		return err
	}
	if err := f.passOld(ctx, pl, old.Number); err != nil {
		return err
	}
	if err := f.p.store.Activate(ctx, f.p.name, pl.version.Number); err != nil {
		return err
	}
	pl.attach(f.feeds())
	f.set(StateLive)
	if err := f.dropOld(ctx, old.Number, pl.version.Number); err != nil {
		f.r.opts.Logger.Warn("old versions are not dropped", "view", f.p.name, "error", err)
	}
	f.r.opts.Logger.Info("view built", "view", f.p.name, "version", pl.version.Number, "position", uint64(pl.position()))
	return nil
}

func (f *follower) feeds() []*feed {
	feeds := make([]*feed, len(f.p.targets))
	for i, t := range f.p.targets {
		feeds[i] = &t.base().feed
	}
	return feeds
}

func (f *follower) started(pl *pipeline) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pl, f.version = pl, pl.version
}

func (f *follower) ended() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.stopped)
	f.pl, f.stop = nil, nil
}

// hold stops following until the returned function is called.
func (f *follower) hold() (resume func()) {
	f.mu.Lock()
	f.holds++
	stop, stopped := f.stop, f.stopped
	f.mu.Unlock()
	if stop != nil {
		stop()
		<-stopped
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.holds--
		close(f.released)
		f.released = make(chan struct{})
	}
}

func (f *follower) current() *pipeline {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pl
}
