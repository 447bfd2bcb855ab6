package projection

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// lane applies events to one partition of one version of a view. It folds in
// one goroutine, while the batch before is being committed in another.
type lane struct {
	pl      *pipeline
	index   int // of the partition
	session Session
	queue   *queue
	reader  atomic.Pointer[reader]
	pushed  eventstore.Position      // all that concerns it up to here is in its queue; its reader's
	tables  []table                  // by target
	parked  map[string]*ParkedStream // by stream
	changed map[string]bool          // parked streams that the next commit stores

	items  []item // taken from the queue; those before next are folded
	next   int
	upTo   eventstore.Position // all that concerns the partition up to here is in items or folded
	live   bool                // the reader is nearly level
	folded eventstore.Position // all up to here is in the tables
	events int                 // folded since the last take-off
	first  int                 // of them, those that count

	flight flight
	tries  tries // of a reactor

	arena    []op  // ops of items that came without, in order
	used     int   // of the arena
	scratch  []any // *E by reaction, see decode
	meta     Meta  // of the event at hand
	requests chan *laneRequest
	stop     chan struct{} // closed to have it end after the batch at hand
	halted   sync.Once
	failed   chan struct{} // closed to have it end with failure
	failure  error
	failing  sync.Once
	parkedN  int
	touched  uint64              // see touch
	start    eventstore.Position // checkpoint as taken over

	epoch uint64 // of the session

	// For others to look at.
	appliedNow                    atomic.Uint64
	parkedNow, hits, misses, kept atomic.Int64
}

// halt has the lane end after the batch at hand.
func (l *lane) halt() { l.halted.Do(func() { close(l.stop) }) }

// sliceLength is how many events are folded before the lane looks up.
const sliceLength = 256

// linger is how long a lane that replays waits for more before it commits less
// than a full batch. Nobody waits for the view then, and what is written once
// instead of twice is gained.
const linger = 50 * time.Millisecond

// fail has the lane end with an error. The first one counts.
func (l *lane) fail(err error) {
	l.failing.Do(func() {
		l.failure = err
		close(l.failed)
	})
}

// run folds and commits until ctx is done or it is told to stop. Then it
// returns nil, with what it has folded committed.
func (l *lane) run(ctx context.Context) error {
	if l.pl.p.reactor != nil {
		var cancel func()
		ctx, cancel = l.untilHalted(ctx)
		defer cancel()
	}
	if err := l.mended(ctx); err != nil {
		return err
	}
	var timer waitTimer
	defer timer.stop()
	for {
		if closed(l.failed) { // before all else: what it has is not the view's any more
			return l.failure
		}
		select {
		case <-ctx.Done():
			return l.finish(ctx)
		case <-l.stop:
			return l.finish(ctx)
		case err := <-l.flight.landed:
			if err := l.land(err); err != nil {
				return err
			}
		case r := <-l.requests: // between two slices, however many there are
			if err := l.serve(ctx, r); err != nil {
				return err
			}
		default:
		}
		worked, err := l.work(ctx)
		if err != nil {
			return err
		}
		if worked {
			timer.stop()
			continue
		}
		if err := l.wait(ctx, &timer); err != nil {
			return err
		}
	}
}

// work does one thing, if there is one to do.
func (l *lane) work(ctx context.Context) (worked bool, err error) {
	if l.next == len(l.items) {
		l.swap()
	}
	full := l.full()
	if l.next < len(l.items) && !full && !l.resting() {
		if err := l.fold(ctx); err != nil {
			return false, err
		}
		if l.live && !l.flight.on {
			return true, l.takeOff(ctx)
		}
		return true, nil
	}
	if l.dirty() && !l.flight.on && (full || l.live) {
		return true, l.takeOff(ctx)
	}
	return false, nil
}

// wait returns when there may be something to do.
func (l *lane) wait(ctx context.Context, timer *waitTimer) error {
	var due <-chan time.Time
	resting := l.resting()
	switch {
	case resting:
		due = timer.after(time.Until(l.tries.next))
	case l.flight.on:
	case l.dirty():
		due = timer.after(linger)
	case l.folded > l.flight.applied:
		l.pl.publish(l.index, l.folded) // nothing to write, and nothing missing
		due = timer.after(l.pl.opts.CheckpointInterval)
		l.queue.rest(l.upTo)
	}
	ready := l.queue.ready
	if l.next < len(l.items) {
		ready = nil // full: a flight has to land first; or at rest
	}
	select {
	case <-ctx.Done():
	case <-l.stop:
	case <-l.failed:
	case <-ready:
	case err := <-l.flight.landed:
		return l.land(err)
	case r := <-l.requests:
		return l.serve(ctx, r)
	case <-due:
		timer.stop()
		if resting {
			return nil
		}
		if l.next == len(l.items) {
			if l.swap(); l.next < len(l.items) {
				return nil
			}
		}
		return l.takeOff(ctx)
	}
	return nil
}

// finish commits what is folded.
func (l *lane) finish(ctx context.Context) error {
	if l.flight.on {
		if err := l.land(<-l.flight.landed); err != nil {
			return err
		}
	}
	if l.next == len(l.items) {
		l.swap() // it may say how far the reader is, so that the next start need not read it again
	}
	if l.dirty() || l.folded > l.flight.applied {
		return l.settle(ctx)
	}
	return nil
}

func (l *lane) swap() {
	clear(l.items) // lets go of the events
	spare := l.items[:0]
	if cap(spare) > 4*queueLength {
		spare = nil
	}
	l.items, l.upTo, l.live = l.queue.swap(spare)
	l.live = l.live || l.pl.p.reactor != nil // what is done shall not wait to be stored
	l.next = 0
	if len(l.items) == 0 {
		l.folded = max(l.folded, l.upTo)
	}
}

// mended tries again what made the lane stop for too many parked events.
func (l *lane) mended(ctx context.Context) error {
	if l.parkedN < l.pl.opts.MaxParked {
		return nil
	}
	for _, stream := range slices.Collect(maps.Keys(l.parked)) {
		r := &laneRequest{done: make(chan error, 1)}
		r.do = func(ctx context.Context, l *lane) (error, error) { return l.retryParked(ctx, stream, false) }
		if err := l.serve(ctx, r); err != nil {
			return err
		}
	}
	return nil
}
