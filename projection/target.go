package projection

import (
	"context"
	"errors"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// TargetOptions configure a [Collection], an [Index], a [Set] or [Counters]. The
// zero value is ready to use.
type TargetOptions struct {
	// View is the name of the projection that fills it; the target's own name
	// by default. Several targets of one view change in one atomic step.
	View string
}

// target is what collections, indexes, sets, counters and lookups have in
// common.
type target struct {
	store ViewStore
	view  string
	name  string
	feed  feed
}

func (t *target) init(store ViewStore, name string, opts *TargetOptions) {
	t.store, t.name, t.view = store, name, name
	if opts != nil && opts.View != "" {
		t.view = opts.View
	}
}

// View returns the name of the view that the target belongs to.
func (t *target) View() string { return t.view }

// Name returns the target's name.
func (t *target) Name() string { return t.name }

// Waits in this process end by a commit; between processes the checkpoint is
// asked for, at first often.
const (
	minPoll  = time.Millisecond
	maxPoll  = 50 * time.Millisecond
	idlePoll = 250 * time.Millisecond // when the view is followed here
)

// fresh waits until the partitions of keys have reached what ctx asks for,
// and adds them to what a watched query depends on.
func (t *target) fresh(ctx context.Context, keys ...string) error {
	if want := eventstore.AfterFromContext(ctx); want > 0 {
		for _, key := range keys {
			if err := t.wait(ctx, key, want); err != nil {
				return err
			}
		}
	}
	if c := eventstore.ChangesFromContext(ctx); c != nil {
		for _, key := range keys { // before the read, so that no change is missed
			_, changed := t.feed.at(key)
			c.Add(t.waitChange(ctx, changed, func(ctx context.Context) (eventstore.Position, error) {
				ck, err := t.store.Checkpoint(ctx, t.view, key)
				return ck.Position, err
			}))
		}
	}
	return nil
}

func (t *target) wait(ctx context.Context, key string, want eventstore.Position) error {
	return t.await(ctx, want,
		func() (eventstore.Position, <-chan struct{}) { return t.feed.at(key) },
		func() (eventstore.Position, error) {
			ck, err := t.store.Checkpoint(ctx, t.view, key)
			return ck.Position, err
		})
}

// await waits until what this process knows, or else what is stored, is at
// least want.
func (t *target) await(ctx context.Context, want eventstore.Position, known func() (eventstore.Position, <-chan struct{}), stored func() (eventstore.Position, error)) error {
	for poll := minPoll; ; poll = min(2*poll, maxPoll) {
		have, changed := known()
		if have >= want {
			if v, err := t.store.Active(ctx, t.view); err == nil && t.feed.follows(v.Number) {
				return nil
			}
		}
		p, err := stored()
		if err == nil && p >= want {
			return nil
		}
		if err != nil && !errors.Is(err, ErrNotBuilt) && ctx.Err() == nil {
			return err
		}
		if t.feed.known() {
			poll = idlePoll
		}
		if err := pause(ctx, changed, poll); err != nil {
			return &eventstore.NotCaughtUpError{View: t.view, Want: want, Have: max(have, p), Err: err}
		}
	}
}

// waitChange returns a function that returns when changed is closed, what is
// stored has moved since now, or its context is done.
func (t *target) waitChange(ctx context.Context, changed <-chan struct{}, stored func(context.Context) (eventstore.Position, error)) func(context.Context) {
	if t.feed.known() {
		return func(ctx context.Context) { _ = pause(ctx, changed, 0) }
	}
	first, _ := stored(ctx)
	return func(ctx context.Context) {
		for pause(ctx, changed, maxPoll) == nil {
			if p, err := stored(ctx); err == nil && p != first {
				return
			}
			select {
			case <-changed:
				return
			default:
			}
		}
	}
}

// pause returns nil after d, if that is not 0, or when ch is closed, and the
// context's error when ctx is done.
func pause(ctx context.Context, ch <-chan struct{}, d time.Duration) error {
	var after <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		after = timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-ch:
	case <-after:
	}
	return nil
}

// freshAll is fresh for every partition.
func (t *target) freshAll(ctx context.Context) error {
	if want := eventstore.AfterFromContext(ctx); want > 0 {
		if err := t.waitAll(ctx, want); err != nil {
			return err
		}
	}
	if c := eventstore.ChangesFromContext(ctx); c != nil {
		_, changed := t.feed.lowest()
		c.Add(t.waitChange(ctx, changed, t.sumOfCheckpoints))
	}
	return nil
}

func (t *target) waitAll(ctx context.Context, want eventstore.Position) error {
	return t.await(ctx, want, t.feed.lowest, func() (eventstore.Position, error) { return t.lowestCheckpoint(ctx) })
}

// sumOfCheckpoints changes when any partition moves.
func (t *target) sumOfCheckpoints(ctx context.Context) (sum eventstore.Position, err error) {
	v, err := t.store.Active(ctx, t.view)
	if err != nil {
		return 0, err
	}
	checkpoints, err := t.store.Checkpoints(ctx, t.view, v.Number)
	for _, ck := range checkpoints {
		sum += ck.Position
	}
	return sum, err
}

func (t *target) lowestCheckpoint(ctx context.Context) (eventstore.Position, error) {
	v, err := t.store.Active(ctx, t.view)
	if err != nil {
		return 0, err
	}
	checkpoints, err := t.store.Checkpoints(ctx, t.view, v.Number)
	if err != nil || len(checkpoints) == 0 {
		return 0, err
	}
	low := checkpoints[0].Position
	for _, ck := range checkpoints {
		low = min(low, ck.Position)
	}
	return low, nil
}
