package aggregate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// A draft is what is decided and not yet appended.
type draft[S, E any] struct {
	works  []*work[S, E] // that wait for the append, in order
	events []eventstore.Event
	size   int           // bytes of events, see eventstore.Event.Size
	retry  []*work[S, E] // to be carried out again
	base   baseline[S]   // from which it was decided
	state  baseline[S]   // after events; the position is unknown
	ids    *recent       // nil when no command can be a repeat
	blind  bool          // decided without a look at the store
}

// maxDraft keeps what is appended together far below the stores' limits.
const maxDraft = 256 << 10

// free keeps d for another attempt.
func (d *draft[S, E]) free(r *Repository[S, E]) {
	clear(d.works)
	clear(d.events)
	clear(d.retry)
	*d = draft[S, E]{works: d.works[:0], events: d.events[:0], retry: d.retry[:0]}
	r.drafts.Put(d)
}

// attempt carries out the works of a group and answers them, but for those in
// d.retry. It sets to nil those in group that it has answered early. It
// returns the error of the append.
func (r *Repository[S, E]) attempt(ctx context.Context, c *cell[S, E], group []*work[S, E], d *draft[S, E]) error {
	if err := r.prepare(ctx, c, group, d); err != nil {
		for _, w := range group {
			w.fail(err)
		}
		return nil
	}
	single := group[0].single
	for i, w := range group {
		if i > 0 && (d.size > maxDraft || single || w.single) {
			d.retry = append(d.retry, group[i:]...)
			break
		}
		if w.party != nil && !w.phase.CompareAndSwap(waiting, decided) {
			continue // its caller has gone
		}
		if r.draft(ctx, c, w, d, len(group) > 1) {
			d.works = append(d.works, w)
		} else {
			group[i] = nil
			w.settle()
		}
	}
	if len(d.events) == 0 {
		return nil
	}
	receipt, err := r.store.Append(ctx, c.stream, eventstore.Exact(d.base.version), d.events...)
	if err != nil {
		err = fmt.Errorf("aggregate %s: append: %w", c.stream, err)
		r.refused(d, err)
		return err
	}
	if !receipt.Repeated {
		due := r.snaps != nil && r.snaps.due(&d.base, len(d.events), d.size) && (len(group) > 1 || r.refold(ctx, c.stream, d))
		if due || len(group) > 1 {
			r.advance(c, d, receipt)
		}
		if due {
			defer r.snapshot(ctx, c, &d.state)()
		}
	}
	for _, w := range d.works {
		r.appended(w, d, receipt)
	}
	for _, w := range d.works {
		w.settle()
	}
	return nil
}

// advance makes the state after d, which has its events, the baseline: the next
// group is about to ask for it, or a snapshot was taken of it.
func (r *Repository[S, E]) advance(c *cell[S, E], d *draft[S, E], receipt eventstore.Receipt) {
	before := receipt.Version - eventstore.Version(len(d.events)) // not d.base.version in a stream that was deleted
	d.state.version, d.state.position = receipt.Version, receipt.Position
	d.state.mark.lastID = d.events[len(d.events)-1].ID
	d.state.mark.bytes += int64(d.size)
	if d.base.version == 0 {
		d.state.mark.first, d.state.mark.since = before+1, time.Now().UnixNano()
	}
	r.keep(c, &d.state)
	if d.ids == nil || d.ids.upTo != d.base.version {
		return
	}
	for i := range d.events {
		d.ids.add(d.events[i].Metadata.Get(eventstore.KeyCommandID), before+eventstore.Version(i)+1)
	}
}

// prepare loads what the group decides from.
func (r *Repository[S, E]) prepare(ctx context.Context, c *cell[S, E], group []*work[S, E], d *draft[S, E]) error {
	w := group[0]
	if len(group) == 1 && w.rule == mustNotExist && !w.tried {
		// Most of those who create something are right that it does not exist:
		// the append finds out. A repeat it recognizes by the ids of the events.
		w.tried, d.blind = true, true
		d.base.state = r.initial
		d.state = d.base
		return nil
	}
	if slices.ContainsFunc(group, func(w *work[S, E]) bool { return w.given }) {
		c.recent.limit = r.opts.Remember
		d.ids = &c.recent
	}
	var err error
	d.base, err = r.fresh(ctx, c, d.ids)
	d.state = d.base
	return err
}

