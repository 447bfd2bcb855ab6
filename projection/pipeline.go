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

// pipeline applies events to one version of one view: one reader, and a worker
// for each partition. It is used once.
type pipeline struct {
	p       *Projection
	store   eventstore.Store
	opts    *Options
	version VersionInfo
	replay  atomic.Bool // its version is not read yet
	careful bool        // a document could not be encoded before

	workers []*worker
	start   []eventstore.Position // checkpoints as taken over
	own     feed
	ended   chan struct{}

	mu       sync.Mutex
	attached []*feed // of targets, once the version is active

	target   atomic.Uint64 // position at which the reader was first level
	level    chan struct{} // closed when all partitions have reached target
	levelled sync.Once

	events atomic.Int64 // applied
	parked atomic.Int64 // events now parked
}

func newPipeline(p *Projection, store eventstore.Store, opts *Options, v VersionInfo, replay bool) *pipeline {
	pl := &pipeline{
		p: p, store: store, opts: opts, version: v,
		ended: make(chan struct{}), level: make(chan struct{}),
	}
	pl.replay.Store(replay)
	return pl
}

// open takes all partitions over.
func (pl *pipeline) open(ctx context.Context) error {
	pl.workers = make([]*worker, pl.version.Partitions)
	errs := make([]error, len(pl.workers))
	var wg sync.WaitGroup
	for i := range pl.workers {
		wg.Go(func() { pl.workers[i], errs[i] = pl.openPartition(ctx, i) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		pl.close()
		return err
	}
	for _, w := range pl.workers {
		pl.start = append(pl.start, w.applied)
	}
	pl.own.reset(nil, pl.start)
	return nil
}

func (pl *pipeline) openPartition(ctx context.Context, i int) (*worker, error) {
	s, err := pl.p.store.Acquire(ctx, pl.p.name, pl.version.Number, i)
	if err != nil {
		return nil, fmt.Errorf("take over partition %d: %w", i, err)
	}
	w := &worker{
		pl: pl, index: i, session: s, queue: newQueue(queueLength), requests: make(chan *parkedRequest), scratch: make([]any, len(pl.p.byType)),
		applied: s.Checkpoint().Position, upTo: s.Checkpoint().Position,
	}
	for _, t := range pl.p.targets {
		tbl := t.newTable(pl.opts.cacheLimit(pl.version.Partitions), pl.careful)
		if w.applied == 0 {
			tbl.startEmpty()
		}
		w.tables = append(w.tables, tbl)
	}
	return w, w.loadParked(ctx)
}

func (pl *pipeline) close() {
	for _, w := range pl.workers {
		if w != nil {
			_ = w.session.Close() // nothing is lost: a commit either happened or not
		}
	}
}

// run reads and applies until ctx is done, when it returns nil, or something
// fails. It ends when all its goroutines have ended.
func (pl *pipeline) run(ctx context.Context) error {
	defer close(pl.ended)
	defer pl.close()
	defer pl.detach()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var once sync.Once
	var failure error
	fail := func(err error) {
		if err != nil && !errors.Is(err, context.Canceled) {
			once.Do(func() { failure = err })
			cancel(err)
		}
	}
	r := &router{p: pl.p, from: pl.start, pending: make([][]item, len(pl.workers)), replay: &pl.replay}
	for _, w := range pl.workers {
		r.queues = append(r.queues, w.queue)
		wg.Go(func() { fail(w.run(ctx)) })
	}
	wg.Go(func() { fail(r.run(ctx, pl.store, slices.Min(pl.start), pl.caughtUp)) })
	wg.Wait()
	return failure
}

// caughtUp is called each time the reader is level with the event store.
func (pl *pipeline) caughtUp(p eventstore.Position) {
	if pl.target.CompareAndSwap(0, uint64(p)+1) { // 0 means not yet
		pl.checkLevel()
	}
}

func (pl *pipeline) checkLevel() {
	target := pl.target.Load()
	if target == 0 {
		return
	}
	if low, _ := pl.own.lowest(); uint64(low)+1 >= target {
		pl.levelled.Do(func() { close(pl.level) })
	}
}

// publish tells waiters that a partition has reached p.
func (pl *pipeline) publish(partition int, p eventstore.Position) {
	pl.own.publish(nil, partition, p)
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
	reached := pl.own.snapshot()
	for _, f := range feeds {
		f.reset(pl, reached)
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

// position is how far the slowest partition is.
func (pl *pipeline) position() eventstore.Position {
	p, _ := pl.own.lowest()
	return p
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
