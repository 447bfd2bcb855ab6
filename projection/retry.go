package projection

import (
	"context"
	"fmt"
	"time"
)

// retryParked tries the parked events of a stream in order, between two slices
// and so before any newer event of the stream. It stops at the first that still
// fails, and answers with its error. With drop it leaves the first event out.
//
// A reactor stores what is left after each slice, so that a crash repeats no
// more than at other times, and the end of the lane breaks the retry off.
func (l *lane) retryParked(ctx context.Context, stream string, drop bool) (answer, err error) {
	ps := l.parked[stream]
	if ps == nil {
		return nil, nil
	}
	left := *ps
	if drop {
		left.Events, left.Attempts = left.Events[1:], 0
	}
	for {
		done, cause, err := l.retry(ctx, stream, left.Events)
		if err != nil {
			return nil, err
		}
		if left.Events = left.Events[done:]; done > 0 {
			left.Attempts = 0
		}
		broken := l.pl.p.reactor != nil && ctx.Err() != nil && len(left.Events) > 0
		if cause != nil && !broken { // of an effect that was broken off it says nothing
			left.Error = cause.Error()
			left.Attempts++
		}
		if err := l.leaveParked(ctx, left); err != nil {
			return nil, err
		}
		switch {
		case broken:
			return fmt.Errorf("projection %q: the retry of stream %q was broken off before event %d: %w", l.pl.p.name, stream, left.Events[0].Version, ErrFenced), nil
		case cause != nil:
			return fmt.Errorf("projection %q: stream %q: event %d still fails: %w", l.pl.p.name, stream, left.Events[0].Version, cause), nil
		case len(left.Events) == 0:
			return nil, nil
		}
	}
}

// leaveParked stores what is left of a parked stream.
func (l *lane) leaveParked(ctx context.Context, left ParkedStream) error {
	l.changed[left.Stream] = true
	if len(left.Events) == 0 {
		delete(l.parked, left.Stream)
	} else {
		l.parked[left.Stream] = &left
	}
	l.parkedN = 0
	for _, ps := range l.parked {
		l.parkedN += len(ps.Events)
	}
	l.parkedNow.Store(int64(l.parkedN))
	return l.settle(ctx)
}

// retry applies parked events until one fails with cause, or a reactor has
// worked for a slice.
func (l *lane) retry(ctx context.Context, stream string, events []ParkedEvent) (done int, cause, err error) {
	delete(l.parked, stream) // so that it is not taken for parked now
	reacting, began := l.pl.p.reactor != nil, time.Now()
	for _, pe := range events {
		it, err := l.fetch(ctx, pe)
		broken := reacting && ctx.Err() != nil // then what is done is stored, whatever err says
		if err != nil && !broken {
			return done, nil, err
		}
		if broken {
			break
		}
		if it != nil {
			cause, err = l.retryOne(ctx, it)
		}
		if cause != nil || err != nil {
			return done, cause, err
		}
		done++
		if reacting && time.Since(began) > reactSlice {
			break
		}
	}
	return done, nil, nil
}

func (l *lane) retryOne(ctx context.Context, it *item) (cause, err error) {
	if it.routed.err != nil {
		return it.routed.err, nil
	}
	l.prepare(it)
	if err := l.load(ctx); err != nil {
		return nil, err
	}
	l.meta = l.pl.metaOf(it.ev)
	if l.pl.p.reactor != nil {
		return l.effectsOf(ctx, it.reaction, it.routed.event), nil
	}
	return l.change(it.routed.ops, it.routed.event), nil
}
