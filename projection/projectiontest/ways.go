package projectiontest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/projection"
)

// A way is one in which a view can be built.
type way struct {
	partitions int
	batch      int  // events folded for one commit at most; 0 for no limit
	step       int  // events that come at once; 0 for all
	follow     bool // the view is there before the events come
	restart    bool // another runner goes on after each step
	rebuild    bool // what counts is a rebuild at the end
}

// plain is the way that the others are compared with. With one partition it
// calls one handler after another, in the order of the events.
var plain = way{partitions: 1}

// ways returns the others. When events are parked, what else an event changes
// depends on the partitions, so all have the same.
func ways(parked bool) []way {
	all := []way{
		{partitions: 4},
		{partitions: 16, batch: 1},
		{partitions: 4, batch: 2},
		{partitions: 4, batch: 3},
		{partitions: 1, follow: true},
		{partitions: 1, batch: 1, step: 1, follow: true},
		{partitions: 4, batch: 1, step: 2, follow: true},
		{partitions: 16, step: 3, follow: true},
		{partitions: 4, step: 1, restart: true},
		{partitions: 16, batch: 2, step: 2, restart: true},
		{partitions: 4, step: 3, follow: true, restart: true, rebuild: true},
	}
	for i := range all {
		if parked {
			all[i].partitions = plain.partitions
		}
	}
	return all
}

func (w way) String() string {
	var b strings.Builder
	switch {
	case w.rebuild:
		b.WriteString("rebuilt beside the old version")
	case w.follow:
		b.WriteString("followed")
	default:
		b.WriteString("built from nothing")
	}
	if w.step > 0 {
		_, _ = fmt.Fprintf(&b, ", %d events at a time", w.step)
	}
	if w.batch > 0 {
		_, _ = fmt.Fprintf(&b, ", in batches of %d", w.batch)
	}
	if w.restart {
		b.WriteString(", by one process after another")
	}
	_, _ = fmt.Fprintf(&b, ", on %d partitions", w.partitions)
	return b.String()
}

// maxSteps bounds the time that many events take.
const maxSteps = 64

// build empties the store and builds the view in one way.
func (s *Scenario) build(ctx context.Context, p *projection.Projection, w way) (*outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s.store.begin()
	var created time.Time
	store := memstore.New(&memstore.Options{Now: func() time.Time { return created }})
	step := len(s.events)
	if w.step > 0 {
		step = max(w.step, (len(s.events)+maxSteps-1)/maxSteps)
	}
	r := &running{p: p, store: store, opts: projection.Options{Partitions: w.partitions, BatchEvents: w.batch}}
	if w.follow || len(s.events) == 0 {
		r.start(ctx)
		if err := r.level(ctx); err != nil {
			return nil, r.stop(err)
		}
	}
	for rest := s.events; len(rest) > 0; {
		n := min(step, len(rest))
		for _, g := range rest[:n] {
			created = g.created
			if _, err := store.Append(ctx, g.stream, eventstore.Any, g.event); err != nil {
				return nil, r.stop(fmt.Errorf("append to stream %q: %w", g.stream, err))
			}
		}
		rest = rest[n:]
		if r.stopped == nil {
			r.start(ctx)
		}
		if err := r.level(ctx); err != nil {
			return nil, r.stop(err)
		}
		if w.restart {
			if err := r.stop(nil); err != nil {
				return nil, err
			}
		}
	}
	if w.rebuild {
		if _, err := r.next().Rebuild(ctx, p.Name(), nil); err != nil {
			return nil, r.stop(err)
		}
	}
	if err := r.stop(nil); err != nil {
		return nil, err
	}
	return s.outcome(ctx)
}

// running is a runner at work, one after another.
type running struct {
	p       *projection.Projection
	store   eventstore.Store
	opts    projection.Options
	runner  *projection.Runner
	stopped func() error // ends Run; nil while none runs
	mu      sync.Mutex
	lastErr error // that was tried again
}

func (r *running) next() *projection.Runner {
	if r.stopped == nil {
		opts := r.opts
		opts.Hooks.Error = func(_ string, err error) {
			r.mu.Lock()
			r.lastErr = err
			r.mu.Unlock()
		}
		r.runner = projection.NewRunner(r.store, &opts, r.p)
	}
	return r.runner
}

func (r *running) start(ctx context.Context) {
	runner := r.next()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- runner.Run(ctx) }()
	r.stopped = func() error {
		cancel()
		return <-done
	}
}

// stop ends what runs, and returns err or what that says.
func (r *running) stop(err error) error {
	if r.stopped != nil {
		if ended := r.stopped(); err == nil {
			err = ended
		}
		r.stopped = nil
	}
	return err
}

// level waits until the view has all events.
func (r *running) level(ctx context.Context) error {
	err := r.runner.WaitLevel(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && r.lastErr != nil && !errors.Is(err, r.lastErr) {
		return fmt.Errorf("%w; last error: %w", err, r.lastErr)
	}
	return err
}
