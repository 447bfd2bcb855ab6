package logstore

import (
	"context"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
)

type yieldEvent = func(eventstore.Recorded, error) bool

func (s *Store) read(ctx context.Context, name string, opts eventstore.ReadOptions, yield yieldEvent) {
	err := eventstore.CheckStream(name)
	if err == nil {
		err = s.alive(ctx)
	}
	if err != nil {
		yield(eventstore.Recorded{}, err)
		return
	}
	state, positions, v := s.look(name)
	w, err := state.Readable(name, s.opts.Now)
	if err != nil {
		yield(eventstore.Recorded{}, err)
		return
	}
	from, to := w.Slice(opts)
	if from == 0 {
		return
	}
	c := cursor{view: v, positions: positions, left: max(opts.Limit, 0), notBefore: nanos(w.NotBefore)}
	c.next, c.last, c.step = eventstore.Position(from), eventstore.Position(to), 1
	if opts.Backwards {
		c.step = minusOne
	}
	s.drain(ctx, &c, yield)
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return -1 << 63
	}
	return t.UnixNano()
}

func (s *Store) readAll(ctx context.Context, opts eventstore.ReadAllOptions, yield yieldEvent) {
	if err := s.alive(ctx); err != nil {
		yield(eventstore.Recorded{}, err)
		return
	}
	v := s.view()
	c := cursor{view: v, next: max(opts.From, 1), last: v.head, step: 1, left: max(opts.Limit, 0), match: opts.Filter.Matcher(), notBefore: -1 << 63}
	if opts.Backwards {
		if c.next, c.last, c.step = v.head, 1, minusOne; opts.From > 0 {
			c.next = min(v.head, opts.From)
		}
	}
	if v.head == 0 || c.next > v.head {
		return
	}
	s.drain(ctx, &c, yield)
}

// drain yields the events of c, which has some.
func (s *Store) drain(ctx context.Context, c *cursor, yield yieldEvent) {
	d := newDecoder(s)
	defer d.release()
	for r := (eventstore.Recorded{}); !d.done(c); {
		err := s.alive(ctx)
		found := false
		if err == nil {
			found, err = d.next(ctx, c, &r)
		}
		if err != nil {
			yield(eventstore.Recorded{}, err)
			return
		}
		if found && !yield(r, nil) {
			return
		}
	}
}

type allSource struct {
	s     *Store
	match func(stream, eventType string) bool
}

func (a *allSource) Head(ctx context.Context) (eventstore.Position, error) { return a.s.Head(ctx) }

func (a *allSource) AwaitHead(ctx context.Context, beyond eventstore.Position) error {
	for {
		a.s.mu.Lock()
		head, more := a.s.head, a.s.waiters.All()
		a.s.mu.Unlock()
		if head > beyond {
			return nil
		}
		if err := a.s.wait(ctx, more); err != nil {
			return err
		}
	}
}

func (a *allSource) Range(ctx context.Context, from, to eventstore.Position, yield streamrules.Yield) bool {
	c := cursor{view: a.s.view(), next: from, last: to, step: 1, match: a.match, notBefore: -1 << 63}
	return a.s.deliver(ctx, &c, yield)
}

// checkpointEvery is after how many events that did not match a subscription
// says how far it is.
const checkpointEvery = 4096

// deliver yields the events of c, which has some, as messages.
func (s *Store) deliver(ctx context.Context, c *cursor, yield streamrules.Yield) bool {
	d := newDecoder(s)
	defer d.release()
	said := c.next
	for m := (eventstore.Message{}); !d.done(c); {
		err := s.alive(ctx)
		found := false
		if err == nil {
			found, err = d.next(ctx, c, &m.Event)
		}
		if err != nil {
			yield(eventstore.Message{}, err)
			return false
		}
		if found {
			m.Position, said = m.Event.Position, c.next
			if !yield(m, nil) {
				return false
			}
		} else if c.match != nil && c.next-said >= checkpointEvery {
			said = c.next
			if !yield(eventstore.Message{Kind: eventstore.MessageCheckpoint, Position: c.next - 1}, nil) {
				return false
			}
		}
	}
	return true
}

type streamSource struct {
	s    *Store
	name string
}

func (a *streamSource) Look(ctx context.Context) (streamrules.State, eventstore.Position, error) {
	if err := a.s.alive(ctx); err != nil {
		return streamrules.State{}, 0, err
	}
	state, _, v := a.s.look(a.name)
	return state, v.head, nil
}

func (a *streamSource) Await(ctx context.Context, beyond eventstore.Version) error {
	for {
		a.s.mu.Lock()
		changed := a.s.waiters.Stream(a.name)
		a.s.mu.Unlock()
		state, _, _ := a.s.look(a.name)
		var err error
		done := state.Last > beyond || state.Tombstoned
		if !done {
			err = a.s.wait(ctx, changed)
		}
		a.s.mu.Lock()
		a.s.waiters.Leave(a.name, changed)
		a.s.mu.Unlock()
		if done || err != nil {
			return err
		}
	}
}

func (a *streamSource) Range(ctx context.Context, from, to eventstore.Version, notBefore time.Time, yield streamrules.Yield) bool {
	_, positions, v := a.s.look(a.name)
	c := cursor{view: v, positions: positions, next: eventstore.Position(from), last: eventstore.Position(to), step: 1, notBefore: nanos(notBefore)}
	return a.s.deliver(ctx, &c, yield)
}
