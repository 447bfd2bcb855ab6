package memstore

import (
	"context"
	"sort"

	"github.com/foldstream/foldstream/eventstore"
)

// A merge steps through the positions that may match a query, in either
// direction, each once. Whether an event matches is still to be asked.
type merge struct {
	sources    [][]eventstore.Position // of each item; empty when every position may match
	all        bool
	next, last eventstore.Position // both included; backwards if last is less
	backwards  bool
}

// merge returns where the events of a query are, for the caller to say from
// where to where. The lock is held; what it returns never changes.
func (s *Store) merge(q eventstore.Query) (m merge) {
	for i := range q {
		if len(q[i].Tags) == 0 {
			return merge{all: true}
		}
		fewest := s.tagged[q[i].Tags[0]]
		for _, tag := range q[i].Tags[1:] {
			if at := s.tagged[tag]; len(at) < len(fewest) {
				fewest = at
			}
		}
		m.sources = append(m.sources, fewest)
	}
	return m
}

// step returns the next position, and false after the last.
func (m *merge) step() (eventstore.Position, bool) {
	found, ok := m.next, m.all
	for _, at := range m.sources {
		i := sort.Search(len(at), func(i int) bool { return at[i] >= m.next })
		if m.backwards && (i == len(at) || at[i] > m.next) {
			i--
		}
		if i < 0 || i == len(at) {
			continue
		}
		if !ok || m.backwards == (at[i] > found) {
			found, ok = at[i], true
		}
	}
	if !ok || m.backwards && found < m.last || !m.backwards && found > m.last || found == 0 {
		return 0, false
	}
	if m.next = found + 1; m.backwards {
		m.next = found - 1
	}
	return found, true
}

func (s *Store) readQuery(ctx context.Context, q eventstore.Query, opts eventstore.ReadQueryOptions, yield yieldEvent) {
	err := q.Check()
	if err == nil {
		err = s.alive(ctx)
	}
	if err != nil {
		yield(eventstore.Recorded{}, err)
		return
	}
	s.mu.RLock()
	m, log := s.merge(q), s.log
	m.next, m.last = max(opts.From, 1), s.head
	if m.backwards = opts.Backwards; m.backwards {
		if m.next, m.last = s.head, 1; opts.From > 0 {
			m.next = min(m.next, opts.From)
		}
	}
	s.mu.RUnlock()
	for left := opts.Limit; ; {
		if err := s.alive(ctx); err != nil {
			yield(eventstore.Recorded{}, err)
			return
		}
		p, ok := m.step()
		if !ok {
			return
		}
		r := at(log, p)
		if !q.Matches(r.Type, r.Metadata) {
			continue
		}
		if left--; !yield(*r, nil) || left == 0 {
			return
		}
	}
}
