package logstore

import (
	"context"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
)

// A stream is what the index knows of one stream. The leader decides on what
// it has written or is about to write; readers see what is published.
type stream struct {
	name  string
	next  streamrules.State     // the leader's
	added []eventstore.Position // by version - 1; the leader's

	state     streamrules.State     // guarded by Store.mu
	positions []eventstore.Position // a prefix of added; guarded by Store.mu
}

// stream returns the entry of a stream for the leader, made if need be.
func (s *Store) stream(name string) *stream {
	st := s.streams[name] // only the leader changes the map
	if st == nil {
		st = &stream{name: name}
		s.mu.Lock()
		s.streams[name] = st
		s.mu.Unlock()
	}
	return st
}

// look returns a stream and the log as they are now.
func (s *Store) look(name string) (streamrules.State, []eventstore.Position, view) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var state streamrules.State
	var positions []eventstore.Position
	if st := s.streams[name]; st != nil {
		state, positions = st.state, st.positions
	}
	if orig, isMeta := streamrules.Original(name); isMeta && s.streams[orig] != nil {
		state.Tombstoned = s.streams[orig].state.Tombstoned
	}
	return state, positions, s.viewLocked()
}

func (s *Store) view() view {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.viewLocked()
}

func (s *Store) viewLocked() view {
	return view{s.segs, s.segs[len(s.segs)-1].offs, s.head}
}

// publish lets readers see what the leader added, and wakes who waits for it.
func (s *Store) publish(touched []*stream, head eventstore.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seg := s.segs[len(s.segs)-1]
	s.used += seg.end - seg.counted
	seg.offs, seg.counted = seg.added, seg.end
	s.head = head
	for _, st := range touched {
		if st.state.Last == 0 && st.next.Last > 0 {
			s.known++
		}
		ended := st.next.Tombstoned && !st.state.Tombstoned
		st.state, st.positions = st.next, st.added
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
