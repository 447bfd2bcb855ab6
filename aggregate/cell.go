package aggregate

import (
	"hash/maphash"
	"sync"

	"github.com/foldstream/foldstream/eventstore"
)

// A baseline is an aggregate as it was at one version: where reading begins.
// It is never changed.
type baseline[S any] struct {
	state    S
	version  eventstore.Version
	position eventstore.Position
	mark     mark
}

func (b *baseline[S]) loaded(stream string) Loaded[S] {
	return Loaded[S]{State: b.state, Stream: stream, Version: b.version, Position: b.position}
}

// isOf reports whether rec is the last event of b.
func (b *baseline[S]) isOf(rec *eventstore.Recorded) bool {
	return rec.Version == b.version && rec.Position == b.position && rec.ID == b.mark.lastID
}

// goOn makes rec the last event of b, whose state has it already.
func (b *baseline[S]) goOn(rec *eventstore.Recorded) {
	if b.version == 0 {
		b.mark.first, b.mark.since = rec.Version, rec.Created.UnixNano()
	}
	b.version, b.position = rec.Version, rec.Position
	b.mark.lastID = rec.ID
	b.mark.bytes += int64(len(rec.Data) + rec.Metadata.Size() + 2*len(rec.Type)) // as [eventstore.Event.Size]
}

// A cell is what this process has of one aggregate: the queue of its commands
// and, perhaps, a baseline.
type cell[S, E any] struct {
	stream string

	mu      sync.Mutex
	busy    bool          // somebody carries out commands
	queue   []*work[S, E] // that wait, oldest first
	base    *baseline[S]  // nil when none is kept
	loading bool          // somebody reads the history
	flight  *flight[S]    // of those who wait for it

	outdated bool   // recent is of another history
	recent   recent // of whoever is busy

	// Guarded by the shard. A cell without users that is worth keeping is in
	// the list of its shard, the most recently used first.
	users      int
	prev, next *cell[S, E]
}

// A flight is a read of a history that others wait for.
type flight[S any] struct {
	done chan struct{}
	base *baseline[S] // nil when it failed
}

// cells finds the cell of a stream. All callers that hold a stream's cell hold
// the same one.
type cells[S, E any] struct {
	seed   maphash.Seed
	keep   bool
	shards [cellShards]shard[S, E]
}

const cellShards = 16

type shard[S, E any] struct {
	mu    sync.Mutex
	cells map[string]*cell[S, E]
	idle  cell[S, E] // the list's ring
	kept  int        // cells in the list
	limit int
	spare []*cell[S, E] // for new streams
	_     [64]byte      // shards do not share a cache line
}

const maxSpare = 64

func (t *cells[S, E]) init(limit int) {
	t.seed, t.keep = maphash.MakeSeed(), limit > 0
	for i := range t.shards {
		s := &t.shards[i]
		s.cells = make(map[string]*cell[S, E])
		s.idle.prev, s.idle.next = &s.idle, &s.idle
		s.limit = max(0, (limit+cellShards-1)/cellShards)
	}
}

func (t *cells[S, E]) shard(stream string) *shard[S, E] {
	return &t.shards[maphash.String(t.seed, stream)%cellShards]
}

// acquire returns the cell of a stream, which stays its cell until it is
// released as often as it was acquired.
func (t *cells[S, E]) acquire(stream string) *cell[S, E] {
	s := t.shard(stream)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cells[stream]
	switch {
	case c == nil:
		if n := len(s.spare); n > 0 {
			c, s.spare = s.spare[n-1], s.spare[:n-1]
		} else {
			c = new(cell[S, E])
		}
		c.stream = stream
		s.cells[stream] = c
	case c.users == 0:
		s.unlink(c)
	}
	c.users++
	return c
}

func (t *cells[S, E]) release(c *cell[S, E]) {
	s := t.shard(c.stream)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.users--; c.users > 0 {
		return
	}
	if c.base == nil { // nobody else has the cell now, so nothing needs its lock
		s.forget(c)
		return
	}
	c.prev, c.next = &s.idle, s.idle.next
	c.prev.next, c.next.prev = c, c
	if s.kept++; s.kept > s.limit {
		oldest := s.idle.prev
		s.unlink(oldest)
		s.forget(oldest)
	}
}

func (s *shard[S, E]) unlink(c *cell[S, E]) {
	c.prev.next, c.next.prev = c.next, c.prev
	c.prev, c.next = nil, nil
	s.kept--
}

func (s *shard[S, E]) forget(c *cell[S, E]) {
	delete(s.cells, c.stream)
	if len(s.spare) < maxSpare {
		*c = cell[S, E]{queue: c.queue[:0]}
		s.spare = append(s.spare, c)
	}
}
