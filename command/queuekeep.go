package command

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// A housekeeper writes checkpoints and removes what has been finished for long.
// Each worker has one; what another one has done it finds done.
type housekeeper struct {
	*crew

	last  checkpoint // that is known to be stored
	saved time.Time
	swept bool // something was removed since
}

const (
	// checkpointInterval is how long a checkpoint that is worth little waits.
	checkpointInterval = time.Minute
	// checkpointStretch is how far the log may grow beyond a quiet queue's
	// checkpoint.
	checkpointStretch = 10_000
	// sweepBatch is how many streams are ended between two looks at the clock, and
	// sweepers how many at a time.
	sweepBatch, sweepers = 256, 16
)

func (k *housekeeper) run(ctx context.Context) {
	interval := checkpointInterval
	if r := k.q.opts.Retention; r > 0 {
		interval = min(max(r/10, time.Second), interval)
	}
	for ctx.Err() == nil {
		timer := time.NewTimer(jitter(interval))
		var err error
		select {
		case <-ctx.Done():
		case <-k.tidy:
			err = k.save(ctx)
		case <-timer.C:
			if err = k.sweep(ctx); err == nil && k.worth() {
				err = k.save(ctx)
			}
		}
		timer.Stop()
		if err != nil && ctx.Err() == nil {
			k.q.opts.Logger.Warn("housekeeping of the queue failed, will try again", "queue", k.q.name, "error", err)
		}
	}
}

// close writes a last checkpoint, so that the next worker has little to read.
func (k *housekeeper) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	k.board.mu.Lock()
	seen := k.board.seen
	k.board.mu.Unlock()
	if seen == 0 {
		return
	}
	if err := k.save(ctx); err != nil {
		k.q.opts.Logger.Warn("the last checkpoint of the worker was not written; the next one reads more", "queue", k.q.name, "error", err)
	}
}

// worth reports whether a checkpoint would save the next worker something.
func (k *housekeeper) worth() bool {
	b := k.board
	b.mu.Lock()
	defer b.mu.Unlock()
	due := time.Since(k.saved) >= checkpointInterval
	return k.swept || due && (b.seen > 0 || b.pos > k.last.Position+checkpointStretch)
}

// save writes a checkpoint. When another worker has just done so there is
// nothing to do.
func (k *housekeeper) save(ctx context.Context) error {
	b := k.board
	b.mu.Lock()
	next := checkpoint{Position: b.pos, Kept: b.kept, Open: make([]string, 0, len(b.open)), version: k.last.version}
	for id := range b.open {
		next.Open = append(next.Open, id)
	}
	seen := b.seen
	b.mu.Unlock()
	err := k.q.save(ctx, &next)
	switch {
	case err == nil:
		next.Open = nil
		k.last = next
	case errors.Is(err, eventstore.ErrConflict):
		k.last.version = next.version
	default:
		return err
	}
	k.saved, k.swept = time.Now(), false
	b.mu.Lock()
	b.seen -= seen
	b.mu.Unlock()
	return nil
}

// sweep ends the streams of commands that were finished before the retention.
func (k *housekeeper) sweep(ctx context.Context) error {
	if k.q.opts.Retention < 0 {
		return nil
	}
	stored, err := k.q.checkpoint(ctx, false)
	if err != nil {
		return err
	}
	k.last.version = stored.version
	k.kept(stored.Kept)
	before := time.Now().Add(-k.q.opts.Retention)
	opts := eventstore.SubscribeAllOptions{After: k.board.kept, Filter: k.q.filter(typeDone, typeFailed, typeDropped)}
	var batch []eventstore.Recorded
	for m, err := range k.q.store.SubscribeAll(ctx, opts) {
		if err != nil {
			return err
		}
		young := m.Kind == eventstore.MessageEvent && m.Event.Created.After(before)
		over := young || m.Kind == eventstore.MessageCaughtUp
		if m.Kind == eventstore.MessageEvent && !young {
			batch = append(batch, m.Event)
		}
		if over || len(batch) == sweepBatch {
			if err := k.end(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
		if len(batch) == 0 && !young {
			k.kept(m.Position)
		}
		if over {
			return nil
		}
	}
	return context.Cause(ctx)
}

// kept notes that finished commands up to a position are gone.
func (k *housekeeper) kept(p eventstore.Position) {
	k.board.mu.Lock()
	defer k.board.mu.Unlock()
	k.board.kept = max(k.board.kept, p)
}

// end puts a tombstone on the streams that still end with the given events.
func (k *housekeeper) end(ctx context.Context, last []eventstore.Recorded) error {
	var wg sync.WaitGroup
	errs := make([]error, sweepers)
	for i := range sweepers {
		wg.Go(func() {
			for n := i; n < len(last) && errs[i] == nil; n += sweepers {
				_, err := k.q.store.Tombstone(ctx, last[n].Stream, eventstore.Exact(last[n].Version))
				if !errors.Is(err, eventstore.ErrConflict) && !errors.Is(err, eventstore.ErrStreamDeleted) {
					errs[i] = err
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil || len(last) == 0 {
		return err
	}
	k.swept = true
	k.kept(last[len(last)-1].Position)
	return nil
}
