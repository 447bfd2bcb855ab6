package projection

import (
	"context"
	"errors"
	"time"
)

// fold applies one slice of what was taken.
func (l *lane) fold(ctx context.Context) error {
	items := l.items[l.next:min(l.next+min(sliceLength, l.pl.opts.BatchEvents), len(l.items))]
	l.touch(items)
	for i := range items {
		l.prepare(&items[i])
	}
	if err := l.load(ctx); err != nil {
		return err
	}
	reacting, began := l.pl.p.reactor != nil, time.Now()
	for i := range items {
		err := l.apply(ctx, &items[i])
		if errors.Is(err, errNotDone) {
			break
		}
		if err != nil {
			return err
		}
		if items[i].first {
			l.first++
		}
		l.next++
		l.events++
		l.folded = items[i].ev.rec.Position
		if reacting && time.Since(began) > reactSlice {
			break
		}
	}
	if l.next == len(l.items) {
		l.folded = max(l.folded, l.upTo)
	}
	clear(l.arena)
	l.arena, l.used = l.arena[:0], 0
	return nil
}

// touch reads a byte of each cache line of the events, which another core has
// written, and where the tables have the aggregates' ids: here the loads wait
// side by side, where decoding and folding would wait for one after another.
func (l *lane) touch(items []item) {
	sum := uint64(0)
	for i := range items {
		rec := &items[i].ev.rec
		for at := 0; at < len(rec.Data); at += cacheLine {
			sum += uint64(rec.Data[at])
		}
	}
	for _, t := range l.tables {
		if c, ok := t.(interface{ touch(hash uint64) uint64 }); ok {
			for i := range items {
				sum += c.touch(items[i].hash)
			}
		}
	}
	l.touched += sum // so that the loads are not left out
}

const cacheLine = 64

// prepare finds out what an event changes and which stored values that needs.
func (l *lane) prepare(it *item) {
	it.prepared = false // it may have been before, for a slice that broke off
	if l.parked[it.ev.rec.Stream] != nil || it.routed != nil && it.routed.err != nil {
		return
	}
	if it.routed != nil {
		for i := range it.routed.ops {
			l.want(&it.routed.ops[i])
		}
		return
	}
	for _, b := range it.reaction.bindings {
		l.arena = append(l.arena, op{binding: b, key: it.ev.id, hash: it.hash})
		l.want(&l.arena[len(l.arena)-1])
	}
	it.prepared = true
}

// opsOf returns what prepare has noted for an item, once.
func (l *lane) opsOf(it *item) []op {
	if it.routed != nil {
		return it.routed.ops
	}
	if !it.prepared {
		return nil
	}
	start := l.used
	l.used += len(it.reaction.bindings)
	return l.arena[start:l.used]
}

func (l *lane) want(o *op) { l.tables[o.binding.target].want(o) }

func (l *lane) load(ctx context.Context) error {
	for _, t := range l.tables {
		if err := t.load(ctx, l.session); err != nil {
			return err
		}
	}
	return nil
}

// decode returns the event of an item. Without others that want it, the value
// is used again for the next event of its type: folds get a copy.
func (l *lane) decode(it *item) (any, error) {
	if it.reaction.event == nil {
		return nil, nil // bindings have their parts
	}
	d := l.pl.decoders[it.reaction.index]
	if d.users > 1 {
		return d.decode(it.ev)
	}
	event := l.scratch[it.reaction.index]
	if event == nil {
		event = d.event.make()
		l.scratch[it.reaction.index] = event
	} else {
		d.event.clear(event) // what it refers to may be part of a document now
	}
	return event, d.into(&it.ev.rec, event)
}

// change makes all changes of an event, or none.
func (l *lane) change(ops []op, event any) error {
	for i := range ops {
		o := &ops[i]
		if err := applyOne(l.tables[o.binding.target], o, event, &l.meta, len(ops) > 1); err != nil {
			for j := i - 1; j >= 0; j-- {
				l.tables[ops[j].binding.target].undo(&ops[j])
			}
			l.final(ops)
			return err
		}
	}
	if len(ops) > 1 {
		l.final(ops)
	}
	return nil
}

func (l *lane) final(ops []op) {
	for i := range ops {
		l.tables[ops[i].binding.target].settle()
	}
}

// applyOne turns a panic of user code into an error.
func applyOne(t table, o *op, event any, m *Meta, undo bool) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(v)
		}
	}()
	event, m = o.binding.of(event, m)
	return t.apply(o, event, m, undo)
}
