package streamrules

import (
	"hash/maphash"

	"github.com/foldstream/foldstream/eventstore"
)

// RecentLimit is how many event ids a [Recent] remembers.
const RecentLimit = 1 << 16

// Recent remembers the ids of the last [RecentLimit] events, so that a repeated
// append that expects no version is recognized. The zero value is empty. It is
// not safe for concurrent use.
//
// It is a ring with a hash table of indexes into it (linear probing), because
// a map costs more than all the rest of an append in memory. It holds no
// pointers, so that the garbage collector need not look into it.
type Recent struct {
	ring  []mark
	seed  maphash.Seed
	next  int      // the oldest, once the ring is full
	table []uint32 // index into ring plus one; 0 is free; a power of two, at least twice as long as ring
}

type mark struct {
	id  eventstore.ID
	pos eventstore.Position
}

// Add remembers an id, and forgets the oldest when there are too many.
func (r *Recent) Add(id eventstore.ID, p eventstore.Position) {
	i := r.next
	if len(r.ring) < RecentLimit {
		i = len(r.ring)
		r.ring = append(r.ring, mark{id, p})
		if 2*len(r.ring) > len(r.table) {
			r.grow()
			return
		}
	} else {
		r.forget(i)
		r.ring[i] = mark{id, p}
		r.next = (i + 1) % RecentLimit
	}
	r.table[r.slot(id)] = uint32(i) + 1
}

// Find returns the last position of an id, or 0.
func (r *Recent) Find(id eventstore.ID) eventstore.Position {
	if len(r.table) == 0 {
		return 0
	}
	if i := r.table[r.slot(id)]; i > 0 {
		return r.ring[i-1].pos
	}
	return 0
}

// slot returns where id is in the table, or the free slot where it belongs.
func (r *Recent) slot(id eventstore.ID) int {
	for s := r.home(id); ; s = (s + 1) & (len(r.table) - 1) {
		if i := r.table[s]; i == 0 || r.ring[i-1].id == id {
			return s
		}
	}
}

// home returns where id would like to be. The hash has a random seed: ids come
// from outside, counted up by some and chosen by others to collide.
func (r *Recent) home(id eventstore.ID) int {
	return int(maphash.Bytes(r.seed, id[:])) & (len(r.table) - 1)
}

func (r *Recent) grow() {
	if r.table == nil {
		r.seed = maphash.MakeSeed()
	}
	r.table = make([]uint32, max(64, 2*len(r.table)))
	for i := range r.ring {
		r.table[r.slot(r.ring[i].id)] = uint32(i) + 1
	}
}

// forget takes ring[i] out of the table and closes the hole it leaves.
func (r *Recent) forget(i int) {
	hole := r.slot(r.ring[i].id)
	if r.table[hole] != uint32(i)+1 {
		return // used again since
	}
	r.table[hole] = 0
	mask := len(r.table) - 1
	for s := (hole + 1) & mask; r.table[s] != 0; s = (s + 1) & mask {
		home := r.home(r.ring[r.table[s]-1].id)
		if (s-home)&mask >= (s-hole)&mask {
			r.table[hole], r.table[s] = r.table[s], 0
			hole = s
		}
	}
}