// draft has w decide and adds its events to d. It reports whether the answer
// depends on the append.
func (r *Repository[S, E]) draft(ctx context.Context, c *cell[S, E], w *work[S, E], d *draft[S, E], speculate bool) bool {
	w.err = nil
	if w.given && d.ids != nil {
		if w.same = d.sameAs(w); w.same != nil {
			return true
		}
		if done, err := r.repeated(ctx, c.stream, w, d); done || err != nil {
			w.err = err
			return false
		}
	}
	w.last = len(d.events)
	w.receipt = eventstore.Receipt{Stream: c.stream, Version: d.state.version, Position: d.state.position}
	facts, err := w.ask(c.stream, d.state)
	if err != nil {
		w.err = err
		return len(d.events) > 0 && w.panicked == nil
	}
	if err := r.encode(c.stream, w, facts, d, speculate); err != nil {
		clear(d.events[w.last:])
		d.events = d.events[:w.last]
		w.err = err
		return false
	}
	w.wrote = len(d.events) > w.last
	w.last = len(d.events)
	return w.last > 0
}

// sameAs returns the work in d that has the id of w.
func (d *draft[S, E]) sameAs(w *work[S, E]) *work[S, E] {
	for _, earlier := range d.works {
		if earlier.given && earlier.hash == w.hash && earlier.id == w.id && earlier.same == nil {
			return earlier
		}
	}
	return nil
}

// repeated looks for events of an earlier command with the id of w.
func (r *Repository[S, E]) repeated(ctx context.Context, stream string, w *work[S, E], d *draft[S, E]) (bool, error) {
	v := d.ids.find(w.hash)
	if v == 0 {
		return false, nil
	}
	for rec, err := range r.store.Read(ctx, stream, eventstore.ReadOptions{From: v, Limit: 1}) {
		if err != nil {
			return false, fmt.Errorf("aggregate %s: look for command %q: %w", stream, w.id, err)
		}
		truncated := rec.Version > v && v >= d.base.mark.first // the hash and a later position must do
		if truncated || rec.Version == v && rec.Metadata.Get(eventstore.KeyCommandID) == w.id {
			w.receipt = eventstore.Receipt{Stream: stream, Version: v, Position: rec.Position, Repeated: true}
			return true, nil
		}
	}
	return false, nil
}

// encode adds the events of w to d. The state that the next one decides from
// is folded of what will be read back, not of what decide returned: that may
// refer to what its caller has.
func (r *Repository[S, E]) encode(stream string, w *work[S, E], facts []E, d *draft[S, E], speculate bool) error {
	if len(facts) == 0 {
		return nil
	}
	meta := w.metadata()
	state := d.state
	size := d.size
	for i, fact := range facts {
		e, err := r.codec.Encode(fact)
		if err != nil {
			return fmt.Errorf("aggregate %s: %w", stream, err)
		}
		e.ID = w.eventID(stream, i)
		if e.Metadata.Size() > 0 {
			e.Metadata = e.Metadata.Merge(meta)
		} else {
			e.Metadata = meta
		}
		d.events = append(d.events, e)
		size += e.Size()
		state.version++
		if !speculate {
			continue
		}
		if err := r.readBack(&state.state, stream, state.version, &e); err != nil {
			return err
		}
	}
	d.state, d.size = state, size
	return nil
}

// readBack folds an event into a state as if it had been read.
func (r *Repository[S, E]) readBack(s *S, stream string, v eventstore.Version, e *eventstore.Event) error {
	rec := eventstore.Recorded{ID: e.ID, Stream: stream, Version: v, Type: e.Type, ContentType: e.ContentType, Data: e.Data, Metadata: e.Metadata}
	if err := r.fold(s, rec); err != nil {
		return fmt.Errorf("aggregate %s: an event cannot be read back: %w", stream, err)
	}
	return nil
}

// appended answers w from the receipt of the draft.
func (r *Repository[S, E]) appended(w *work[S, E], d *draft[S, E], receipt eventstore.Receipt) {
	switch {
	case w.same != nil:
		w.receipt, w.err = w.same.receipt, w.same.err
		w.receipt.Repeated = w.same.wrote
		return
	case w.err != nil: // refused, by a state that is now true
		return
	}
	after := len(d.events) - w.last // events of others
	w.receipt.Version = receipt.Version - eventstore.Version(after)
	w.receipt.Position = receipt.Position
	if r.dense {
		w.receipt.Position -= eventstore.Position(after)
	}
	w.receipt.Repeated = receipt.Repeated
}

// refused answers the works of d after an append that failed, or puts them
// into d.retry. Those that wrote nothing decided from what is not true now.
func (r *Repository[S, E]) refused(d *draft[S, E], err error) {
	conflict := errors.Is(err, eventstore.ErrConflict)
	split := errors.Is(err, eventstore.ErrTooLarge) && len(d.works) > 1
	notYet := slices.Clone(d.retry)
	d.retry = d.retry[:0]
	for _, w := range d.works {
		retry := true
		switch {
		case d.blind && conflict:
		case conflict:
			w.attempts++
			retry = w.attempts <= r.opts.Retries
		case split, !w.wrote && w.same == nil:
			w.single = true
		default:
			retry = false
		}
		w.err = err
		if !retry {
			w.settle()
		} else if w.again() {
			d.retry = append(d.retry, w)
		}
	}
	d.retry = append(d.retry, notYet...)
}
