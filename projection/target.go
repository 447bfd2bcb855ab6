package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// TargetOptions configure a [Collection], an [Index], a [Set] or [Counters]. The
// zero value is ready to use.
type TargetOptions struct {
	// View is the name of the projection that fills it; the target's own name
	// by default. Several targets of one view change in one atomic step.
	View string
	// PerKey has each document of a collection stored under a key of its own
	// instead of in one place with the others of its partition. That takes
	// more memory and time, and is what TTL needs.
	PerKey bool
	// TTL is how long a document lives after the last commit that wrote it, by
	// the view store's time; 0 is for good. It needs PerKey.
	//
	// One that has expired is not there for readers, nor for folds: the next
	// event begins with the zero value. Whether an event finds the document
	// before it depends on when it is applied, so a rebuild, which applies
	// years in seconds, and after which every document lives for TTL again,
	// may give another view. Use it where that does not matter.
	TTL time.Duration
}

// target is what collections, indexes, sets, counters and lookups have in
// common.
type target struct {
	store ViewStore
	view  string
	name  string
	feed  feed

	perKey bool
	ttl    time.Duration
	err    error // why it cannot be used

	looking chan struct{} // has one unless a waiter asks the view store for all
}

func (t *target) init(store ViewStore, name string, opts *TargetOptions) {
	t.store, t.name, t.view = store, name, name
	t.looking = make(chan struct{}, 1)
	t.looking <- struct{}{}
	if opts == nil {
		return
	}
	if opts.View != "" {
		t.view = opts.View
	}
	t.perKey, t.ttl = opts.PerKey, opts.TTL
	if t.perKey || t.ttl != 0 {
		t.err = fmt.Errorf("projection: %q: PerKey and TTL are for collections of documents; leave them out", name)
	}
}

// layOut accepts what the options say about how documents are stored.
func (t *target) layOut() {
	switch {
	case t.ttl < 0:
		t.err = fmt.Errorf("projection: %q: documents cannot live for %v; 0 is for good", t.name, t.ttl)
	case t.ttl > 0 && !t.perKey:
		t.err = fmt.Errorf("projection: %q: documents that expire need PerKey", t.name)
	default:
		t.err = nil
	}
}

// View returns the name of the view that the target belongs to.
func (t *target) View() string { return t.view }

// Name returns the target's name.
func (t *target) Name() string { return t.name }

// Waits in this process end by a commit. For partitions that another process
// works at, one of all waiters asks for the checkpoints, at first often.
const (
	minPoll  = time.Millisecond
	maxPoll  = 50 * time.Millisecond
	idlePoll = 250 * time.Millisecond // for partitions that are worked at here
)

// fresh waits until the partitions of keys have reached what ctx asks for,
// and adds them to what a watched query depends on.
func (t *target) fresh(ctx context.Context, keys ...string) error {
	if t.err != nil {
		return t.err
	}
	if want := eventstore.AfterFromContext(ctx); want > 0 {
		for _, key := range keys {
			if err := t.wait(ctx, want, func(n int) int { return PartitionOf(key, n) }); err != nil {
				return err
			}
		}
	}
	if c := eventstore.ChangesFromContext(ctx); c != nil {
		for _, key := range keys { // before the read, so that no change is missed
			changed, here := t.feed.watch(key)
			c.Add(t.waitChange(ctx, changed, here, func(ctx context.Context) (eventstore.Position, error) {
				ck, err := t.store.Checkpoint(ctx, t.view, key)
				return ck.Position, err
			}))
		}
	}
	return nil
}

// wait waits until a partition of the active version has reached want.
func (t *target) wait(ctx context.Context, want eventstore.Position, place func(int) int) error {
	for {
		have, version, here := t.feed.at(place)
		if have >= want && version > 0 {
			v, err := t.store.Active(ctx, t.view)
			if err == nil && v.Number == version {
				return nil
			}
			// Another version was made active, and the follower here has yet to notice.
			checkpoints, err := t.look(ctx)
			if n := len(checkpoints); n > 0 && checkpoints[place(n)].Position >= want {
				return nil
			}
			if late := t.late(ctx, want, have, err); late != nil {
				return late
			}
			_ = pause(ctx, nil, minPoll)
			continue
		}
		w := t.feed.wait(place, want)
		err := t.await(ctx, w, here)
		t.feed.cancel(w)
		if late := t.late(ctx, want, have, err); late != nil {
			return late
		}
	}
}

// late says what an error means for a waiter.
func (t *target) late(ctx context.Context, want, have eventstore.Position, err error) error {
	switch {
	case ctx.Err() != nil:
		return &eventstore.NotCaughtUpError{View: t.view, Want: want, Have: have, Err: ctx.Err()}
	case err == nil, errors.Is(err, ErrNotBuilt):
		return nil
	}
	return err
}

// await returns when w is done. If the partition is not worked at here it asks
// the view store, or waits for another waiter to do so.
func (t *target) await(ctx context.Context, w *waiter, here bool) error {
	if here {
		if err := pause(ctx, w.done, idlePoll); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w.done:
		return nil
	case <-t.looking:
	}
	defer func() { t.looking <- struct{}{} }()
	for poll := minPoll; ; poll = min(2*poll, maxPoll) {
		select {
		case <-w.done:
			return nil
		default:
		}
		if _, err := t.look(ctx); err != nil && !errors.Is(err, ErrNotBuilt) {
			return err
		}
		if here {
			return nil // it was a look to be sure
		}
		if err := pause(ctx, w.done, poll); err != nil {
			return err
		}
	}
}

// look asks the view store how far the active version is, and tells everybody
// who waits.
func (t *target) look(ctx context.Context) ([]Checkpoint, error) {
	v, err := t.store.Active(ctx, t.view)
	if err != nil {
		return nil, err
	}
	checkpoints, err := t.store.Checkpoints(ctx, t.view, v.Number)
	if errors.Is(err, ErrNoVersion) {
		return nil, nil // it was replaced and dropped meanwhile
	}
	if err == nil {
		t.feed.observe(v.Number, checkpoints)
	}
	return checkpoints, err
}

// waitChange returns a function that returns when changed is closed, what is
// stored has moved since now, or its context is done.
func (t *target) waitChange(ctx context.Context, changed <-chan struct{}, here bool, stored func(context.Context) (eventstore.Position, error)) func(context.Context) {
	if here {
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
	if t.err != nil {
		return t.err
	}
	if want := eventstore.AfterFromContext(ctx); want > 0 {
		for i, n := 0, 1; i < n; i++ {
			if err := t.wait(ctx, want, func(partitions int) int {
				n = partitions // of the version that is active by then
				return min(i, n-1)
			}); err != nil {
				return err
			}
		}
	}
	if c := eventstore.ChangesFromContext(ctx); c != nil {
		_, here, changed := t.feed.lowest()
		c.Add(t.waitChange(ctx, changed, here, t.sumOfCheckpoints))
	}
	return nil
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
