package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// rebuilding is one call of [Runner.Rebuild].
type rebuilding struct {
	f      *follower
	pl     *pipeline
	crew   *crew
	hub    *hub
	old    VersionInfo
	opts   RebuildOptions
	resume func() // ends the holds of the view
	start  eventstore.Position
	speed  rate
	tries  map[int]int // of partitions, since they last moved
}

// rebuildTries is how often a partition may fail in a row, with pauses that
// double, before the rebuild gives up. It can be asked for again.
const rebuildTries = 8

// run fills the new version, with a reader of its own, and makes it active.
func (b *rebuilding) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.crew, b.tries = newCrew(b.pl), make(map[int]int)
	b.hub = newHub(b.f.r.store, &b.f.r.opts, []*Projection{b.f.p})
	b.hub.run(ctx, 0, func() {
		defer b.crew.wait()
		defer cancel()
		all := make([]int, b.pl.version.Partitions)
		for i := range all {
			all[i] = i
		}
		if err = b.open(ctx, all); err == nil {
			err = b.fill(ctx)
		}
	})
	return err
}

// open takes partitions over and starts to fill them.
func (b *rebuilding) open(ctx context.Context, partitions []int) error {
	lanes, failed := b.crew.open(ctx, partitions)
	for _, err := range failed {
		closeAll(lanes)
		return err
	}
	if err := belongs(ctx, b.f, b.pl, lanes); err != nil {
		closeAll(lanes)
		return err
	}
	for i, l := range lanes {
		if i == 0 || l.start < b.start {
			b.start = l.start
		}
	}
	b.crew.start(ctx, lanes)
	b.hub.attach(ctx, lanes)
	return nil
}

// fill waits until the new version is active.
func (b *rebuilding) fill(ctx context.Context) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	b.speed.sample(0, time.Now())
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-b.crew.ended:
			if e.err == nil {
				continue // ctx is done
			}
			if err := b.again(ctx, e); err != nil {
				return err
			}
		case now := <-tick.C:
			if err := b.progress(ctx, now); err != nil {
				return err
			}
		case <-b.pl.level:
			if err := b.hold(ctx); err != nil {
				return err
			}
			return b.switchOver(ctx)
		}
	}
}

// hold holds the view until the rebuild ends.
func (b *rebuilding) hold(ctx context.Context) error {
	held, err := b.f.hold(ctx)
	if err != nil {
		return err
	}
	first := b.resume
	b.resume = func() { held(); first() }
	return nil
}

// again tries a partition once more that has failed.
func (b *rebuilding) again(ctx context.Context, e ending) error {
	f, p := b.f, e.lane.index
	if e.lane.flight.applied > e.lane.start {
		b.tries[p] = 0 // it had moved
	}
	if b.tries[p]++; fatal(e.err) || b.tries[p] > rebuildTries {
		return e.err
	}
	if errors.Is(e.err, ErrFenced) {
		if err := b.keepLease(ctx); err != nil {
			return err
		}
	}
	f.note(e.err)
	if f.heed(e.err) {
		b.pl.careful.Store(true)
	}
	f.r.opts.Logger.Warn("rebuild tries a partition again", "view", f.p.name, "partition", p, "error", e.err)
	if err := pause(ctx, nil, jitter(backoffAfter(f.r.opts.Backoff, b.tries[p]))); err != nil {
		return err
	}
	if err := b.open(ctx, []int{p}); err != nil {
		return errors.Join(e.err, err)
	}
	return nil
}

func (b *rebuilding) keepLease(ctx context.Context) error {
	opts := &b.f.r.opts
	holders, err := b.f.p.store.Lease(ctx, b.f.p.name, opts.Owner, opts.LeaseTTL, allLeases(b.pl.version)...)
	if err == nil && holders[0] != opts.Owner {
		return fmt.Errorf("lease went to %s: %w", holders[0], ErrFenced)
	}
	return nil // a store that does not answer shows in the next commit
}

