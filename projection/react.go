package projection

import (
	"context"
	"errors"
	"time"
)

// reactSlice is how long a lane reacts before it stores how far it is.
const reactSlice = 100 * time.Millisecond

// errStopping ends a slice because the lane is to end.
var errStopping = errors.New("the lane is to end")

// untilHalted returns a context for effects, which is done when ctx is, or the
// lane is told to end.
func (l *lane) untilHalted(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-l.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel()
		<-ended
	}
}

// react causes the effects of an event, trying again what may be transient. It
// returns errStopping when the lane is to end before that is done.
func (l *lane) react(ctx context.Context, it *item, event any) error {
	opts := l.pl.opts
	backoff := opts.Backoff
	for attempt := 1; ; attempt++ {
		err := l.effectsOf(ctx, it.reaction, event)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return errStopping // whatever the effect says: it was broken off
		case !opts.transient(err, true):
			return err
		case attempt >= l.pl.p.reactor.attempts:
			return Poison(err)
		}
		if l.pl.trouble != nil {
			l.pl.trouble(err)
		}
		// What was done before shall not be done again for this one.
		if l.folded > l.flight.applied {
			if err := l.settle(ctx); err != nil {
				return &lostError{err}
			}
		}
		if pause(ctx, nil, jitter(backoff)) != nil {
			return errStopping
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// lostError is an error of the view store, not of an effect.
type lostError struct{ err error }

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// effectsOf causes the effects of an event once, in the order of their parts. A
// panic of user code becomes an error.
func (l *lane) effectsOf(ctx context.Context, r *reaction, event any) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(v)
		}
	}()
	for _, b := range r.bindings {
		if err := b.effect(ctx, event, l.meta); err != nil {
			return err
		}
	}
	return nil
}
