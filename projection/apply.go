package projection

import "fmt"

// apply changes the tables by one event, or parks it.
func (l *lane) apply(it *item) error {
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
	if err == nil {
		l.meta = metaOf(rec, it.ev.id, l.pl.replay.Load())
		err = l.change(ops, event)
	}
	switch {
	case err == nil:
		return nil
	case isTransient(err):
		return fmt.Errorf("event %d of stream %q: %w", rec.Version, rec.Stream, err)
	}
	return l.park(rec, err)
}
