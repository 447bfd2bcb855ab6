package projection

import (
	"context"
	"errors"
	"fmt"
)

// apply changes the tables by one event, or reacts to it, or parks it.
func (l *lane) apply(ctx context.Context, it *item) error {
	rec := &it.ev.rec
	ops := l.opsOf(it)
	if l.parked[rec.Stream] != nil {
		return l.park(rec, nil)
	}
	var event any
	var err error
	if it.routed != nil {
		event, err = it.routed.event, it.routed.err
	} else {
		event, err = l.decode(it)
	}
	reactor := l.pl.p.reactor != nil
	if err == nil {
		l.meta = l.pl.metaOf(it.ev)
		if reactor {
			err = l.react(ctx, it, event)
		} else {
			err = l.change(ops, event)
		}
	}
	if err == nil {
		return nil
	}
	var lost *lostError
	if errors.Is(err, errStopping) || errors.As(err, &lost) {
		return err
	}
	if !reactor && l.pl.opts.transient(err, false) {
		return fmt.Errorf("event %d of stream %q: %w", rec.Version, rec.Stream, err)
	}
	return l.park(rec, err)
}
