package projection

import (
	"context"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// flight is the commit that is under way in a lane, at most one.
type flight struct {
	on      bool
	landed  chan error // of the commit; room for one
	batch   Batch
	began   time.Time
	changes int
	events  int
	first   int                 // events that count
	applied eventstore.Position // the stored checkpoint
}

// commitTimeout bounds a commit that is under way when its context ends: to
// break it off would leave open whether it happened.
const commitTimeout = 10 * time.Second

// full reports whether what is folded should be committed before more is.
func (l *lane) full() bool {
	if l.events >= l.pl.opts.BatchEvents {
		return true
	}
	if l.effectsDone() {
		return true // a crash would repeat all that is not stored
	}
	changes, bytes := len(l.changed), 0
	for _, t := range l.tables {
		changes += t.changes()
		if s, ok := t.(sized); ok {
			bytes += s.bytes()
		}
	}
	limit := l.pl.opts.BatchChanges
	if !l.live {
		limit *= replayFactor
	}
	if kept := l.pl.opts.cacheLimit(l.pl.version.Partitions); kept > 0 {
		limit = min(limit, max(kept, minBatch)) // what is not stored yet cannot be forgotten
	}
	return changes >= limit || bytes >= l.pl.opts.BatchBytes
}

// While a lane replays its batches may be larger, and few are committed at a
// time.
const (
	replayFactor  = 4
	replayCommits = 2
	minBatch      = 256 // changes, however small the cache is
)

// sized is a table that can say about how many bytes the next flush will hold.
type sized interface{ bytes() int }

// dirty reports whether there is something to write besides the checkpoint.
func (l *lane) dirty() bool {
	if len(l.changed) > 0 || l.effectsDone() {
		return true
	}
	for _, t := range l.tables {
		if t.changes() > 0 {
			return true
		}
	}
	return false
}

// effectsDone reports whether a reactor has done a slice that no commit holds.
func (l *lane) effectsDone() bool { return l.pl.p.reactor != nil && l.events > 0 }

// takeOff begins to store what has changed together with the checkpoint.
func (l *lane) takeOff(ctx context.Context) error {
	f := &l.flight
	b := &f.batch
	b.reset(l.folded)
	for _, t := range l.tables {
		if err := t.flush(b); err != nil {
			return err
		}
	}
	if err := l.flushParked(b); err != nil {
		return err
	}
	clear(l.changed)
	f.on, f.began, f.changes = true, time.Now(), b.changes()
	f.events, f.first = l.events, l.first
	l.events, l.first = 0, 0
	go l.commit(context.WithoutCancel(ctx), !l.live)
	return nil
}

func (l *lane) commit(ctx context.Context, inTurn bool) {
	if inTurn {
		l.pl.turns <- struct{}{}
		defer func() { <-l.pl.turns }()
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	l.flight.landed <- l.session.Commit(ctx, &l.flight.batch)
}

// land ends a flight.
func (l *lane) land(err error) error {
	f := &l.flight
	f.on = false
	if err != nil {
		return err
	}
	for _, t := range l.tables {
		t.flushed()
	}
	l.tell()
	f.applied = f.batch.Position
	l.appliedNow.Store(uint64(f.applied))
	l.pl.committed(CommitInfo{
		View: l.pl.p.name, Version: l.pl.version.Number, Partition: l.index, Position: f.applied,
		Events: f.events, Changes: f.changes, Duration: time.Since(f.began),
	}, f.first)
	l.pl.publish(l.index, f.applied)
	return nil
}

// tell lets others look at how the tables do.
func (l *lane) tell() {
	var hits, misses int64
	kept := 0
	for _, t := range l.tables {
		if c, ok := t.(interface {
			usage() (hits, misses int64, kept int)
		}); ok {
			h, m, k := c.usage()
			hits, misses, kept = hits+h, misses+m, kept+k
		}
	}
	l.hits.Store(hits)
	l.misses.Store(misses)
	l.kept.Store(int64(kept))
}

// settle commits and waits for it.
func (l *lane) settle(ctx context.Context) error {
	if l.flight.on {
		if err := l.land(<-l.flight.landed); err != nil {
			return err
		}
	}
	if err := l.takeOff(ctx); err != nil {
		return err
	}
	return l.land(<-l.flight.landed)
}

// reset empties a batch and keeps its buffers.
func (b *Batch) reset(p eventstore.Position) {
	b.Position = p
	b.Documents, b.Counters, b.Indexes, b.Sets, b.Parked = b.Documents[:0], b.Counters[:0], b.Indexes[:0], b.Sets[:0], b.Parked[:0]
}

// changes returns how many writes a batch holds.
func (b *Batch) changes() int {
	n := len(b.Parked)
	for i := range b.Documents {
		n += len(b.Documents[i].Put) + len(b.Documents[i].Delete)
	}
	for i := range b.Counters {
		n += len(b.Counters[i].Set) + len(b.Counters[i].Delete)
	}
	for i := range b.Indexes {
		n += len(b.Indexes[i].Entries)
	}
	for i := range b.Sets {
		n += len(b.Sets[i].Changes)
	}
	return n
}

// close ends a lane whose run has returned.
func (l *lane) close() {
	close(l.queue.ended)
	if rd := l.reader.Load(); rd != nil {
		rd.leave(l)
	}
	if l.flight.on {
		<-l.flight.landed // it ends within commitTimeout
	}
	_ = l.session.Close() // nothing is lost: a commit either happened or not
	l.pl.left(l)
}

// laneRequest is something to do between two slices. do returns an answer for
// who asked, and an error if the lane cannot go on.
type laneRequest struct {
	do   func(ctx context.Context, l *lane) (answer, err error)
	done chan error
}

func (l *lane) serve(ctx context.Context, r *laneRequest) error {
	answer, err := r.do(ctx, l)
	if err != nil {
		r.done <- err
		return err // what the tables hold may be half of it
	}
	r.done <- answer
	return nil
}
