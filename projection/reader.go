package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// reader reads events in order and takes each to the lanes that it concerns,
// of all views that are about as far. It reads in one goroutine; others may
// add and remove lanes.
type reader struct {
	hub    *hub
	count  atomic.Int32 // lanes that have not ended
	wanted atomic.Int32 // others that want the lock
	stop   func()       // ends run

	mu        sync.Mutex          // see lock
	pos       eventstore.Position // all up to here is routed
	live      bool                // level with the event store, or nearly
	stopped   bool
	ports     []*port
	slab      slab
	routes    routes
	recent    recent
	sinceSync int // events since all lanes were told how far the reader is
	behind    int // events since it was level
	scratch   []op

	failing atomic.Pointer[error] // of the source, while it cannot be read
}

// port is where one version of one view takes its events from a reader.
type port struct {
	pl      *pipeline
	lanes   []*lane  // by partition; nil: not here
	pending [][]item // not pushed yet, by partition
	added   bool     // an item of the event at hand

	lastType     string // memo of the last look-up
	lastReaction *reaction
}

// The reader hands items over in runs, because a hand-over costs about as much
// as an event. Before it waits for events it hands over everything.
const (
	runLength   = 64
	syncEvery   = 8192
	queueLength = 1024
	// nearlyLevel is how many events may have come since the reader was level
	// for the lanes to commit at once what they have.
	nearlyLevel = 2048
	// patience is how long one view may keep the others of a reader waiting.
	patience = 250 * time.Millisecond
)

// lock takes the lock. Whoever waits for it sleeps in between, because keys
// are user code and may take their time, and virtual time stands still for who
// waits for a mutex.
func (rd *reader) lock() {
	if rd.mu.TryLock() {
		return
	}
	rd.wanted.Add(1)
	defer rd.wanted.Add(-1)
	for !rd.mu.TryLock() {
		time.Sleep(lockPause)
	}
}

const lockPause = 100 * time.Microsecond

// run reads until ctx is done or all lanes have gone. A source that fails is
// tried again.
func (rd *reader) run(ctx context.Context) {
	defer rd.hub.remove(rd)
	backoff := rd.hub.opts.Backoff
	for ctx.Err() == nil {
		well, err := rd.read(ctx)
		if ctx.Err() != nil || err == nil {
			return
		}
		if fatal(err) {
			rd.fail(err)
			return
		}
		rd.failing.Store(&err)
		rd.hub.opts.Logger.Warn("reading events failed, will try again", "position", uint64(rd.position()), "error", err)
		if well {
			backoff = rd.hub.opts.Backoff
		}
		_ = pause(ctx, nil, jitter(backoff))
		backoff = min(2*backoff, maxBackoff)
	}
}

