package crashtest

import (
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

// history names what has one series of checkpoints in one server.
type history struct {
	view    string
	version int
}

// checkpoints are those of all partitions.
type checkpoints map[history][]projection.Checkpoint

// cells is the number of partitions that are active.
const cells = 2 * partitions

// sum is how far all partitions of the first versions are together.
func (c checkpoints) sum() (sum uint64) {
	for h, all := range c {
		for _, ck := range all {
			if h.version == 1 {
				sum += uint64(ck.Position)
			}
		}
	}
	return sum
}

// A watcher looks at all checkpoints of the views in one server, all the time.
// Epochs and positions must never go back there. A server that has lost what it
// had acknowledged, or that takes the place of another, begins new histories,
// with a watcher of its own.
type watcher struct {
	t     *testing.T
	store *redisview.Store
	stop  context.CancelFunc
	ended chan struct{}

	mu      sync.Mutex
	last    checkpoints
	active  map[string]int // version by view
	samples int
}

// watch begins histories, with what they must begin with or later, if that is
// known.
func watch(t *testing.T, rdb redis.UniversalClient, prefix string, floor checkpoints) *watcher {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	w := &watcher{
		t: t, store: redisview.New(rdb, &redisview.Options{Prefix: prefix}), last: maps.Clone(floor),
		active: make(map[string]int), stop: stop, ended: make(chan struct{}),
	}
	if floor == nil {
		w.last = make(checkpoints)
	}
	go w.run(ctx)
	t.Cleanup(func() {
		stop()
		<-w.ended
	})
	return w
}

func (w *watcher) run(ctx context.Context) {
	defer close(w.ended)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.look(ctx)
		}
	}
}

// look takes one sample. A server that does not answer says nothing.
func (w *watcher) look(ctx context.Context) {
	w.mu.Lock() // over the questions too, so that samples are in order
	defer w.mu.Unlock()
	for _, name := range []string{view, tally} {
		versions, err := w.store.Versions(ctx, name)
		if err != nil {
			return
		}
		for _, v := range versions {
			if v.Active {
				w.active[name] = v.Number
			}
			if now, err := w.store.Checkpoints(ctx, name, v.Number); err == nil {
				w.compare(history{name, v.Number}, now)
			}
		}
	}
	w.samples++
}

func (w *watcher) compare(h history, now []projection.Checkpoint) {
	for p, was := range w.last[h] {
		if now[p].Epoch < was.Epoch || now[p].Position < was.Position {
			assert.Failf(w.t, "a checkpoint went back", "view %q version %d partition %d: from %v to %v", h.view, h.version, p, was, now[p])
		}
	}
	w.last[h] = now
}

// progress is how far all partitions of the views are together.
func (w *watcher) progress() (sum uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range []string{view, tally} {
		for _, ck := range w.last[history{name, max(w.active[name], 1)}] {
			sum += uint64(ck.Position)
		}
	}
	return sum
}

func (w *watcher) checkpoints() checkpoints {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.last)
}

// version returns which version of a view is active, and how far all partitions
// of another one are together.
func (w *watcher) version(name string, other int) (active int, sum uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ck := range w.last[history{name, other}] {
		sum += uint64(ck.Position)
	}
	return w.active[name], sum
}

// more waits until n more events are applied in all partitions, on average.
func (w *watcher) more(n int) {
	w.t.Helper()
	w.reaches(w.progress() + uint64(n)*cells)
}

func (w *watcher) reaches(target uint64) {
	w.t.Helper()
	waitFor(w.t, "progress", func() bool { return w.progress() >= target })
}

// done waits until everything is applied and the views can be read.
func (w *watcher) done(total int) {
	w.t.Helper()
	w.reaches(uint64(total) * cells)
	waitFor(w.t, "views to be read", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.active[view] > 0 && w.active[tally] > 0
	})
}

// end ends the histories, after a last sample.
func (w *watcher) end() checkpoints {
	w.t.Helper()
	w.stop()
	<-w.ended
	w.look(w.t.Context())
	require.NotZero(w.t, w.samples, "somebody must have looked")
	return w.last
}

// waitFor polls a condition that others make true.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, 60*time.Second, 5*time.Millisecond, what)
}