// switchOver makes the new version active. The view is held, so that a reader
// who has seen a position in the old version never finds less in the new one.
func (b *rebuilding) switchOver(ctx context.Context) error {
	f, pl := b.f, b.pl
	if err := f.passOld(ctx, pl, b.old.Number); err != nil {
		return err
	}
	if err := b.verify(ctx); err != nil {
		return err
	}
	if err := f.p.store.Activate(ctx, f.p.name, pl.version.Number); err != nil {
		return err
	}
	pl.attach(f.feeds())
	defer pl.detach()
	f.r.opts.Logger.Info("view rebuilt", "view", f.p.name, "version", pl.version.Number, "events", pl.events.Load())
	return b.progress(ctx, time.Now())
}

// verify holds what is stored of the new version against what is stored of the
// old one, and asks the user.
func (b *rebuilding) verify(ctx context.Context) error {
	f, pl := b.f, b.pl
	var furthest eventstore.Position
	if b.old.Number > 0 {
		checkpoints, err := f.p.store.Checkpoints(ctx, f.p.name, b.old.Number)
		if err != nil {
			return err
		}
		for _, ck := range checkpoints {
			furthest = max(furthest, ck.Position)
		}
	}
	if err := b.storedUpTo(ctx, furthest); err != nil {
		return err
	}
	if b.opts.Verify == nil {
		return nil
	}
	c := RebuildCheck{View: f.p.name, Old: b.old, New: pl.version, Events: pl.events.Load()}
	for _, l := range pl.here() {
		c.Parked += l.parkedNow.Load()
	}
	if err := b.opts.Verify(ctx, c); err != nil {
		return fmt.Errorf("version %d was not accepted: %w", pl.version.Number, err)
	}
	return nil
}

// storedUpTo waits until all stored checkpoints of the new version have
// reached p. Idle partitions store theirs now and then only.
func (b *rebuilding) storedUpTo(ctx context.Context, p eventstore.Position) error {
	f, pl := b.f, b.pl
	for wait := minPoll; ; wait = min(2*wait, maxPoll) {
		checkpoints, err := f.p.store.Checkpoints(ctx, f.p.name, pl.version.Number)
		if err != nil {
			return err
		}
		low := p
		for _, ck := range checkpoints {
			low = min(low, ck.Position)
		}
		if low >= p {
			return nil
		}
		for _, l := range pl.here() { // it is nothing but the checkpoint that is missing
			if err := l.ask(ctx, func(ctx context.Context, l *lane) (error, error) { return nil, l.settle(ctx) }); err != nil {
				return err
			}
		}
		if err := pause(ctx, nil, wait); err != nil {
			return err
		}
	}
}

func (b *rebuilding) progress(ctx context.Context, now time.Time) error {
	f, pl := b.f, b.pl
	if err := b.keepLease(ctx); err != nil {
		return err
	}
	_, _ = pl.compare(ctx) // a store that does not answer shows in the next commit
	head, err := f.r.store.Head(ctx)
	if err != nil {
		if fatal(err) {
			return err
		}
		return nil // the source is away for a moment; its reader tells
	}
	p := Progress{View: f.p.name, Version: pl.version.Number, Events: pl.events.Load(), Head: head}
	p.Position, _ = pl.position()
	p.Rate = b.speed.sample(p.Events, now)
	p.Share = 1
	if head > p.Position {
		p.Share = float64(p.Position) / float64(head)
		if done := p.Position - min(p.Position, b.start); done > 0 && p.Rate > 0 && p.Events > 0 {
			perEvent := float64(done) / float64(p.Events) // positions
			p.ETA = time.Duration(float64(head-p.Position) / perEvent / p.Rate * float64(time.Second))
		}
	}
	f.mu.Lock()
	f.rebuild = &p
	f.mu.Unlock()
	if b.opts.Progress != nil {
		b.opts.Progress(p)
	}
	return nil
}
