package projection

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/foldstream/foldstream/eventstore"
)

// router reads events in order and takes each to the partitions that it
// concerns. It runs in one goroutine.
type router struct {
	p         *Projection
	queues    []*queue
	from      []eventstore.Position // what each partition has already
	pending   [][]item              // not pushed yet, by partition
	scratch   []op
	replay    *atomic.Bool
	added     bool // an item of the event at hand
	sinceSync int  // events since all partitions were told how far the reader is
}

// The reader hands items over in runs, because a hand-over costs about as much
// as an event. Before it waits for events it hands over everything.
const (
	runLength   = 64
	syncEvery   = 8192
	queueLength = 4096
)

func (r *router) run(ctx context.Context, store eventstore.Store, after eventstore.Position, caughtUp func(eventstore.Position)) error {
	opts := eventstore.SubscribeAllOptions{After: after, Filter: eventstore.Filter{Types: r.p.types()}}
	for msg, err := range store.SubscribeAll(ctx, opts) {
		if err == nil {
			switch msg.Kind {
			case eventstore.MessageEvent:
				err = r.event(ctx, &msg.Event)
			case eventstore.MessageCaughtUp:
				if err = r.sync(ctx, msg.Position); err == nil {
					caughtUp(msg.Position)
				}
			case eventstore.MessageCheckpoint:
				err = r.sync(ctx, msg.Position)
			}
		}
		if err != nil {
			return err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return errors.New("the subscription ended without a reason")
}

// sync pushes everything that is pending and tells all partitions how far the
// reader is.
func (r *router) sync(ctx context.Context, upTo eventstore.Position) error {
	r.sinceSync = 0
	for i := range r.queues {
		if err := r.push(ctx, i, upTo); err != nil {
			return err
		}
	}
	return nil
}

func (r *router) push(ctx context.Context, partition int, upTo eventstore.Position) error {
	err := r.queues[partition].push(ctx, r.pending[partition], upTo)
	clear(r.pending[partition])
	r.pending[partition] = r.pending[partition][:0]
	return err
}

func (r *router) event(ctx context.Context, rec *eventstore.Recorded) error {
	reaction := r.p.byType[rec.Type]
	if reaction == nil {
		return nil // an event store may give more than was asked for
	}
	_, id := eventstore.SplitStream(rec.Stream)
	r.added = false
	if err := r.route(ctx, reaction, rec, id); err != nil {
		return err
	}
	if r.sinceSync++; r.sinceSync >= syncEvery {
		return r.sync(ctx, rec.Position)
	}
	return nil
}

func (r *router) route(ctx context.Context, reaction *reaction, rec *eventstore.Recorded, id string) error {
	if !reaction.early { // the common case: one document, decoded by its worker
		return r.add(ctx, PartitionOf(id, len(r.queues)), item{rec: *rec, reaction: reaction, id: id})
	}
	meta := metaOf(rec, id, r.replay.Load())
	event, ops, err := r.p.ops(reaction, rec, &meta, r.scratch[:0])
	if err != nil { // which keys it touches is unknown, so it concerns all
		for i := range r.queues {
			if err := r.add(ctx, i, item{rec: *rec, reaction: reaction, id: id, err: err}); err != nil {
				return err
			}
		}
		return nil
	}
	r.scratch = ops
	var done uint64 // partitions served; there are at most 64, see Options
	for i := range ops {
		partition := PartitionOf(ops[i].key, len(r.queues))
		if done&(1<<partition) != 0 {
			continue
		}
		done |= 1 << partition
		mine := opsOf(ops[i:], partition, len(r.queues))
		if err := r.add(ctx, partition, item{rec: *rec, reaction: reaction, id: id, event: event, ops: mine}); err != nil {
			return err
		}
	}
	return nil
}

func (r *router) add(ctx context.Context, partition int, it item) error {
	if it.rec.Position <= r.from[partition] {
		return nil
	}
	it.first, r.added = !r.added, true
	r.pending[partition] = append(r.pending[partition], it)
	if len(r.pending[partition]) < runLength {
		return nil
	}
	return r.push(ctx, partition, it.rec.Position)
}

// opsOf returns the ops of one partition, in order.
func opsOf(ops []op, partition, partitions int) []op {
	mine := make([]op, 0, len(ops))
	for i := range ops {
		if PartitionOf(ops[i].key, partitions) == partition {
			mine = append(mine, ops[i])
		}
	}
	return mine
}

// ops decodes an event and says what it changes in all partitions. A panic of
// user code becomes an error.
func (p *Projection) ops(reaction *reaction, rec *eventstore.Recorded, m *Meta, ops []op) (event any, _ []op, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	event = reaction.event.make()
	if err := p.codec.DecodeInto(*rec, event); err != nil {
		return nil, nil, err
	}
	for _, b := range reaction.bindings {
		if b.route == nil {
			ops = append(ops, op{binding: b, key: m.ID})
		} else {
			ops = b.route(b, event, *m, ops)
		}
	}
	return event, ops, nil
}
