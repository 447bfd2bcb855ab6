package aggregate

import (
	"github.com/foldstream/foldstream/eventstore"
)

// recent remembers which commands led to the last events of a stream: of the
// hash of a command's id, the version of its last event. Two commands may have
// the same hash, so what is found must be looked at in the store.
//
// There are two generations, of which the older is forgotten whole.
type recent struct {
	upTo       eventstore.Version // all commands up to here were added
	limit      int                // of a generation; negative for none
	young, old map[uint64]eventstore.Version
}

// add says which command led to the event after upTo, or to none.
func (r *recent) add(commandID string, v eventstore.Version) {
	r.upTo = v
	if commandID == "" {
		return
	}
	if r.young == nil {
		r.young = make(map[uint64]eventstore.Version)
	}
	if r.limit > 0 && len(r.young) >= r.limit {
		r.old, r.young = r.young, r.old
		clear(r.young)
		if r.young == nil {
			r.young = make(map[uint64]eventstore.Version)
		}
	}
	r.young[hashID(commandID)] = v
}

// forget empties r, which may be nil.
func (r *recent) forget() {
	if r != nil {
		*r = recent{limit: r.limit}
	}
}

// find returns at which version the command may have ended, or 0.
func (r *recent) find(hash uint64) eventstore.Version {
	if v, ok := r.young[hash]; ok {
		return v
	}
	return r.old[hash]
}

// hashID is FNV-1a, 64 bits, http://www.isthe.com/chongo/tech/comp/fnv/: the
// same in every process, because snapshots keep it.
func hashID(id string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	return h
}
