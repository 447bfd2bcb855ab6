package projection

import (
	"context"
	"errors"
	"time"
)

// reactSlice is how long a lane reacts before it stores how far it is.
const reactSlice = 100 * time.Millisecond

// errNotDone ends a slice before an event: its effect was broken off, or is to
// be tried again later.
var errNotDone = errors.New("the effect is not done")

// tries says how often the effect of the next event has failed.
type tries struct {
	failed int
	next   time.Time // when it is tried again
}

// resting reports whether the lane waits before it tries an effect again.
func (l *lane) resting() bool { return l.tries.failed > 0 && time.Now().Before(l.tries.next) }

// untilHalted returns a context for effects, which is done when ctx is, or the
// lane is told to end.
func (l *lane) untilHalted(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-l.stop:
		case <-l.failed:
		case <-ctx.Done():
		}
		cancel()
	}()
	return ctx, func() {
		cancel()
		<-ended
	}
}

// react causes the effects of an event. It returns errNotDone if they are to be
// tried again, by this lane when it has rested or by whoever goes on.
func (l *lane) react(ctx context.Context, it *item, event any) error {
	opts := l.pl.opts
	err := l.effectsOf(ctx, it.reaction, event)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return errNotDone // whatever the effect says: it was broken off
	}
	l.tries.failed++
	if !opts.transient(err, true) {
		return err
	}
	if l.tries.failed >= l.pl.p.reactor.attempts {
		return Poison(err)
	}
	l.tries.next = time.Now().Add(jitter(backoffAfter(opts.Backoff, l.tries.failed)))
	if l.pl.trouble != nil {
		l.pl.trouble(err)
	}
	return errNotDone
}

// effectsOf causes the effects of an event once, in the order of their parts. A
// panic of user code becomes an error.
func (l *lane) effectsOf(ctx context.Context, r *reaction, event any) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(v)
		}
	}()
	ctx = because(ctx, l.pl.p.name, &l.meta)
	for _, b := range r.bindings {
		event, m := b.of(event, &l.meta)
		if err := b.effect(ctx, event, *m); err != nil {
			return err
		}
	}
	return nil
}
