package projection

import (
	"context"
)

// route takes an event to the lanes of one view.
func (rd *reader) route(ctx context.Context, pt *port, ev *shared) error {
	r, err := pt.pl.today(ev, pt.reaction(ev.rec.Type))
	if r == nil {
		return nil
	}
	pt.added = false
	partitions := len(pt.lanes)
	if !r.early { // the common case: one document, decoded by its lane
		it := item{ev: ev, reaction: r, hash: ev.hash}
		if err != nil {
			it.routed = &routed{err: err}
		}
		return rd.add(ctx, pt, partitionOf(ev.hash, partitions), it)
	}
	var event any
	if err == nil {
		event, err = pt.pl.decode(ev, r)
	}
	if err == nil {
		meta := pt.pl.metaOf(ev)
		rd.scratch, err = r.ops(event, &meta, rd.scratch[:0])
	}
	if err != nil { // which keys it touches is unknown, so it concerns all
		for i := range pt.lanes {
			if err := rd.add(ctx, pt, i, item{ev: ev, reaction: r, routed: &routed{err: err}}); err != nil {
				return err
			}
		}
		return nil
	}
	ops := rd.scratch
	var done uint64 // partitions served; there are at most 64, see Options
	for i := range ops {
		ops[i].hash = hashOf(ops[i].key)
	}
	for i := range ops {
		partition := partitionOf(ops[i].hash, partitions)
		if done&(1<<partition) != 0 {
			continue
		}
		done |= 1 << partition
		if pt.lanes[partition] == nil {
			continue
		}
		rt := rd.routes.next()
		if rt.event = event; len(ops) == 1 {
			rt.one[0], rt.ops = ops[0], rt.one[:]
		} else {
			rt.ops = opsOf(ops[i:], partition, partitions)
		}
		if err := rd.add(ctx, pt, partition, item{ev: ev, reaction: r, routed: rt, hash: ops[i].hash}); err != nil {
			return err
		}
	}
	return nil
}

// routes hands out what is known of routed events; many are allocated together.
type routes []routed

func (s *routes) next() *routed {
	if len(*s) == 0 {
		*s = make(routes, slabLength/4)
	}
	rt := &(*s)[0]
	*s = (*s)[1:]
	return rt
}

func (pt *port) reaction(typ string) *reaction {
	if typ != pt.lastType || pt.lastReaction == nil {
		pt.lastType, pt.lastReaction = typ, pt.pl.p.byType[typ]
	}
	return pt.lastReaction
}

func (rd *reader) add(ctx context.Context, pt *port, partition int, it item) error {
	l := pt.lanes[partition]
	if l == nil || it.ev.rec.Position <= l.pushed {
		return nil
	}
	it.first, pt.added = !pt.added, true
	pt.pending[partition] = append(pt.pending[partition], it)
	if len(pt.pending[partition]) < runLength {
		return nil
	}
	return rd.push(ctx, pt, partition, it.ev.rec.Position)
}

// opsOf returns the ops of one partition, in order. Their hashes are known.
func opsOf(ops []op, partition, partitions int) []op {
	mine := make([]op, 0, len(ops))
	for i := range ops {
		if partitionOf(ops[i].hash, partitions) == partition {
			mine = append(mine, ops[i])
		}
	}
	return mine
}

// ops says what an event changes in all partitions. A panic of user code
// becomes an error.
func (r *reaction) ops(event any, m *Meta, ops []op) (_ []op, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(v)
		}
	}()
	for _, b := range r.bindings {
		if b.route == nil {
			ops = append(ops, op{binding: b, key: m.ID})
		} else {
			event, m := b.of(event, m)
			ops = b.route(b, event, *m, ops)
		}
	}
	return ops, nil
}
