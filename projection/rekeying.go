package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/foldstream/foldstream/eventstore"
)

// rekey folds some keys of one partition anew, into tables of its own, and
// gives the result to the lane of the partition.
type rekey struct {
	pl     *pipeline
	index  int   // of the partition
	lane   *lane // that works at it; nil if nobody does
	keys   []string
	wanted map[string]bool
	tables []table
	at     eventstore.Position            // all up to here is folded
	bound  eventstore.Position            // the lane had folded up to here
	parked map[string]eventstore.Position // there: the first of each stream
	left   map[string]bool                // parked streams of which events were left out
	err    error
}

// begin makes the tables to fold into.
func (k *rekey) begin() {
	k.left = make(map[string]bool)
	for _, t := range k.pl.p.targets {
		fresh := t.newTable(0, true) // what cannot be encoded must not get into the lane
		fresh.startEmpty()
		k.tables = append(k.tables, fresh)
	}
}

// A scan outside of the lanes is repeated while it finds that much, so that
// what is left to do while the lanes wait is little.
const (
	rekeyRounds = 5
	rekeyTail   = 2000
	rekeyTries  = 5
)

var errParkedChanged = errors.New("parked events were retried or dropped meanwhile; try again")

// foldAnew does it for partitions of one view, with one scan for all of them.
func foldAnew(ctx context.Context, all []*rekey) {
	if len(all) == 0 {
		return
	}
	for _, k := range all {
		k.begin()
	}
	for range rekeyRounds {
		for _, k := range all {
			k.ask(ctx, func(_ context.Context, l *lane) (error, error) { return k.look(l), nil })
		}
		n, err := scanAnew(ctx, all)
		for _, k := range all {
			if k.err == nil {
				k.err = err
			}
		}
		if n < rekeyTail {
			break
		}
	}
	for _, k := range all {
		k.ask(ctx, k.finish)
	}
}

// ask has the lane do something, unless something has failed before. Where
// nobody works at the partition there is a lane for the moment, which fences
// whoever begins to.
func (k *rekey) ask(ctx context.Context, do func(context.Context, *lane) (answer, err error)) {
	if k.err != nil {
		return
	}
	if k.lane != nil {
		k.err = k.lane.ask(ctx, do)
		return
	}
	l, err := k.pl.open(ctx, k.index)
	if err != nil {
		k.err = err
		return
	}
	defer l.close()
	answer, err := do(ctx, l)
	k.err = errors.Join(answer, err)
}

// look notes how far the lane is and what is parked there. Events that were
// left out, because they were parked, must still be so.
func (k *rekey) look(l *lane) error {
	parked := make(map[string]eventstore.Position, len(l.parked))
	for stream, ps := range l.parked {
		parked[stream] = ps.Events[0].Position
	}
	for stream := range k.left {
		if parked[stream] != k.parked[stream] {
			return errParkedChanged
		}
	}
	k.parked, k.bound = parked, l.folded
	return nil
}

// finish folds what is left while the lane waits, and replaces what it has.
func (k *rekey) finish(ctx context.Context, l *lane) (answer, err error) {
	if err := l.settle(ctx); err != nil { // so that the next commit has nothing else
		return nil, err
	}
	if answer := k.look(l); answer != nil {
		return answer, nil
	}
	if _, answer := scanAnew(ctx, []*rekey{k}); answer != nil || k.err != nil {
		return errors.Join(answer, k.err), nil
	}
	for i, t := range l.tables {
		if err := t.replace(ctx, l.session, k.tables[i], k.keys); err != nil {
			return nil, err
		}
	}
	return nil, l.settle(ctx)
}

// scanAnew folds the events up to the bounds and returns how many it has read.
// The error is that of the event store; those of handlers are in rekey.err.
func scanAnew(ctx context.Context, all []*rekey) (n int, err error) {
	pl := all[0].pl
	low, high := all[0].at, all[0].bound
	for _, k := range all {
		low, high = min(low, k.at), max(high, k.bound)
	}
	opts := eventstore.ReadAllOptions{From: low, Filter: eventstore.Filter{Types: pl.p.types()}}
	for rec, err := range pl.store.ReadAll(ctx, opts) {
		if err != nil {
			return n, fmt.Errorf("read events: %w", err)
		}
		if rec.Position > high {
			break
		}
		n++
		eventAnew(pl, &rec, all)
	}
	for _, k := range all {
		k.at = max(k.at, k.bound)
	}
	return n, nil
}

// eventAnew applies one event where it is wanted.
func eventAnew(pl *pipeline, rec *eventstore.Recorded, all []*rekey) {
	r := pl.p.byType[rec.Type]
	ev := sharedOf(rec)
	early := r != nil && (r.early || r.several > 0 && pl.p.wide)
	if r == nil || !early && !slices.ContainsFunc(all, func(k *rekey) bool { return k.wanted[ev.id] }) {
		return
	}
	var rt *routed
	for _, k := range all {
		if k.err != nil || rec.Position <= k.at || rec.Position > k.bound {
			continue
		}
		if rt == nil {
			if r, rt = pl.routeAll(ev); r == nil {
				return
			}
		}
		if err := k.apply(ev, rt); err != nil {
			k.err = fmt.Errorf("event %d of stream %q: %w", rec.Version, rec.Stream, err)
		}
	}
}

func (k *rekey) apply(ev *shared, rt *routed) error {
	if rt.err == nil && !slices.ContainsFunc(rt.ops, func(o op) bool { return k.wanted[o.key] }) {
		return nil
	}
	if first, parked := k.parked[ev.rec.Stream]; parked && ev.rec.Position >= first {
		k.left[ev.rec.Stream] = true
		return nil
	}
	if rt.err != nil {
		return rt.err
	}
	meta := k.pl.metaOf(ev)
	meta.Replay = true
	for _, o := range rt.ops { // a copy: slots belong to the tables here
		if !k.wanted[o.key] {
			continue
		}
		t := k.tables[o.binding.target]
		t.want(&o)
		if err := applyOne(t, &o, rt.event, &meta, false); err != nil {
			return err
		}
	}
	return nil
}
