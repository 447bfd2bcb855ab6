package commandtest

import (
	"context"
	"slices"
	"testing/synctest"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/projection"
)

// startRunner runs the views until stopRunner, and waits until they are level.
func (k *Kit) startRunner() {
	k.t.Helper()
	if k.app.Runner == nil {
		return
	}
	ctx, cancel := context.WithCancel(k.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.keep(ctx, k.app.Runner.Run)
	}()
	k.stopRunner = func() {
		cancel()
		<-done
	}
	synctest.Wait()
	if k.idle() {
		return
	}
	within, end := context.WithTimeout(ctx, time.Minute) // waiting takes some time, also in the bubble
	defer end()
	if err := k.app.Runner.WaitLevel(within); err != nil {
		k.t.Fatalf("commandtest: the views do not follow the events: %v", err)
	}
}

// pass lets time go on by d. A runner looks around every second, which makes
// days long; so it is stopped while it has nothing to do.
func (k *Kit) pass(d time.Duration) {
	k.t.Helper()
	if k.app.Runner == nil {
		time.Sleep(d)
		return
	}
	end := time.Now().Add(d)
	for left := d; left > 0; left = time.Until(end) {
		if left < time.Minute || !k.idle() {
			time.Sleep(min(left, time.Second))
			synctest.Wait()
			continue
		}
		head := k.head()
		k.stopRunner()
		k.awaitEvent(head, left)
		k.startRunner()
	}
}

// idle reports whether all views wait for nothing but events.
func (k *Kit) idle() bool {
	return !slices.ContainsFunc(k.statuses(), func(s projection.Status) bool {
		return s.Position < s.Head || s.State != projection.StateLive
	})
}

// awaitEvent waits until an event is appended that a view may want, or d is
// over.
func (k *Kit) awaitEvent(after eventstore.Position, d time.Duration) {
	ctx, cancel := context.WithTimeout(k.ctx, d)
	defer cancel()
	opts := eventstore.SubscribeAllOptions{After: after, Filter: eventstore.Filter{ExcludeSystem: true}}
	for m, err := range k.env.Store.SubscribeAll(ctx, opts) {
		if err != nil || m.Kind == eventstore.MessageEvent && !k.ofQueue(m.Event.Stream) {
			return
		}
	}
}
