package aggregate

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/foldstream/foldstream/eventstore"
)

// A loader folds what it is given. It is used again, so that a load allocates
// nothing but what the store and the codec do.
type loader[S, E any] struct {
	baseline[S]
	r     *Repository[S, E]
	ids   *recent
	check bool // the next event must be that of the baseline
	stale bool // it was not
	err   error
	count int // events folded one by one
	ahead ahead[S, E]
	yield func(eventstore.Recorded, error) bool // take
}

func newLoader[S, E any](r *Repository[S, E]) *loader[S, E] {
	l := &loader[S, E]{r: r}
	l.yield = l.take
	return l
}

func (l *loader[S, E]) free() {
	l.ahead.clear()
	*l = loader[S, E]{r: l.r, yield: l.yield, ahead: l.ahead}
	l.r.loaders.Put(l)
}

// read folds a stream from a baseline, or from its beginning. The event of the
// baseline is read again: a stream that was deleted, truncated or restored
// since then does not have it, and l is stale.
func (l *loader[S, E]) read(ctx context.Context, stream string, base *baseline[S], ids *recent) error {
	l.baseline = baseline[S]{state: l.r.initial}
	l.ids, l.check, l.stale, l.err, l.count = ids, base != nil, false, nil, 0
	if base != nil {
		l.baseline = *base
	}
	defer l.ahead.wait() // also when Read panics
	l.r.store.Read(ctx, stream, eventstore.ReadOptions{From: l.version})(l.yield)
	if err := l.ahead.fold(l.r, &l.state); err != nil {
		l.err = err // it came before any other
	}
	switch {
	case errors.Is(l.err, eventstore.ErrStreamNotFound):
		l.stale, l.err = l.check, nil
	case l.err == nil && l.check: // nothing came
		l.stale = true
	case l.err == nil && l.version == 0:
		l.err = errors.New("all of its events are truncated, so there is no state to decide from")
	}
	return l.err
}

// take is given one event after the other.
func (l *loader[S, E]) take(rec eventstore.Recorded, err error) bool {
	if err != nil {
		l.err = err
		return false
	}
	if l.check {
		l.check = false
		l.stale = rec.Version != l.version || rec.Position != l.position
		return !l.stale
	}
	if l.count < aheadFrom || !l.r.parallel {
		l.count++
		l.err = l.r.fold(&l.state, rec)
	} else {
		l.err = l.ahead.add(l.r, &l.state, rec)
	}
	if l.err != nil {
		return false
	}
	if l.ids != nil && (l.ids.upTo == l.version) {
		l.ids.add(rec.Metadata.Get(eventstore.KeyCommandID), rec.Version)
	}
	l.version, l.position = rec.Version, rec.Position
	return true
}

// fold applies a stored event to a state.
func (r *Repository[S, E]) fold(s *S, rec eventstore.Recorded) error {
	v, err := r.codec.Decode(rec)
	if err != nil {
		return err
	}
	return r.apply(s, &rec, v)
}

// apply applies the value that rec was decoded to.
func (r *Repository[S, E]) apply(s *S, rec *eventstore.Recorded, v any) error {
	if event, ok := v.(E); ok {
		*s = r.evolve(*s, event)
		return nil
	}
	several, ok := v.(eventstore.Several)
	if !ok {
		several = eventstore.Several{v}
	}
	for _, v := range several {
		event, ok := v.(E)
		if !ok {
			return fmt.Errorf("event %d of type %q is a %T, which is no %v", rec.Version, rec.Type, v, reflect.TypeFor[E]())
		}
		*s = r.evolve(*s, event)
	}
	return nil
}
