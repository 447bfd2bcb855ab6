package logstore

import (
	"context"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
)

// current returns what the last segment holds; for the leader.
func (s *Store) current() *content { return s.segs[len(s.segs)-1].content.Load() }

// stream returns the entry of a stream in the last segment's tail for the
// leader, made if need be. It knows all of the stream.
func (s *Store) stream(name string) (*stream, error) {
	t := s.current().tail.Load()
	st := t.streams[name] // only the leader changes the map
	switch {
	case st == nil:
		state, err := s.past(name, view{segs: s.segs})
		if err != nil {
			return nil, err
		}
		st = &stream{name: name, first: state.Last + 1, next: state, state: state, complete: true}
		s.mu.Lock()
		t.streams[name] = st
		s.mu.Unlock()
	case !st.complete: // and so nothing was written to it since the store was opened
		state, err := s.complete(st, st.next, view{segs: s.segs})
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		st.state, st.next, st.complete = state, state, true
		if st.first == 0 {
			st.first = state.Last + 1
		}
		s.mu.Unlock()
	}
	return st, nil
}

// look returns a stream, its events in the last segment, and the log as they
// are now.
func (s *Store) look(name string) (streamrules.State, run, view, error) {
	for {
		state, r, v, rolls, err := s.lookOnce(name)
		if orig, isMeta := streamrules.Original(name); isMeta && err == nil {
			var of streamrules.State
			of, _, _, _, err = s.lookOnce(orig)
			state.Tombstoned = of.Tombstoned
		}
		s.mu.RLock()
		same := rolls == s.rolls
		s.mu.RUnlock()
		if same || err != nil {
			return state, r, v, err
		}
		// What sealed segments say may be later than the view.
	}
}

func (s *Store) lookOnce(name string) (state streamrules.State, r run, v view, rolls int, err error) {
	s.mu.RLock()
	v, rolls = s.viewLocked(), s.rolls
	st := v.grows.tail.Load().streams[name]
	var known stream
	if st != nil {
		known = stream{name: name, first: st.first, state: st.state, offs: st.offs, complete: st.complete, hasMeta: st.hasMeta}
	}
	s.mu.RUnlock()
	if st == nil {
		state, err = s.past(name, v)
		return state, run{}, v, rolls, err
	}
	state, err = s.complete(&known, known.state, v)
	return state, run{i: len(v.segs) - 1, c: v.grows, first: known.first, offs: known.offs}, v, rolls, err
}

func (s *Store) view() view {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.viewLocked()
}

func (s *Store) viewLocked() view {
	return view{segs: s.segs, head: s.head, grows: s.grows, blocks: s.blocks, end: s.end}
}

// publish lets readers see what the leader added, and wakes who waits for it.
func (s *Store) publish(touched []*stream, head eventstore.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.grows
	s.events += uint64(head - s.head)
	s.used += c.end - s.end
	s.head, s.end, s.blocks = head, c.end, c.tail.Load().blocks
	for _, st := range touched {
		if st.state.Last == 0 && st.next.Last > 0 {
			s.known++
		}
		ended := st.next.Tombstoned && !st.state.Tombstoned
		st.state, st.offs = st.next, st.added
		s.waiters.WakeStream(st.name)
		if ended {
			s.waiters.WakeStream(eventstore.MetadataStream(st.name))
		}
	}
	s.waiters.Wake()
}

// alive returns the reason for which a call cannot begin or go on.
func (s *Store) alive(ctx context.Context) error {
	if s.ended.Load() {
		return eventstore.ErrClosed
	}
	return ctx.Err()
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
