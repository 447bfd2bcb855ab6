package crashtest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

// A watcher looks at all checkpoints of the view in one server, all the time.
// Epochs and positions must never go back there. A server that has lost what it
// had acknowledged, or that takes the place of another, begins a new history,
// with a watcher of its own.
type watcher struct {
	t     *testing.T
	store *redisview.Store
	stop  context.CancelFunc
	ended chan struct{}

	mu      sync.Mutex
	last    []projection.Checkpoint
	samples int
}

// watch begins a history, with what it must begin with or later, if that is
// known.
func watch(t *testing.T, rdb redis.UniversalClient, prefix string, floor []projection.Checkpoint) *watcher {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	w := &watcher{
		t: t, store: redisview.New(rdb, &redisview.Options{Prefix: prefix}), last: floor,
		stop: stop, ended: make(chan struct{}),
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
	tick := time.NewTicker(2 * time.Millisecond)
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
	w.mu.Lock() // over the question too, so that samples are in order
	defer w.mu.Unlock()
	now, err := w.store.Checkpoints(ctx, view, 1)
	if err != nil {
		return
	}
	for p := range w.last {
		if now[p].Epoch < w.last[p].Epoch || now[p].Position < w.last[p].Position {
			assert.Failf(w.t, "a checkpoint went back", "partition %d: from %v to %v", p, w.last[p], now[p])
		}
	}
	w.last = now
	w.samples++
}

// sum is how far all partitions are together.
func sum(checkpoints []projection.Checkpoint) (sum uint64) {
	for _, ck := range checkpoints {
		sum += uint64(ck.Position)
	}
	return sum
}

// progress is how far all partitions are together.
func (w *watcher) progress() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return sum(w.last)
}

func (w *watcher) checkpoints() []projection.Checkpoint {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// more waits until n more events are applied in all partitions, on average.
func (w *watcher) more(n int) {
	w.t.Helper()
	w.reaches(w.progress() + uint64(n)*partitions)
}

func (w *watcher) reaches(target uint64) {
	w.t.Helper()
	waitFor(w.t, "progress", func() bool { return w.progress() >= target })
}

// done waits until everything is applied and the view can be read.
func (w *watcher) done(total int) {
	w.t.Helper()
	w.reaches(uint64(total) * partitions)
	waitFor(w.t, "a view to be read", func() bool {
		_, err := w.store.Active(w.t.Context(), view)
		return err == nil
	})
}

// end ends the history, after a last sample.
func (w *watcher) end() []projection.Checkpoint {
	w.t.Helper()
	w.stop()
	<-w.ended
	w.look(w.t.Context())
	require.Greater(w.t, w.samples, 1, "somebody must have looked")
	return w.last
}

// waitFor polls a condition that others make true.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, 60*time.Second, time.Millisecond, what)
}
