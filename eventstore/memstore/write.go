package memstore

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
)

// do decides op and carries it out in one step.
func (s *Store) do(ctx context.Context, op streamrules.Op) (eventstore.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.alive(ctx); err != nil {
		return eventstore.Receipt{}, err
	}
	plan, err := op.Decide((*view)(s))
	if err != nil || plan.N == 0 {
		return plan.Receipt, err
	}
	created := s.now().UTC().Round(0)
	for i := range plan.N {
		s.write(&plan.Writes[i], created)
		if i == 0 {
			plan.Receipt.Position = s.head
		}
	}
	s.waiters.Wake()
	return plan.Receipt, nil
}

func (s *Store) write(w *streamrules.Write, created time.Time) {
	st := s.stream(w.Stream)
	st.State = w.After(st.State)
	for i := range w.Events {
		e := &w.Events[i]
		r := s.next()
		*r = eventstore.Recorded{
			ID: e.ID, Stream: w.Stream, Version: w.First + eventstore.Version(i), Position: s.head,
			Type: e.Type, ContentType: e.ContentType, Created: created,
			Data: s.copy(e.Data), Metadata: e.Metadata,
		}
		if r.ID.IsZero() {
			r.ID = eventstore.NewID()
		}
		if r.ContentType == "" {
			r.ContentType = eventstore.ContentTypeBinary
		}
		st.events = append(st.events, r)
		if s.recalls {
			s.recent.Add(r.ID, r.Position)
		}
		if r.Metadata.MayHaveTags() {
			s.tag(r)
		}
	}
	s.waiters.WakeStream(w.Stream)
	orig, isMeta := streamrules.Original(w.Stream)
	if isMeta {
		s.stream(orig).Meta = w.Metadata()
	}
	if w.Tombstone {
		s.waiters.WakeStream(eventstore.MetadataStream(w.Stream))
	}
}

// tag notes under which tags an event is found.
func (s *Store) tag(r *eventstore.Recorded) {
	for tag := range r.Metadata.Tags() {
		at, known := s.tagged[tag]
		if !known {
			tag = strings.Clone(tag)
		}
		if n := len(at); n == 0 || at[n-1] != r.Position { // metadata of others may repeat a tag
			s.tagged[tag] = append(at, r.Position)
		}
	}
}

func (s *Store) stream(name string) *stream {
	st := s.find(name)
	if st == nil {
		if len(s.spare) == 0 {
			s.spare = make([]stream, chunkSize)
		}
		st, s.spare = &s.spare[0], s.spare[1:]
		st.events = st.first[:0]
		s.streams[name] = st
		s.found = st
	}
	return st
}

// copy returns a copy of data, in memory that it shares with others: nothing is
// freed before the store is.
func (s *Store) copy(data []byte) []byte {
	if len(data) > cap(s.data)-len(s.data) {
		if len(data) > dataSize/8 {
			return slices.Clone(data)
		}
		s.data = make([]byte, 0, dataSize)
	}
	at := len(s.data)
	s.data = append(s.data, data...)
	return s.data[at:len(s.data):len(s.data)]
}

// find returns a stream or nil. A change asks for the same one several times.
func (s *Store) find(name string) *stream {
	if name != s.sought {
		s.sought, s.found = name, s.streams[name]
	}
	return s.found
}

// recall remembers the last ids from now on. Appends that expect an exact
// version never ask for them.
func (s *Store) recall() {
	first := eventstore.Position(1)
	if s.head > streamrules.RecentLimit {
		first = s.head - streamrules.RecentLimit + 1
	}
	for p := first; p <= s.head; p++ {
		s.recent.Add(at(s.log, p).ID, p)
	}
	s.recalls = true
}

// next returns room for the event at the position after the head.
func (s *Store) next() *eventstore.Recorded {
	i := int(s.head % chunkSize)
	if i == 0 {
		s.log = append(s.log, new(chunk))
	}
	s.head++
	return &s.log[len(s.log)-1][i]
}

// A view is the store as a decision sees it; the lock is held.
type view Store

func (v *view) State(stream string) streamrules.State {
	if st := (*Store)(v).find(stream); st != nil {
		return st.State
	}
	return streamrules.State{}
}

func (v *view) EventAt(stream string, at eventstore.Version) (eventstore.ID, eventstore.Position, error) {
	r := v.streams[stream].events[at-1]
	return r.ID, r.Position, nil
}

func (v *view) Recent(id eventstore.ID) (streamrules.Place, bool, error) {
	if !v.recalls {
		(*Store)(v).recall()
	}
	p := v.recent.Find(id)
	if p == 0 {
		return streamrules.Place{}, false, nil
	}
	r := at(v.log, p)
	return streamrules.Place{Stream: r.Stream, Version: r.Version, Position: p}, true, nil
}

func (v *view) First(q eventstore.Query, after eventstore.Position) (eventstore.Recorded, bool, error) {
	s := (*Store)(v)
	if after >= s.head {
		return eventstore.Recorded{}, false, nil
	}
	m := s.merge(q)
	m.next, m.last = after+1, s.head
	for {
		p, ok := m.step()
		if !ok {
			return eventstore.Recorded{}, false, nil
		}
		if r := at(s.log, p); q.Matches(r.Type, r.Metadata) {
			return *r, true, nil
		}
	}
}
