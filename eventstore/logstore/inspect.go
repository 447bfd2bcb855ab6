package logstore

import "github.com/foldstream/foldstream/eventstore"

// An Inspection is what a [Store] says about itself at length.
type Inspection struct {
	Stats

	Removed    uint64 // positions whose events scavenges have removed
	IndexBytes int64  // of index files, which are mapped
	// Memory is about how many bytes on the heap the store itself needs: the
	// index of the last segment, the states of streams that it remembers, and
	// the ids of the last events. It is bounded, see [Options.StreamCache].
	Memory int64
	Files  []SegmentStats // in the order of positions
}

// SegmentStats describe one segment.
type SegmentStats struct {
	File       string // path
	First      eventstore.Position
	Last       eventstore.Position // of the segment, not of an event; below First when it is empty
	Events     uint64
	Bytes      int64  // used in the file, which is sparse
	IndexBytes int64  // of its index file; 0 when the index is in memory
	Generation uint32 // how often it was rewritten
	Sealed     bool   // nothing is appended to it any more
}

// Removed returns how many positions of the segment have no event any more.
func (g *SegmentStats) Removed() uint64 { return uint64(g.Last+1-g.First) - g.Events }

// What things take in memory, measured roughly.
const (
	streamMemory = 220 // of a stream in a tail: entry of the map, struct, name
	stateMemory  = 150 // of a stream in the cache
	tagMemory    = 60  // of a tag in a tail
	recentMemory = 40  // of an id
)

// Inspect returns how much the store holds, where, and what that costs. It
// reads nothing from the disk.
func (s *Store) Inspect() Inspection {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i := Inspection{Stats: s.statsLocked()}
	for _, seg := range s.segs {
		c := seg.content.Load()
		if c == nil { // closed
			continue
		}
		g := SegmentStats{File: seg.path, First: seg.first, Generation: c.header.generation, Sealed: c != s.grows}
		x, t := c.indexes()
		if c == s.grows {
			g.Last, g.Events, g.Bytes = s.head, uint64(s.head+1-seg.first), s.end
		} else {
			sum := c.summary()
			g.Last, g.Events, g.Bytes = sum.last, uint64(sum.events), sum.end
		}
		if x != nil {
			g.IndexBytes = int64(x.size)
		}
		if t != nil {
			i.Memory += streamMemory*int64(len(t.streams)) + 5*int64(g.Events) // 4 for the offset, and the blocks
			i.Memory += tagMemory*int64(len(t.tags)) + 4*int64(t.tagged)
		}
		i.IndexBytes += g.IndexBytes
		i.Removed += g.Removed()
		i.Files = append(i.Files, g)
	}
	i.Memory += stateMemory*s.states.size() + recentMemory*int64(min(s.events, 1<<16))
	return i
}

// size returns how many streams are remembered.
func (c *stateCache) size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(len(c.young) + len(c.old))
}
