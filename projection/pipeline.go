package projection

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// pipeline applies events to one version of one view, with a lane for each
// partition that this process works at.
type pipeline struct {
	p        *Projection
	store    eventstore.Store
	opts     *Options
	version  VersionInfo
	decoders []*decoder
	replay   atomic.Bool // its version is not read yet
	careful  atomic.Bool // a document could not be encoded before
	own      feed
	trouble  func(error)   // is told of transient errors; may be nil
	turns    chan struct{} // has one for each commit of a lane that replays

	mu       sync.Mutex
	lanes    []*lane // by partition; nil: not here
	attached []*feed // of targets, once the version is active

	target   atomic.Uint64 // position at which the reader was first level
	level    chan struct{} // closed when all partitions have reached target
	levelled sync.Once

	events atomic.Int64 // applied
	stats  stats
}

func newPipeline(p *Projection, store eventstore.Store, opts *Options, decoders []*decoder, v VersionInfo, replay bool) *pipeline {
	pl := &pipeline{
		p: p, store: store, opts: opts, decoders: decoders, version: v,
		turns: make(chan struct{}, replayCommits), level: make(chan struct{}), lanes: make([]*lane, v.Partitions),
	}
	pl.replay.Store(replay)
	pl.own.restart(pl, v.Number, v.Partitions)
	return pl
}

// open takes a partition over.
func (pl *pipeline) open(ctx context.Context, i int) (*lane, error) {
	s, err := pl.p.store.Acquire(ctx, pl.p.name, pl.version.Number, i)
	if err != nil {
		return nil, fmt.Errorf("take over partition %d: %w", i, err)
	}
	at := s.Checkpoint().Position
	l := &lane{
		pl: pl, index: i, session: s, queue: newQueue(queueLength, at), start: at,
		requests: make(chan *laneRequest), stop: make(chan struct{}), failed: make(chan struct{}),
		scratch: make([]any, len(pl.p.byType)), pushed: at, upTo: at, folded: at,
		flight: flight{landed: make(chan error, 1), applied: at}, epoch: s.Checkpoint().Epoch,
	}
	l.appliedNow.Store(uint64(at))
	for _, t := range pl.p.targets {
		tbl := t.newTable(pl.opts.cacheLimit(pl.version.Partitions), pl.careful.Load())
		if at == 0 {
			tbl.startEmpty()
		}
		l.tables = append(l.tables, tbl)
	}
	if err := l.loadParked(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return l, nil
}

// enter makes a lane one of the pipeline's.
func (pl *pipeline) enter(l *lane) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	pl.lanes[l.index] = l
	pl.own.enter(pl, l.index, l.start)
	for _, f := range pl.attached {
		f.enter(pl, l.index, l.start)
	}
}

// left forgets a lane that has ended.
func (pl *pipeline) left(l *lane) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	if pl.lanes[l.index] != l {
		return
	}
	pl.lanes[l.index] = nil
	pl.own.exit(pl, l.index)
	for _, f := range pl.attached {
		f.exit(pl, l.index)
	}
}

// here returns the lanes that work now.
func (pl *pipeline) here() []*lane {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	var all []*lane
	for _, l := range pl.lanes {
		if l != nil {
			all = append(all, l)
		}
	}
	return all
}

// caughtUp is called each time a reader of its lanes is level with the event
// store.
func (pl *pipeline) caughtUp(p eventstore.Position) {
	pl.target.CompareAndSwap(0, uint64(p)+1) // 0 means not yet
	pl.checkLevel()                          // a lane that was opened again just there has nothing to publish
}

func (pl *pipeline) checkLevel() {
	target := pl.target.Load()
	if target == 0 {
		return
	}
	if low, here, _ := pl.own.lowest(); here && uint64(low)+1 >= target {
		pl.levelled.Do(func() { close(pl.level) })
	}
}

// publish tells waiters that a partition has reached p.
func (pl *pipeline) publish(partition int, p eventstore.Position) {
	pl.own.publish(pl, partition, p)
	pl.mu.Lock()
	for _, f := range pl.attached {
		f.publish(pl, partition, p)
	}
	pl.mu.Unlock()
	select {
	case <-pl.level:
	default:
		pl.checkLevel()
	}
}

// attach has the targets' feeds follow this pipeline from now on, because its
// version is the one that is read.
func (pl *pipeline) attach(feeds []*feed) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	for _, f := range feeds {
		pl.own.copyTo(f, pl, pl.version.Number)
	}
	pl.attached = feeds
	pl.replay.Store(false)
}

// detach tells waiters that this pipeline says no more, so that they look at
// what is stored.
func (pl *pipeline) detach() {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	for _, f := range pl.attached {
		f.leave(pl)
	}
	pl.attached = nil
}

// position is how far the slowest partition is that is worked at here, and
// whether all are.
func (pl *pipeline) position() (eventstore.Position, bool) {
	low, all, _ := pl.own.lowest()
	return low, all
}

// committed takes note of a commit.
func (pl *pipeline) committed(c CommitInfo, counted int) {
	pl.events.Add(int64(counted))
	pl.stats.add(c)
	if hook := pl.opts.Hooks.Committed; hook != nil {
		hook(c)
	}
}

// compare ends lanes whose partitions the view store has otherwise than they
// left them: another process has taken them over, or the store has lost what it
// had acknowledged. A lane that has something to commit learns that from its
// commit; one without would never. It returns the lowest position that is
// stored of all partitions.
func (pl *pipeline) compare(ctx context.Context) (low eventstore.Position, err error) {
	lanes := pl.here()
	applied := make([]uint64, len(lanes))
	for i, l := range lanes {
		applied[i] = l.appliedNow.Load() // before the view store is asked
	}
	stored, err := pl.p.store.Checkpoints(ctx, pl.p.name, pl.version.Number)
	if err != nil {
		return 0, err // lanes go on: a store that does not answer shows in the next commit
	}
	for i, l := range lanes {
		if ck := stored[l.index]; ck.Epoch != l.epoch || uint64(ck.Position) < applied[i] {
			l.fail(fmt.Errorf("partition %d is stored at %d of epoch %d, after %d of epoch %d was acknowledged: %w",
				l.index, ck.Position, ck.Epoch, applied[i], l.epoch, ErrFenced))
		}
	}
	for i, ck := range stored {
		if i == 0 || ck.Position < low {
			low = ck.Position
		}
	}
	return low, nil
}

// stats sums up what a pipeline has done.
type stats struct {
	commits, events, changes atomic.Int64
	seconds                  atomic.Int64 // nanoseconds that commits took
}

func (s *stats) add(c CommitInfo) {
	s.commits.Add(1)
	s.events.Add(int64(c.Events))
	s.changes.Add(int64(c.Changes))
	s.seconds.Add(int64(c.Duration))
}

// rate measures events per second, smoothed over a few seconds.
type rate struct {
	last   int64
	at     time.Time
	smooth float64
}

func (r *rate) sample(events int64, now time.Time) float64 {
	if r.at.IsZero() || events < r.last { // the count began anew
		r.last, r.at = events, now
		return 0
	}
	seconds := now.Sub(r.at).Seconds()
	if seconds < 0.05 {
		return r.smooth
	}
	current := float64(events-r.last) / seconds
	weight := min(seconds/3, 1) // about three seconds count
	if r.smooth == 0 {
		weight = 1
	}
	r.smooth += (current - r.smooth) * weight
	if r.smooth < 0.01 {
		r.smooth = 0
	}
	r.last, r.at = events, now
	return r.smooth
}
