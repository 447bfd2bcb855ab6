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
	state, tail, v, err := s.look(name)
	var w streamrules.Window
	if err == nil {
		w, err = state.Readable(name, s.opts.Now)
	}
	if err != nil {
		yield(eventstore.Recorded{}, err)
		return
	}
	from, to := w.Slice(opts)
	if from == 0 {
		return
	}
	s.drain(ctx, &cursor{
		s: s, view: v, stream: name, at: from, to: to, tailRun: tail,
		left: max(opts.Limit, 0), notBefore: nanos(w.NotBefore), backwards: opts.Backwards,
	}, yield)
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return always
	}
	return t.UnixNano()
}

// readFrom yields events of all streams, of which a query, if there is one,
// chooses.
func (s *Store) readFrom(ctx context.Context, opts eventstore.ReadAllOptions, q eventstore.Query, yield yieldEvent) {
	if err := s.alive(ctx); err != nil {
		yield(eventstore.Recorded{}, err)
		return
	}
	v := s.view()
	from, to := max(opts.From, 1), v.head
	if opts.Backwards {
		if from, to = v.head, 1; opts.From > 0 {
			from = min(v.head, opts.From)
		}
	}
	if v.head == 0 || from > v.head {
		return
	}
	c := s.cursor(v, from, to)
	c.left, c.backwards = max(opts.Limit, 0), opts.Backwards
	c.filter, c.match, c.query = opts.Filter, opts.Filter.Matcher(), q
	s.drain(ctx, c, yield)
}

// drain yields the events of c, which has some.
func (s *Store) drain(ctx context.Context, c *cursor, yield yieldEvent) {
	d := newDecoder(s)
	defer d.release()
	for r := (eventstore.Recorded{}); !c.ended; {
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

// eachFrame calls do with every frame from one position to another.
func (s *Store) eachFrame(v view, from, to eventstore.Position, do func(f *frame)) error {
	d := newDecoder(s)
	defer d.release()
	c := s.cursor(v, from, to)
	for f := (frame{}); ; {
		ok, err := d.frame(context.Background(), c, &f)
		if !ok || err != nil {
			return err
		}
		do(&f)
	}
}

type allSource struct {
	s      *Store
	filter eventstore.Filter
	match  func(stream, eventType string) bool
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
	c := a.s.cursor(a.s.view(), from, to)
	c.backwards, c.filter, c.match = false, a.filter, a.match
	return a.s.deliver(ctx, c, yield)
}

// checkpointEvery is after how many events that did not match a subscription
// says how far it is.
const checkpointEvery = 4096

// deliver yields the events of c, which has some, as messages.
func (s *Store) deliver(ctx context.Context, c *cursor, yield streamrules.Yield) bool {
	d := newDecoder(s)
	defer d.release()
	said := c.next
	for m := (eventstore.Message{}); !c.ended; {
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
	state, _, v, err := a.s.look(a.name)
	return state, v.head, err
}

func (a *streamSource) Await(ctx context.Context, beyond eventstore.Version) error {
	for {
		a.s.mu.Lock()
		changed := a.s.waiters.Stream(a.name)
		a.s.mu.Unlock()
		state, _, _, err := a.s.look(a.name)
		done := err == nil && (state.Last > beyond || state.Tombstoned)
		if !done && err == nil {
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
	_, tail, v, err := a.s.look(a.name)
	if err != nil {
		yield(eventstore.Message{}, err)
		return false
	}
	return a.s.deliver(ctx, &cursor{s: a.s, view: v, stream: a.name, at: from, to: to, tailRun: tail, notBefore: nanos(notBefore)}, yield)
}
