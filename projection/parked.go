package projection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// A ParkedStream is a stream with an event that a projection could not apply,
// in one partition. The event and the later ones of the stream that concern
// the partition wait, in order, while other streams go on.
type ParkedStream struct {
	Stream    string        `json:"stream"`
	Partition int           `json:"partition"`
	Error     string        `json:"error"`    // of the first event
	Since     time.Time     `json:"since"`    // when it was parked
	Attempts  int           `json:"attempts"` // how often the first event was tried
	Events    []ParkedEvent `json:"events"`
}

// A ParkedEvent says where in the event store a parked event is.
type ParkedEvent struct {
	Position eventstore.Position `json:"position"`
	Version  eventstore.Version  `json:"version"`
	Type     string              `json:"type"`
}

// park adds an event to its parked stream; cause is set for the first.
func (w *worker) park(rec *eventstore.Recorded, cause error) error {
	if w.parkedN++; w.parkedN > w.pl.opts.MaxParked {
		return fmt.Errorf("%w: partition %d of view %q has %d, the last from stream %q; mend the handler or the data, then retry or drop them",
			ErrTooManyParked, w.index, w.pl.p.name, w.pl.opts.MaxParked, rec.Stream)
	}
	ps := w.parked[rec.Stream]
	if ps == nil {
		ps = &ParkedStream{Stream: rec.Stream, Partition: w.index, Error: cause.Error(), Since: time.Now().UTC(), Attempts: 1}
		w.parked[rec.Stream] = ps
		w.pl.opts.Logger.Error("event parked", "view", w.pl.p.name, "stream", rec.Stream, "version", uint64(rec.Version), "type", rec.Type, "error", cause)
	}
	ps.Events = append(ps.Events, ParkedEvent{Position: rec.Position, Version: rec.Version, Type: rec.Type})
	w.changed[rec.Stream] = true
	w.pl.parked.Add(1)
	return nil
}

func (w *worker) flushParked(b *Batch) error {
	for stream := range w.changed {
		change := ParkedChange{Stream: stream}
		if ps := w.parked[stream]; ps != nil {
			data, err := json.Marshal(ps)
			if err != nil {
				return fmt.Errorf("encode parked stream %q: %w", stream, err)
			}
			change.Data = data
		}
		b.Parked = append(b.Parked, change)
	}
	return nil
}

func (w *worker) loadParked(ctx context.Context) error {
	stored, err := w.session.Parked(ctx)
	if err != nil {
		return err
	}
	w.parked, w.changed = make(map[string]*ParkedStream, len(stored)), make(map[string]bool)
	for stream, data := range stored {
		ps, err := decodeParked(stream, data)
		if err != nil {
			return err
		}
		w.parked[stream] = ps
		w.parkedN += len(ps.Events)
	}
	w.pl.parked.Add(int64(w.parkedN))
	return nil
}

func decodeParked(stream string, data []byte) (*ParkedStream, error) {
	ps := new(ParkedStream)
	if err := json.Unmarshal(data, ps); err != nil {
		return nil, fmt.Errorf("parked stream %q: %w", stream, err)
	}
	return ps, nil
}

// parkedRequest asks a worker to try a parked stream again.
type parkedRequest struct {
	stream string
	drop   bool // leave out the first event
	done   chan error
}

// serve tries the parked events of a stream in order, between two batches and
// so before any newer event of the stream. It stops at the first that still
// fails. It returns an error only when the worker cannot go on.
func (w *worker) serve(ctx context.Context, r *parkedRequest) error {
	ps := w.parked[r.stream]
	if ps == nil {
		r.done <- nil
		return nil
	}
	events := ps.Events
	if r.drop {
		events = events[1:]
	}
	done, cause, err := w.retry(ctx, r.stream, events)
	if err != nil {
		r.done <- err
		return err // what the tables hold may be half a retry
	}
	left := events[done:]
	w.parkedN -= len(ps.Events) - len(left)
	w.pl.parked.Add(int64(len(left) - len(ps.Events)))
	if len(left) == 0 {
		delete(w.parked, r.stream)
	} else {
		ps = &ParkedStream{Stream: ps.Stream, Partition: w.index, Error: cause.Error(), Since: ps.Since, Attempts: ps.Attempts + 1, Events: left}
		w.parked[r.stream] = ps
	}
	w.changed[r.stream] = true
	if err := w.commit(ctx, w.applied); err != nil {
		r.done <- err
		return err
	}
	if len(left) > 0 {
		cause = fmt.Errorf("projection %q: stream %q: event %d still fails: %w", w.pl.p.name, r.stream, left[0].Version, cause)
	}
	r.done <- cause
	return nil
}

