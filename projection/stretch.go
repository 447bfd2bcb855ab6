package projection

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// stretch is the time for which a follower works at one version.
type stretch struct {
	f      *follower
	pl     *pipeline
	crew   *crew
	active bool           // the version is the one that is read
	well   bool           // it has once found nothing to complain about
	held   map[int]bool   // partitions whose leases this runner has
	retry  map[int]*again // partitions whose lanes have failed
}

// again says when a lane that failed is tried again.
type again struct {
	at      time.Time
	backoff time.Duration
}

// run follows the version until ctx is done, or another is made active, or
// something fails for good.
func (s *stretch) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.end(ctx, cancel)
	f := s.f
	f.mu.Lock()
	f.pl, f.version = s.pl, s.pl.version
	f.mu.Unlock()
	if s.active {
		s.pl.attach(f.feeds())
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		level := s.pl.level
		if s.active {
			level = nil
		}
		var err error
		select {
		case <-ctx.Done():
			return nil
		case e := <-s.crew.ended:
			err = s.laneEnded(e)
		case <-level:
			err = s.activate(ctx) // others shall see at once that it can be read
		case <-f.poke:
		case <-timer.C:
		}
		if err == nil {
			err = s.tick(ctx)
			f.known()
			timer.Reset(s.nextLook())
		}
		if errors.Is(err, errSwitched) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// end stops the lanes, with what they have folded committed, and gives up the
// leases.
func (s *stretch) end(ctx context.Context, cancel func()) {
	cancel()
	s.crew.wait()
	s.pl.detach()
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	opts, store := &s.f.r.opts, s.f.p.store
	_ = store.PutNote(ctx, s.f.p.name, memberNote+opts.Owner, nil, 0) // all of this expires anyway
	_ = store.Release(ctx, s.f.p.name, opts.Owner, s.leases()...)
}

func (s *stretch) nextLook() time.Duration {
	next := min(s.f.r.opts.LeaseTTL/3, time.Second)
	for _, a := range s.retry {
		next = min(next, max(time.Until(a.at), time.Millisecond))
	}
	return next
}

// laneEnded takes note of a lane that has ended. Its partition is tried again
// later, while the others go on.
func (s *stretch) laneEnded(e ending) error {
	if e.err == nil {
		return nil
	}
	if fatal(e.err) {
		return e.err
	}
	if e.lane.flight.applied > e.lane.start {
		delete(s.retry, e.lane.index) // it had got on
	}
	s.failed(e.lane.index, e.err)
	return nil
}

func (s *stretch) failed(partition int, err error) {
	f := s.f
	a := s.retry[partition]
	if a == nil {
		a = &again{backoff: f.r.opts.Backoff}
		s.retry[partition] = a
	} else {
		a.backoff = min(2*a.backoff, maxBackoff)
	}
	a.at = time.Now().Add(jitter(a.backoff))
	f.note(err)
	if f.heed(err) {
		s.pl.careful.Store(true)
	}
	f.r.opts.Logger.Warn("partition tries again", "view", f.p.name, "version", s.pl.version.Number, "partition", partition, "error", err)
}

// tick looks after everything that is not an event: leases, lanes that are
// missing or too many, what other processes want.
func (s *stretch) tick(ctx context.Context) error {
	f, store := s.f, s.f.p.store
	f.sample(s.pl, time.Now())
	err := s.lookAround(ctx)
	if err != nil {
		if errors.Is(err, errSwitched) || fatal(err) || ctx.Err() != nil {
			return err
		}
		f.note(err)
		if len(s.pl.here()) == 0 {
			return err // there is nothing to be kept going
		}
	}
	if s.active {
		v, err := store.Active(ctx, f.p.name)
		if err == nil && v.Number != s.pl.version.Number || errors.Is(err, ErrNotBuilt) { // or the view store was emptied
			return errSwitched
		}
		// a store that does not answer shows in the next commit
	}
	if low, err := s.pl.compare(ctx); err == nil {
		f.reached(low)
	}
	s.well = s.well || err == nil && len(s.pl.here()) > 0
	f.set(s.state())
	untold := f.publishStatus(ctx) // last, so that it says what has just changed
	if untold != nil && err == nil && ctx.Err() == nil {
		f.note(untold)
	}
	return nil
}

func (s *stretch) state() State {
	switch {
	case len(s.retry) > 0 && s.anyFailing():
		return StateRetrying
	case len(s.held) == 0:
		return StateStandby
	case s.active:
		return StateLive
	}
	return StateBuilding
}

func (s *stretch) anyFailing() bool {
	running := s.running()
	for p := range s.retry {
		if s.held[p] && running[p] == nil {
			return true
		}
	}
	return false
}

func (s *stretch) running() map[int]*lane {
	lanes := make(map[int]*lane)
	for _, l := range s.pl.here() {
		lanes[l.index] = l
	}
	return lanes
}

// lookAround brings leases and lanes in line with what is wanted.
func (s *stretch) lookAround(ctx context.Context) error {
	notes, err := s.f.p.store.Notes(ctx, s.f.p.name)
	if err != nil {
		return err
	}
	if notes[pausedNote] != nil {
		return errSwitched // the follower waits outside of a stretch
	}
	if err := s.f.heartbeat(ctx, s.pl.version.Number, s.held); err != nil {
		return err
	}
	if s.active {
		err = s.share(ctx, notes)
	} else {
		err = s.takeAll(ctx)
	}
	if err != nil {
		return err
	}
	if err := s.openMissing(ctx); err != nil {
		return err
	}
	s.f.serve(ctx, notes)
	return nil
}

// openMissing starts the lanes of partitions that are held and not worked at.
func (s *stretch) openMissing(ctx context.Context) error {
	running := s.running()
	now := time.Now()
	var missing []int
	for p := range s.held {
		if a := s.retry[p]; running[p] == nil && (a == nil || !now.Before(a.at)) {
			missing = append(missing, p)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	lanes, failed := s.crew.open(ctx, missing)
	for p, err := range failed {
		if errors.Is(err, ErrNoVersion) { // it was dropped
			err = errSwitched
		}
		if fatal(err) || ctx.Err() != nil || errors.Is(err, errSwitched) {
			closeAll(lanes)
			return err
		}
		s.failed(p, err)
	}
	if err := s.belongs(ctx, lanes); err != nil {
		closeAll(lanes)
		return err
	}
	if len(lanes) > 0 {
		low := lanes[0].start
		for _, l := range lanes {
			low = min(low, l.start)
		}
		s.f.r.opts.Logger.Info("projection works", "view", s.f.p.name, "version", s.pl.version.Number, "active", s.active, "partitions", len(lanes), "position", uint64(low))
	}
	s.crew.start(ctx, lanes)
	s.f.r.hub.attach(ctx, lanes)
	return nil
}

func closeAll(lanes []*lane) {
	for _, l := range lanes {
		_ = l.session.Close() // nothing was written
	}
}

// belongs refuses a view that has seen more than the event store holds: it was
// built from another store, or the store has lost events.
func (s *stretch) belongs(ctx context.Context, lanes []*lane) error {
	return belongs(ctx, s.f, s.pl, lanes)
}

func belongs(ctx context.Context, f *follower, pl *pipeline, lanes []*lane) error {
	head, err := f.r.store.Head(ctx)
	if err != nil {
		return err
	}
	for _, l := range lanes {
		if l.start > head {
			return fmt.Errorf("%w: partition %d of view %q, version %d, is at position %d, the event store ends at %d; give the view store another prefix, or drop the view",
				ErrOtherStore, l.index, f.p.name, pl.version.Number, l.start, head)
		}
	}
	return nil
}

// activate makes a version active that was built because there was none, or
// one of another definition, which is kept to go back to.
func (s *stretch) activate(ctx context.Context) error {
	f, pl := s.f, s.pl
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
	s.active = true
	f.set(StateLive)
	pl.attach(f.feeds())
	if err := f.dropOld(ctx, old.Number, pl.version.Number); err != nil {
		f.r.opts.Logger.Warn("old versions are not dropped", "view", f.p.name, "error", err)
	}
	low, _ := pl.position()
	f.r.opts.Logger.Info("view built", "view", f.p.name, "version", pl.version.Number, "position", uint64(low))
	return nil
}
