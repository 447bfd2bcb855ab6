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
	until *moment // where to stop; nil for the end
	check bool    // the next event must be that of the baseline
	stale bool    // it was not
	late  bool    // an event came that is after the moment
	err   error
	yield func(eventstore.Recorded, error) bool // take
}

func newLoader[S, E any](r *Repository[S, E]) *loader[S, E] {
	l := &loader[S, E]{r: r}
	l.yield = l.take
	return l
}

func (l *loader[S, E]) free() {
	*l = loader[S, E]{r: l.r, yield: l.yield}
	l.r.loaders.Put(l)
}

// read folds a stream from a baseline, or from its beginning. The event of the
// baseline is read again: a stream that was deleted, truncated or restored
// since then does not have it, and l is stale.
func (l *loader[S, E]) read(ctx context.Context, stream string, base *baseline[S], ids *recent) error {
	l.baseline = baseline[S]{state: l.r.initial}
	l.ids, l.check, l.stale, l.late, l.err = ids, base != nil, false, false, nil
	if base != nil {
		l.baseline = *base
	}
	l.r.store.Read(ctx, stream, eventstore.ReadOptions{From: l.version})(l.yield)
	switch {
	case errors.Is(l.err, eventstore.ErrStreamNotFound):
		l.stale, l.err = l.check, nil
	case l.err == nil && l.check && !l.late: // nothing came
		l.stale = true
	case l.err == nil && l.version == 0 && !l.late:
		l.err = &TruncatedError{Stream: stream}
	}
	return l.err
}

// take is given one event after the other.
func (l *loader[S, E]) take(rec eventstore.Recorded, err error) bool {
	if err != nil {
		l.err = err
		return false
	}
	if l.until != nil && l.until.before(&rec) {
		l.late = true
		if l.version == 0 {
			l.mark.first = rec.Version
		}
		return false
	}
	if l.check {
		l.check = false
		l.stale = !l.isOf(&rec)
		return !l.stale
	}
	if l.err = l.r.fold(&l.state, rec); l.err != nil {
		return false
	}
	if l.ids != nil && (l.ids.upTo == l.version) {
		l.ids.add(rec.Metadata.Get(eventstore.KeyCommandID), rec.Version)
	}
	l.goOn(&rec)
	return true
}

// fold applies a stored event to a state.
func (r *Repository[S, E]) fold(s *S, rec eventstore.Recorded) error {
	v, err := r.codec.Decode(rec)
	if err != nil {
		return err
	}
	if event, ok := v.(E); ok {
		*s = r.evolve(*s, event)
		return nil
	}
	several, err := r.facts(&rec, v)
	for _, event := range several {
		*s = r.evolve(*s, event)
	}
	return err
}

// facts returns the events that rec stands for, which was decoded to v.
func (r *Repository[S, E]) facts(rec *eventstore.Recorded, v any) ([]E, error) {
	several, ok := v.(eventstore.Several)
	if !ok {
		several = eventstore.Several{v}
	}
	facts := make([]E, 0, len(several))
	for _, v := range several {
		event, ok := v.(E)
		if !ok {
			return nil, fmt.Errorf("event %d of type %q is a %T, which is no %v", rec.Version, rec.Type, v, reflect.TypeFor[E]())
		}
		facts = append(facts, event)
	}
	return facts, nil
}
