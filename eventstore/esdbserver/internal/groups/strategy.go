package groups

import (
	"slices"

	"github.com/foldstream/foldstream/eventstore"
)

// consumers are those of one group, and the way to choose among them. The
// group's mutex guards them.
type consumers struct {
	strategy string
	all      []*Consumer // in the order in which they connected
	free     int64       // events that all of them have room for
	next     int         // of all, for RoundRobin
	buckets  []*Consumer // for the pinned strategies
}

// pinBuckets is how many parts the events of a pinned group fall into.
const pinBuckets = 1024

func newConsumers(strategy string) consumers {
	s := consumers{strategy: strategy}
	if strategy == Pinned || strategy == PinnedByCorrelation {
		s.buckets = make([]*Consumer, pinBuckets)
	}
	return s
}

func (s *consumers) add(c *Consumer) {
	s.all = append(s.all, c)
	s.free += int64(c.client.Buffer)
	s.spread()
}

// remove forgets a consumer that holds nothing.
func (s *consumers) remove(c *Consumer) {
	i := slices.Index(s.all, c)
	s.all = slices.Delete(s.all, i, i+1)
	s.free -= int64(c.client.Buffer)
	if s.next > i {
		s.next--
	}
	s.spread()
}

// spread gives every consumer its share of the buckets and moves no more of
// them than that needs.
func (s *consumers) spread() {
	if s.buckets == nil {
		return
	}
	if len(s.all) == 0 {
		clear(s.buckets)
		return
	}
	share := make(map[*Consumer]int, len(s.all)) // how many each may still have
	for i, c := range s.all {
		share[c] = pinBuckets / len(s.all)
		if i < pinBuckets%len(s.all) {
			share[c]++
		}
	}
	for i, c := range s.buckets {
		if share[c] == 0 {
			s.buckets[i] = nil
			continue
		}
		share[c]--
	}
	to := 0
	for i, c := range s.buckets {
		if c != nil {
			continue
		}
		for share[s.all[to]] == 0 {
			to++
		}
		s.buckets[i] = s.all[to]
		share[s.all[to]]--
	}
}

// choose returns the consumer for m, or nil when m has to wait. Somebody has
// room.
func (s *consumers) choose(m *message) *Consumer {
	first := 0
	switch s.strategy {
	case Pinned, PinnedByCorrelation:
		if c := s.buckets[hash(s.pin(m))%pinBuckets]; c.room() {
			return c
		}
		return nil
	case RoundRobin:
		first = s.next
	}
	for i := range s.all {
		at := (first + i) % len(s.all)
		if s.all[at].room() {
			s.next = (at + 1) % len(s.all)
			return s.all[at]
		}
	}
	return nil
}

func (c *Consumer) room() bool { return c.held < c.client.Buffer }

// pin returns what keeps events together.
func (s *consumers) pin(m *message) string {
	e := m.Event
	if e == nil {
		e = m.Link
	}
	if s.strategy == PinnedByCorrelation {
		if id := e.Metadata.Get(eventstore.KeyCorrelationID); id != "" {
			return id
		}
	}
	return e.Stream
}

// hash is FNV-1a.
func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}
