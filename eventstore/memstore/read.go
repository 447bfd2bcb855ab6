package memstore

import (
	"context"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
)

type yieldEvent = func(eventstore.Recorded, error) bool

// look returns a stream as it is now. What events holds never changes.
func (s *Store) look(name string) (st streamrules.State, events []*eventstore.Recorded, head eventstore.Position) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if found := s.streams[name]; found != nil {
		st, events = found.State, found.events
	}
	if orig, isMeta := streamrules.Original(name); isMeta && s.streams[orig] != nil {
		st.Tombstoned = s.streams[orig].Tombstoned
	}
	return st, events, s.head
}

func (s *Store) read(ctx context.Context, name string, opts eventstore.ReadOptions, yield yieldEvent) {
	err := eventstore.CheckStream(name)
	if err == nil {
		err = s.alive(ctx)
	}
	if err != nil {
		yield(eventstore.Recorded{}, err)
		return
	}
	st, events, _ := s.look(name)
	w, err := st.Readable(name, s.now)
	if err != nil {
		yield(eventstore.Recorded{}, err)
		return
	}
	from, to := w.Slice(opts)
	for v, left := from, opts.Limit; v > 0; {
		if err := s.alive(ctx); err != nil {
			yield(eventstore.Recorded{}, err)
			return
		}
		if r := events[v-1]; !r.Created.Before(w.NotBefore) {
			if left--; !yield(*r, nil) || left == 0 {
				return
			}
		}
		switch {
		case v == to:
			return
		case opts.Backwards:
			v--
		default:
			v++
		}
	}
}

// snapshot returns the log up to the head.
func (s *Store) snapshot() ([]*chunk, eventstore.Position) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.log, s.head
}

func at(log []*chunk, p eventstore.Position) *eventstore.Recorded {
	return &log[(p-1)/chunkSize][(p-1)%chunkSize]
}

func (s *Store) readAll(ctx context.Context, opts eventstore.ReadAllOptions, yield yieldEvent) {
	if err := s.alive(ctx); err != nil {
		yield(eventstore.Recorded{}, err)
		return
	}
	match := opts.Filter.Matcher()
	log, head := s.snapshot()
	p, end, step := max(opts.From, 1), head+1, eventstore.Position(1)
	if opts.Backwards {
		if p, end = head, 0; opts.From > 0 {
			p = min(head, opts.From)
		}
		step = ^eventstore.Position(0) // minus one
	} else if p > head {
		return
	}
	for left := opts.Limit; p != end; p += step {
		if err := s.alive(ctx); err != nil {
			yield(eventstore.Recorded{}, err)
			return
		}
		r := at(log, p)
		if match != nil && !match(r.Stream, r.Type) {
			continue
		}
		if left--; !yield(*r, nil) || left == 0 {
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

// checkpointEvery is after how many events that did not match a subscription
// says how far it is.
const checkpointEvery = 4096

func (a *allSource) Range(ctx context.Context, from, to eventstore.Position, yield streamrules.Yield) bool {
	log, _ := a.s.snapshot()
	skipped := 0
	for p := from; p <= to; p++ {
		if err := a.s.alive(ctx); err != nil {
			yield(eventstore.Message{}, err)
			return false
		}
		m := eventstore.Message{Position: p}
		if r := at(log, p); a.match == nil || a.match(r.Stream, r.Type) {
			m.Event, skipped = *r, 0
		} else if skipped++; skipped%checkpointEvery == 0 {
			m.Kind = eventstore.MessageCheckpoint
		} else {
			continue
		}
		if !yield(m, nil) {
			return false
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
	st, _, head := a.s.look(a.name)
	return st, head, nil
}

func (a *streamSource) Await(ctx context.Context, beyond eventstore.Version) error {
	for {
		a.s.mu.Lock()
		changed := a.s.waiters.Stream(a.name)
		a.s.mu.Unlock()
		st, _, _ := a.s.look(a.name)
		var err error
		done := st.Last > beyond || st.Tombstoned
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
	_, events, _ := a.s.look(a.name)
	for _, r := range events[from-1 : to] {
		if err := a.s.alive(ctx); err != nil {
			yield(eventstore.Message{}, err)
			return false
		}
		if !r.Created.Before(notBefore) && !yield(eventstore.Message{Position: r.Position, Event: *r}, nil) {
			return false
		}
	}
	return true
}

// wait blocks until changed is closed, or for as long as the store and ctx live.
func (s *Store) wait(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-s.closed:
		return eventstore.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}
