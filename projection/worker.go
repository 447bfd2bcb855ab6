package projection

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// worker applies events to one partition of one version of a view. It runs in
// one goroutine.
type worker struct {
	pl      *pipeline
	index   int
	session Session
	queue   *queue
	tables  []table                  // by target
	parked  map[string]*ParkedStream // by stream
	changed map[string]bool          // parked streams that the next commit stores

	items   []item // taken from the queue; those before next are done
	next    int
	upTo    eventstore.Position // all that concerns the partition up to here is in items or done
	applied eventstore.Position // the stored checkpoint

	batch    Batch
	arena    []op  // ops of items that came without
	scratch  []any // *E by reaction, see decode
	meta     Meta  // of the event at hand
	requests chan *parkedRequest
	parkedN  int
}

// commitTimeout bounds a commit that is under way when its context ends: to
// break it off would leave open whether it happened.
const commitTimeout = 10 * time.Second

func (w *worker) run(ctx context.Context) error {
	var due *time.Timer // of an idle checkpoint
	defer func() {
		if due != nil {
			due.Stop()
		}
	}()
	if w.parkedN >= w.pl.opts.MaxParked { // it stopped for that: has it been mended?
		for _, stream := range slices.Collect(maps.Keys(w.parked)) {
			if err := w.serve(ctx, &parkedRequest{stream: stream, done: make(chan error, 1)}); err != nil {
				return err
			}
		}
	}
	for ctx.Err() == nil {
		if w.next == len(w.items) {
			w.swap()
		}
		if w.next < len(w.items) {
			select {
			case r := <-w.requests: // between two batches, however many there are
				if err := w.serve(ctx, r); err != nil {
					return err
				}
			default:
			}
			if err := w.step(ctx); err != nil {
				return err
			}
			continue
		}
		var idle <-chan time.Time
		if w.upTo > w.applied {
			w.pl.publish(w.index, w.upTo) // nothing to write, and nothing missing
			if due == nil {
				due = time.NewTimer(w.pl.opts.CheckpointInterval)
			}
			idle = due.C
		}
		select {
		case <-ctx.Done():
		case <-w.queue.ready:
		case r := <-w.requests:
			if err := w.serve(ctx, r); err != nil {
				return err
			}
		case <-idle:
			due = nil
			if err := w.commit(ctx, w.upTo); err != nil {
				return err
			}
		}
	}
	if w.next == len(w.items) && w.upTo > w.applied {
		return w.commit(ctx, w.upTo) // so that the next start need not read it again
	}
	return nil
}

func (w *worker) swap() {
	clear(w.items) // lets go of the events
	spare := w.items[:0]
	if cap(spare) > 4*queueLength {
		spare = nil
	}
	w.items, w.upTo = w.queue.swap(spare)
	w.next = 0
}

// step folds and commits one batch of what was taken.
func (w *worker) step(ctx context.Context) error {
	items := w.items[w.next:min(w.next+w.pl.opts.BatchEvents, len(w.items))]
	bytes := 0
	for i := range items {
		if bytes += len(items[i].rec.Data); bytes > w.pl.opts.BatchBytes && i > 0 {
			items = items[:i]
			break
		}
	}
	for i := range items {
		w.prepare(&items[i])
	}
	if err := w.load(ctx); err != nil {
		return err
	}
	events := 0
	for i := range items {
		if err := w.apply(&items[i]); err != nil {
			return err
		}
		if items[i].first {
			events++
		}
	}
	w.next += len(items)
	position := items[len(items)-1].rec.Position
	if w.next == len(w.items) {
		position = max(position, w.upTo)
	}
	clear(w.arena)
	w.arena = w.arena[:0]
	if err := w.commit(ctx, position); err != nil {
		return err
	}
	w.pl.events.Add(int64(events))
	return nil
}

// prepare finds out what an event changes and which stored values that needs.
func (w *worker) prepare(it *item) {
	if w.parked[it.rec.Stream] != nil || it.err != nil {
		return
	}
	if it.ops == nil {
		start := len(w.arena)
		for _, b := range it.reaction.bindings {
			w.arena = append(w.arena, op{binding: b, key: it.id})
		}
		it.ops = w.arena[start:len(w.arena):len(w.arena)]
	}
	for i := range it.ops {
		w.tables[it.ops[i].binding.target].want(&it.ops[i])
	}
}

// decode decodes the event of an item. The value is used again for the next
// event of its type: folds get a copy.
func (w *worker) decode(it *item) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	event := w.scratch[it.reaction.index]
	if event == nil {
		event = it.reaction.event.make()
		w.scratch[it.reaction.index] = event
	} else {
		it.reaction.event.clear(event) // what it refers to may be part of a document now
	}
	it.event = event
	return w.pl.p.codec.DecodeInto(it.rec, event)
}

func (w *worker) load(ctx context.Context) error {
	for _, t := range w.tables {
		if err := t.load(ctx, w.session); err != nil {
			return err
		}
	}
	return nil
}

// apply changes the tables by one event, or parks it.
func (w *worker) apply(it *item) error {
	if w.parked[it.rec.Stream] != nil {
		return w.park(&it.rec, nil)
	}
	err := it.err
	if err == nil && it.event == nil {
		err = w.decode(it)
	}
	if err == nil {
		w.meta = metaOf(&it.rec, it.id, w.pl.replay.Load())
		err = w.change(it)
	}
	if err != nil {
		return w.park(&it.rec, err)
	}
	return nil
}

// change makes all changes of an event, or none.
func (w *worker) change(it *item) error {
	for i := range it.ops {
		o := &it.ops[i]
		if err := applyOne(w.tables[o.binding.target], o, it.event, &w.meta, len(it.ops) > 1); err != nil {
			for j := i - 1; j >= 0; j-- {
				w.tables[it.ops[j].binding.target].undo(&it.ops[j])
			}
			w.settle(it)
			return err
		}
	}
	if len(it.ops) > 1 {
		w.settle(it)
	}
	return nil
}

func (w *worker) settle(it *item) {
	for i := range it.ops {
		w.tables[it.ops[i].binding.target].settle()
	}
}

// applyOne turns a panic of user code into an error.
func applyOne(t table, o *op, event any, m *Meta, undo bool) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return t.apply(o, event, m, undo)
}

// commit stores what has changed together with the checkpoint.
func (w *worker) commit(ctx context.Context, position eventstore.Position) error {
	b := &w.batch
	b.Position = position
	b.Documents, b.Counters, b.Indexes, b.Sets, b.Parked = b.Documents[:0], b.Counters[:0], b.Indexes[:0], b.Sets[:0], b.Parked[:0]
	for _, t := range w.tables {
		if err := t.flush(b); err != nil {
			return err
		}
	}
	if err := w.flushParked(b); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	if err := w.session.Commit(ctx, b); err != nil {
		return err
	}
	for _, t := range w.tables {
		t.flushed()
	}
	clear(w.changed)
	w.applied = position
	w.pl.publish(w.index, position)
	return nil
}
