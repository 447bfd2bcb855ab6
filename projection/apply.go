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
	reacting := l.pl.p.reactor != nil
	unread := err != nil
	if err == nil {
		l.meta = l.pl.metaOf(it.ev)
		if reacting {
			err = l.react(ctx, it, event)
		} else {
			err = l.change(ops, event)
		}
	}
	switch {
	case errors.Is(err, errNotDone):
		return err
	case err != nil && (unread || !reacting) && l.pl.opts.transient(err, false):
		return fmt.Errorf("event %d of stream %q: %w", rec.Version, rec.Stream, err)
	case err != nil:
		err = l.park(rec, err)
	}
	l.tries = tries{}
	return err
}
