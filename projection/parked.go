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
func (l *lane) park(rec *eventstore.Recorded, cause error) error {
	if l.parkedN++; l.parkedN > l.pl.opts.MaxParked {
		return fmt.Errorf("%w: partition %d of view %q has %d, the last from stream %q; mend the handler or the data, then retry or drop them",
			ErrTooManyParked, l.index, l.pl.p.name, l.pl.opts.MaxParked, rec.Stream)
	}
	l.parkedNow.Store(int64(l.parkedN))
	ps := l.parked[rec.Stream]
	if ps == nil {
		ps = &ParkedStream{Stream: rec.Stream, Partition: l.index, Error: cause.Error(), Since: time.Now().UTC(), Attempts: max(l.tries.failed, 1)}
		l.parked[rec.Stream] = ps
		l.pl.opts.Logger.Error("event parked", "view", l.pl.p.name, "stream", rec.Stream, "version", uint64(rec.Version), "type", rec.Type, "error", cause)
	}
	ps.Events = append(ps.Events, ParkedEvent{Position: rec.Position, Version: rec.Version, Type: rec.Type})
	l.changed[rec.Stream] = true
	if hook := l.pl.opts.Hooks.Parked; hook != nil && cause != nil {
		hook(l.pl.p.name, *ps)
	}
	return nil
}

func (l *lane) flushParked(b *Batch) error {
	for stream := range l.changed {
		change := ParkedChange{Stream: stream}
		if ps := l.parked[stream]; ps != nil {
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

func (l *lane) loadParked(ctx context.Context) error {
	stored, err := l.session.Parked(ctx)
	if err != nil {
		return err
	}
	l.parked, l.changed = make(map[string]*ParkedStream, len(stored)), make(map[string]bool)
	for stream, data := range stored {
		ps, err := decodeParked(stream, data)
		if err != nil {
			return err
		}
		l.parked[stream] = ps
		l.parkedN += len(ps.Events)
	}
	l.parkedNow.Store(int64(l.parkedN))
	return nil
}

func decodeParked(stream string, data []byte) (*ParkedStream, error) {
	ps := new(ParkedStream)
	if err := json.Unmarshal(data, ps); err != nil {
		return nil, fmt.Errorf("parked stream %q: %w", stream, err)
	}
	return ps, nil
}

// fetch reads a parked event and finds out what it changes here. For an event
// that the store no longer has, or that no handler wants now, it returns nil.
func (l *lane) fetch(ctx context.Context, pe ParkedEvent) (*item, error) {
	opts := eventstore.ReadAllOptions{From: pe.Position, Limit: 1}
	for rec, err := range l.pl.store.ReadAll(ctx, opts) {
		if err != nil {
			return nil, fmt.Errorf("read parked event at position %d: %w", pe.Position, err)
		}
		if rec.Position != pe.Position {
			return nil, nil
		}
		ev := sharedOf(&rec)
		reaction, rt := l.pl.routeAll(ev)
		if reaction == nil {
			return nil, nil
		}
		rt.ops = opsOf(rt.ops, l.index, l.pl.version.Partitions)
		return &item{ev: ev, reaction: reaction, routed: rt}, nil
	}
	return nil, nil
}

// routeAll decodes an event and says what it changes in all partitions. The
// reaction is nil if no handler wants it.
func (pl *pipeline) routeAll(ev *shared) (*reaction, *routed) {
	rt := new(routed)
	r, err := pl.today(ev, pl.p.byType[ev.rec.Type])
	if r == nil {
		return nil, rt
	}
	if rt.err = err; err == nil {
		rt.event, rt.err = pl.decode(ev, r)
	}
	if rt.err == nil {
		m := pl.metaOf(ev)
		rt.ops, rt.err = r.ops(rt.event, &m, nil)
		for i := range rt.ops {
			rt.ops[i].hash = hashOf(rt.ops[i].key)
		}
	}
	return r, rt
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
// fails; it and the ones behind it stay parked. This runner does it for the
// partitions that it works at; for those of other processes it asks them, see
// [Admin].
func (r *Runner) RetryParked(ctx context.Context, view, stream string) error {
	return r.askLanes(ctx, view, stream, false)
}

// DropParked gives up the first parked event of a stream for this view, for
// good, and tries the ones behind it as RetryParked does.
func (r *Runner) DropParked(ctx context.Context, view, stream string) error {
	return r.askLanes(ctx, view, stream, true)
}

func (r *Runner) askLanes(ctx context.Context, view, stream string, drop bool) error {
	f, err := r.follower(view)
	if err != nil {
		return err
	}
	pl := f.current()
	if pl == nil {
		return fmt.Errorf("projection %q is not followed by this runner now", view)
	}
	var errs []error
	for _, l := range pl.here() {
		errs = append(errs, l.ask(ctx, func(ctx context.Context, l *lane) (error, error) { return l.retryParked(ctx, stream, drop) }))
	}
	return errors.Join(errs...)
}

// ask has the lane do something between two slices and returns its answer.
func (l *lane) ask(ctx context.Context, do func(context.Context, *lane) (answer, err error)) error {
	r := &laneRequest{do: do, done: make(chan error, 1)}
	select {
	case l.requests <- r:
		select {
		case err := <-r.done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	case <-l.queue.ended:
		return fmt.Errorf("projection %q stopped at partition %d meanwhile: %w", l.pl.p.name, l.index, ErrFenced)
	case <-ctx.Done():
		return ctx.Err()
	}
}
