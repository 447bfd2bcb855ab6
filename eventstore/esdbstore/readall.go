package esdbstore

import (
	"context"
	"iter"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/foldstream/foldstream/eventstore"
)

// ReadAll implements [eventstore.Store]. The client cannot filter such a read
// on the server, so the filter is applied here; a subscription is filtered there.
// After a loss it goes on after the last event it examined.
func (s *Store) ReadAll(ctx context.Context, opts eventstore.ReadAllOptions) iter.Seq2[eventstore.Recorded, error] {
	return func(yield func(eventstore.Recorded, error) bool) {
		r := allReading{
			store: s, opts: opts, yield: yield,
			matches: opts.Filter.Matcher(), left: opts.Limit, next: opts.From,
		}
		if err := r.run(ctx); err != nil {
			yield(eventstore.Recorded{}, err)
		}
	}
}

// An allReading is a ReadAll under way.
type allReading struct {
	store   *Store
	opts    eventstore.ReadAllOptions
	yield   func(eventstore.Recorded, error) bool
	matches func(stream, eventType string) bool

	left     int
	examined eventstore.Position // the last event seen
	next     eventstore.Position // forwards: the first to read, backwards: the one before which to read; 0 means from the end
	end      eventstore.Position // forwards: nothing after it
	skip     eventstore.Position // backwards: events above it are not wanted
}

func (r *allReading) run(ctx context.Context) error {
	p := r.store.patience("read all streams")
	if r.opts.Backwards {
		if r.opts.From > 0 {
			if err := r.findNext(ctx, p); err != nil {
				return err
			}
		}
	} else {
		var err error
		if r.end, err = r.store.head(ctx, p); err != nil || r.end < r.opts.From {
			return err
		}
	}
	return r.store.run(ctx, p, &query{what: "$all", open: r.open, take: r.take})
}

// findNext looks for the event after From. A read backwards excludes where it
// begins, which a node accepts only if it is the position of an event.
func (r *allReading) findNext(ctx context.Context, p *patience) error {
	r.skip, r.next = r.opts.From, 0
	return r.store.run(ctx, p, &query{
		what: "$all",
		open: func(ctx context.Context, c *esdb.Client) (*esdb.ReadStream, error) {
			return c.ReadAll(ctx, esdb.ReadAllOptions{From: allStart(r.opts.From, false)}, 2)
		},
		take: func(e *eventstore.Recorded) verdict {
			if e.Position > r.opts.From {
				r.next = e.Position
				return last
			}
			return more
		},
	})
}

func (r *allReading) open(ctx context.Context, c *esdb.Client) (*esdb.ReadStream, error) {
	n := count(r.left)
	if r.matches != nil || r.skip > 0 || r.examined > 0 {
		n = count(0) // some that come are not wanted
	}
	o := esdb.ReadAllOptions{Direction: direction(r.opts.Backwards), From: allStart(r.next, r.opts.Backwards)}
	return c.ReadAll(ctx, o, n)
}

func (r *allReading) take(e *eventstore.Recorded) verdict {
	if r.opts.Backwards {
		if r.skip > 0 && e.Position > r.skip {
			return more
		}
	} else {
		if e.Position > r.end {
			return last
		}
		if r.examined > 0 && e.Position <= r.examined {
			return more // once more after a loss
		}
	}
	r.examined, r.next = e.Position, e.Position
	if r.matches == nil || r.matches(e.Stream, e.Type) {
		if !r.yield(*e, nil) {
			return last
		}
		if r.left--; r.left == 0 {
			return last
		}
	}
	if !r.opts.Backwards && e.Position == r.end {
		return last
	}
	return more
}

// allStart returns the client's form of a position, where 0 means the end from
// which the direction leads away.
func allStart(p eventstore.Position, backwards bool) esdb.AllPosition {
	switch {
	case p != 0:
		return esdb.Position{Commit: uint64(p), Prepare: uint64(p)}
	case backwards:
		return esdb.End{}
	}
	return esdb.Start{}
}
