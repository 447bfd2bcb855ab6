package streamrules

import "github.com/foldstream/foldstream/eventstore"

// RecentLimit is how many event ids a [Recent] remembers.
const RecentLimit = 1 << 16

// A Place says where an event is.
type Place struct {
	Stream   string
	Version  eventstore.Version
	Position eventstore.Position
}

// Recent remembers the ids of the last [RecentLimit] events, so that a repeated
// append that expects no version is recognized. The zero value is empty. It is
// not safe for concurrent use.
type Recent struct {
	at   map[eventstore.ID]Place
	ring []mark
	next int
}

type mark struct {
	id  eventstore.ID
	pos eventstore.Position
}

// Add remembers an id, and forgets the oldest when there are too many.
func (r *Recent) Add(id eventstore.ID, p Place) {
	if r.at == nil {
		r.at = make(map[eventstore.ID]Place)
	}
	m := mark{id, p.Position}
	if len(r.ring) < RecentLimit {
		r.ring = append(r.ring, m)
	} else {
		old := r.ring[r.next]
		if r.at[old.id].Position == old.pos { // else used again since
			delete(r.at, old.id)
		}
		r.ring[r.next] = m
		r.next = (r.next + 1) % RecentLimit
	}
	r.at[id] = p
}

// Find returns the last place of an id.
func (r *Recent) Find(id eventstore.ID) (Place, bool) {
	p, ok := r.at[id]
	return p, ok
}