// retry applies parked events until one fails with cause.
func (w *worker) retry(ctx context.Context, stream string, events []ParkedEvent) (done int, cause, err error) {
	delete(w.parked, stream) // so that it is not taken for parked now
	for _, pe := range events {
		it, err := w.fetch(ctx, pe)
		if err != nil {
			return done, nil, err
		}
		if cause = it.err; cause == nil {
			w.prepare(&it)
			if err := w.load(ctx); err != nil {
				return done, nil, err
			}
			if cause = it.err; cause == nil {
				w.meta = metaOf(&it.rec, it.id, w.pl.replay.Load())
				cause = w.change(&it)
			}
		}
		if cause != nil {
			return done, cause, nil
		}
		done++
	}
	return done, nil, nil
}

// fetch reads a parked event and finds out what it changes here. An event that
// the store no longer has, or that no handler wants now, changes nothing.
func (w *worker) fetch(ctx context.Context, pe ParkedEvent) (item, error) {
	opts := eventstore.ReadAllOptions{From: pe.Position, Limit: 1}
	for rec, err := range w.pl.store.ReadAll(ctx, opts) {
		if err != nil {
			return item{}, fmt.Errorf("read parked event at position %d: %w", pe.Position, err)
		}
		reaction := w.pl.p.byType[rec.Type]
		if rec.Position != pe.Position || reaction == nil {
			break
		}
		_, id := eventstore.SplitStream(rec.Stream)
		m := metaOf(&rec, id, w.pl.replay.Load())
		event, ops, err := w.pl.p.ops(reaction, &rec, &m, nil)
		return item{rec: rec, reaction: reaction, id: id, event: event, ops: opsOf(ops, w.index, len(w.pl.workers)), err: err}, nil
	}
	return item{ops: []op{}}, nil
}

// Parked returns the parked streams of the active version of a view. A stream
// that concerns several partitions is there once for each. It works from any
// process that has the view store.
func (r *Runner) Parked(ctx context.Context, view string) ([]ParkedStream, error) {
	f, err := r.follower(view)
	if err != nil {
		return nil, err
	}
	v, err := f.p.store.Active(ctx, view)
	if err != nil {
		return nil, err
	}
	var all []ParkedStream
	for i := range v.Partitions {
		stored, err := f.p.store.Parked(ctx, view, v.Number, i)
		if err != nil {
			return nil, err
		}
		for stream, data := range stored {
			ps, err := decodeParked(stream, data)
			if err != nil {
				return nil, err
			}
			all = append(all, *ps)
		}
	}
	return all, nil
}

// RetryParked tries the parked events of a stream again, in order and before
// any newer event of the stream, and returns the error of the first that still
// fails; it and the ones behind it stay parked. The view must be followed by
// this runner.
func (r *Runner) RetryParked(ctx context.Context, view, stream string) error {
	return r.askWorkers(ctx, view, stream, false)
}

// DropParked gives up the first parked event of a stream for this view, for
// good, and tries the ones behind it as RetryParked does.
func (r *Runner) DropParked(ctx context.Context, view, stream string) error {
	return r.askWorkers(ctx, view, stream, true)
}

func (r *Runner) askWorkers(ctx context.Context, view, stream string, drop bool) error {
	f, err := r.follower(view)
	if err != nil {
		return err
	}
	pl := f.current()
	if pl == nil {
		return fmt.Errorf("projection %q is not followed by this runner now", view)
	}
	var errs []error
	for _, w := range pl.workers {
		req := &parkedRequest{stream: stream, drop: drop, done: make(chan error, 1)}
		select {
		case w.requests <- req:
			select {
			case err := <-req.done:
				errs = append(errs, err)
			case <-ctx.Done():
				return ctx.Err()
			}
		case <-pl.ended:
			return fmt.Errorf("projection %q stopped meanwhile: %w", view, ErrFenced)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errors.Join(errs...)
}
