package streamrules

import (
	"hash/maphash"

	"github.com/foldstream/foldstream/eventstore"
)

// RecentLimit is how many event ids a [Recent] remembers at least.
const RecentLimit = 1 << 16

// Recent remembers the ids of the last [RecentLimit] events, and at most as
// many older ones, so that a repeated append that expects no version is
// recognized. The zero value is empty. It is not safe for concurrent use.
//
// Every append comes by here, and most of what it costs is fetching memory: so
// there are two generations, of which the older is forgotten whole, because to
// forget ids one by one would mean to find each of them again.
type Recent struct {
	young, old generation
	seed       maphash.Seed
}

// A generation is a hash table of indexes into a list (linear probing). It
// holds no pointers, so that the garbage collector need not look into it.
type generation struct {
	marks []mark
	table []uint32 // index into marks plus one, and above it a part of the hash; 0 is free; a power of two, at least twice as long as marks
}

type mark struct {
	id  eventstore.ID
	pos eventstore.Position
}

const (
	indexBits = 17 // of an entry of the table
	indexMask = 1<<indexBits - 1
)

// Add remembers an id.
func (r *Recent) Add(id eventstore.ID, p eventstore.Position) {
	switch len(r.young.marks) {
	case 0:
		if r.young.table == nil {
			r.seed = maphash.MakeSeed()
		}
	case RecentLimit:
		r.young, r.old = r.old, r.young
		r.young.marks = r.young.marks[:0]
		clear(r.young.table)
	}
	g := &r.young
	if 2*len(g.marks) >= len(g.table) {
		g.grow(r.seed)
	}
	slot, entry := g.find(id, hashID(r.seed, id))
	if i := g.table[slot] & indexMask; i > 0 {
		g.marks[i-1].pos = p
		return
	}
	g.marks = append(g.marks, mark{id, p})
	g.table[slot] = entry | uint32(len(g.marks))
}

// Find returns the last position of an id, or 0.
func (r *Recent) Find(id eventstore.ID) eventstore.Position {
	if len(r.young.marks) == 0 {
		return 0
	}
	h := hashID(r.seed, id)
	for _, g := range []*generation{&r.young, &r.old} {
		if len(g.marks) == 0 {
			continue
		}
		slot, _ := g.find(id, h)
		if i := g.table[slot] & indexMask; i > 0 {
			return g.marks[i-1].pos
		}
	}
	return 0
}

// hashID returns a hash with a random seed: ids come from outside, counted up
// by some and chosen by others to collide.
func hashID(seed maphash.Seed, id eventstore.ID) uint64 { return maphash.Bytes(seed, id[:]) }

// find returns where id is in the table, or the free slot where it belongs, and
// the part of its hash that an entry there has.
func (g *generation) find(id eventstore.ID, hash uint64) (slot int, part uint32) {
	part = uint32(hash>>32) &^ indexMask
	mask := len(g.table) - 1
	for slot = int(hash) & mask; ; slot = (slot + 1) & mask {
		switch e := g.table[slot]; {
		case e == 0:
			return slot, part
		case e&^indexMask == part && g.marks[e&indexMask-1].id == id:
			return slot, part
		}
	}
}

func (g *generation) grow(seed maphash.Seed) {
	g.table = make([]uint32, max(64, 2*len(g.table)))
	for i := range g.marks {
		slot, part := g.find(g.marks[i].id, hashID(seed, g.marks[i].id))
		g.table[slot] = part | uint32(i+1)
	}
}