// read returns nil when there is nobody left to read for, and whether it has
// read anything.
func (rd *reader) read(ctx context.Context) (well bool, err error) {
	opts := eventstore.SubscribeAllOptions{After: rd.position(), Filter: rd.hub.filter}
	for msg, err := range rd.hub.store.SubscribeAll(ctx, opts) {
		if err != nil {
			return well, err
		}
		well = true
		if rd.failing.Load() != nil {
			rd.failing.Store(nil)
		}
		more, err := rd.take(ctx, &msg)
		if err != nil || !more {
			return well, err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return well, err
	}
	return well, errors.New("the subscription ended without a reason")
}

// take routes one message and reports whether there is anybody left to read
// for.
func (rd *reader) take(ctx context.Context, msg *eventstore.Message) (more bool, err error) {
	for i := 0; rd.wanted.Load() > 0 && i < 20; i++ {
		time.Sleep(lockPause) // or others would find the lock taken again and again
	}
	rd.lock()
	defer rd.mu.Unlock()
	switch msg.Kind {
	case eventstore.MessageEvent:
		err = rd.event(ctx, &msg.Event)
	case eventstore.MessageCaughtUp:
		rd.live, rd.behind = true, 0
		rd.pos = max(rd.pos, msg.Position)
		if err = rd.sync(ctx); err == nil {
			for _, pt := range rd.ports {
				pt.pl.caughtUp(rd.pos)
			}
			rd.hub.merge(ctx, rd) // an older one may have its lanes
		}
	case eventstore.MessageCheckpoint:
		rd.pos = max(rd.pos, msg.Position)
		err = rd.sync(ctx)
	}
	rd.stopped = rd.stopped || len(rd.ports) == 0
	return !rd.stopped, err
}

func (rd *reader) event(ctx context.Context, rec *eventstore.Recorded) error {
	if rec.Position <= rd.pos {
		return nil // a source that was resumed may give it again
	}
	if !rd.hub.wants(rec) {
		rd.pos = rec.Position
		return rd.hub.unknown(rec)
	}
	ev := rd.slab.next(rec)
	for i := 0; i < len(rd.ports); i++ {
		pt := rd.ports[i]
		if err := rd.route(ctx, pt, ev); err != nil {
			return err
		}
		if i < len(rd.ports) && rd.ports[i] != pt {
			i-- // it has gone
		}
	}
	rd.recent.add(ev, rec.Position)
	rd.pos = rec.Position
	if rd.behind++; rd.behind > nearlyLevel {
		rd.live = false
	}
	if rd.sinceSync++; rd.sinceSync >= syncEvery {
		return rd.sync(ctx)
	}
	return nil
}

// sync pushes everything that is pending and tells all lanes how far the
// reader is.
func (rd *reader) sync(ctx context.Context) error {
	rd.sinceSync = 0
	for _, pt := range slices.Clone(rd.ports) {
		for i := range pt.lanes {
			if err := rd.push(ctx, pt, i, rd.pos); err != nil {
				return err
			}
		}
	}
	return nil
}

// push hands what is pending to one lane. A lane that has ended, or a view that
// keeps the others waiting, is let go of.
func (rd *reader) push(ctx context.Context, pt *port, partition int, upTo eventstore.Position) error {
	l := pt.lanes[partition]
	if l == nil {
		return nil
	}
	wait := patience
	if len(rd.ports) == 1 {
		wait = 0
	}
	idle, err := l.queue.push(ctx, pt.pending[partition], upTo, rd.live, wait)
	switch {
	case err == nil:
		l.pushed = max(l.pushed, upTo)
		if idle {
			pt.pl.publish(partition, upTo)
		}
	case errors.Is(err, errEnded):
		rd.drop(pt, l)
		return nil
	case errors.Is(err, errSlow):
		rd.letGo(pt)
		return nil
	default:
		return err
	}
	clear(pt.pending[partition])
	pt.pending[partition] = pt.pending[partition][:0]
	return nil
}

// drop removes a lane.
func (rd *reader) drop(pt *port, l *lane) {
	if pt.lanes[l.index] != l {
		return
	}
	clear(pt.pending[l.index])
	pt.lanes[l.index], pt.pending[l.index] = nil, nil
	if !slices.ContainsFunc(pt.lanes, func(l *lane) bool { return l != nil }) {
		rd.removePort(pt)
	}
}

func (rd *reader) removePort(pt *port) {
	if i := slices.Index(rd.ports, pt); i >= 0 {
		rd.ports = slices.Delete(rd.ports, i, i+1)
	}
}

// letGo gives a view a reader of its own, which begins where each of its lanes
// is. It comes back when it is level.
func (rd *reader) letGo(pt *port) {
	lanes := slices.DeleteFunc(slices.Clone(pt.lanes), func(l *lane) bool { return l == nil || !rd.leave(l) })
	rd.removePort(pt)
	clear(pt.lanes) // so that nothing more is routed there
	rd.hub.opts.Logger.Info("view is slower than others and gets a reader of its own", "view", pt.pl.p.name)
	rd.hub.begin(lanes)
}

// fail ends all lanes with an error that trying again cannot mend.
func (rd *reader) fail(err error) {
	rd.lock()
	defer rd.mu.Unlock()
	for _, pt := range rd.ports {
		for _, l := range pt.lanes {
			if l != nil {
				l.fail(fmt.Errorf("read events: %w", err))
			}
		}
	}
	rd.ports, rd.stopped = nil, true
}

func (rd *reader) position() eventstore.Position {
	rd.lock()
	defer rd.mu.Unlock()
	return rd.pos
}
