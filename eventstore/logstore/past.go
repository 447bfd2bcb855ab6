package logstore

import (
	"fmt"
	"slices"
	"sync"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
)

// A stateCache remembers what sealed segments say of streams. It has two
// generations: what is asked for moves to the young one, and when that is full
// the old one is forgotten. It is safe for concurrent use.
type stateCache struct {
	mu         sync.Mutex
	young, old map[string]streamrules.State
	limit      int // of both together
	covers     int // the first so many segments are what it speaks of
	absorbing  bool
}

// get returns what is known of a stream.
func (c *stateCache) get(name string) (st streamrules.State, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if st, ok = c.young[name]; ok {
		return st, true
	}
	if st, ok = c.old[name]; ok {
		c.set(name, st)
	}
	return st, ok
}

// put notes what the first so many segments say of a stream, if those are all
// that the cache speaks of: who looked for what was before a segment that is
// being sealed has seen fewer.
func (c *stateCache) put(name string, st streamrules.State, segments int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if segments == c.covers && !c.absorbing {
		c.set(name, st)
	}
}

func (c *stateCache) set(name string, st streamrules.State) {
	if c.young == nil || len(c.young) >= max(c.limit/2, 1) {
		c.old, c.young = c.young, make(map[string]streamrules.State)
	}
	c.young[name] = st
}

// absorb notes what a segment that is sealed now says. Until it returns the
// segment's own tail goes before the cache.
func (c *stateCache) absorb(t *tail) {
	const step = 1024
	n := 0
	c.mu.Lock()
	c.absorbing = true
	for name, st := range t.streams {
		if st.complete {
			c.set(name, st.state)
		} else {
			delete(c.young, name)
			delete(c.old, name)
		}
		if n++; n%step == 0 { // let others in
			c.mu.Unlock()
			c.mu.Lock()
		}
	}
	c.absorbing = false
	c.covers++
	c.mu.Unlock()
}

// past returns what all segments but the last say of a stream, in the order of
// a view: tails that have no index file yet, the cache, the index files.
func (s *Store) past(name string, v view) (streamrules.State, error) {
	sealed := v.segs[:len(v.segs)-1]
	indexed := 0
	for i, seg := range slices.Backward(sealed) {
		c := seg.content.Load()
		if c == nil {
			return streamrules.State{}, eventstore.ErrClosed
		}
		_, t := c.indexes()
		if t == nil {
			indexed = i + 1 // index files are written in the order of the segments
			break
		}
		if st := t.streams[name]; st != nil {
			return s.complete(st, st.state, view{segs: v.segs[:i+1]})
		}
	}
	st, ok := s.states.get(name)
	if ok || len(sealed) == 0 {
		return st, nil
	}
	st, err := s.search(name, sealed)
	if err == nil && st != (streamrules.State{}) {
		s.states.put(name, st, indexed)
	}
	return st, err
}

// complete adds to what st says, which is state, what was before it. The last
// segment of v is the one that st is in.
func (s *Store) complete(st *stream, state streamrules.State, v view) (streamrules.State, error) {
	if st.complete {
		return state, nil
	}
	p, err := s.past(st.name, v)
	if err != nil {
		return state, err
	}
	if state.Last == 0 {
		state.Last = p.Last
	}
	state.Tombstoned = state.Tombstoned || p.Tombstoned
	if !st.hasMeta {
		state.Meta = p.Meta
	}
	return state, nil
}

// search returns what the index files of segments say of a stream.
func (s *Store) search(name string, segs []*segment) (streamrules.State, error) {
	var st streamrules.State
	err := s.searchLast(name, segs, false, func(f *frame) {
		st.Last, st.Tombstoned = f.version, f.has(flagTombstone)
	})
	if err != nil {
		return st, err
	}
	if _, isMeta := streamrules.Original(name); isMeta {
		return st, nil
	}
	err = s.searchLast(eventstore.MetadataStream(name), segs, true, func(f *frame) {
		st.Meta = streamrules.Metadata(string(f.contentType), f.data)
	})
	return st, err
}

// searchLast calls found with the last event of a stream, if there is one.
func (s *Store) searchLast(name string, segs []*segment, meta bool, found func(f *frame)) error {
	hash := hashName(name)
	for _, seg := range slices.Backward(segs) {
		c := seg.pin()
		if c == nil {
			return eventstore.ErrClosed
		}
		ok, err := c.lastOf(name, hash, meta, found)
		if err = firstError(err, c.release()); ok || err != nil {
			return err
		}
	}
	return nil
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// lastOf calls found with the last event of a stream in a segment, if there is
// one. What it is given lies in the mapping.
func (c *content) lastOf(name string, hash uint64, meta bool, found func(f *frame)) (ok bool, err error) {
	x, t := c.indexes()
	if x != nil && meta && x.metas == 0 {
		return false, nil
	}
	off := int64(headerSize)
	err = guard(c, &off, func() error {
		if x == nil {
			var f frame
			st := t.streams[name]
			if ok = st != nil && len(st.added) > 0; !ok {
				return nil
			}
			off = int64(st.added[len(st.added)-1])
			if err := c.frame(off, &f); err != nil {
				return err
			}
			found(&f)
			return nil
		}
		return c.stream(x, name, hash, &off, func(_ []byte, f *frame) { ok = true; found(f) })
	})
	return ok, err
}

// stream calls found with the postings of a stream in an index file and its
// last event, if there is one. Both lie in mappings: the caller guards it. off
// says where it is.
func (c *content) stream(x *sealedIndex, name string, hash uint64, off *int64, found func(postings []byte, last *frame)) error {
	var err error
	var f frame
	x.streams.find(hash, func(postings []byte) bool {
		*off = int64(le.Uint32(postings[len(postings)-4:]))
		if err = c.frame(*off, &f); err != nil {
			return true
		}
		if inPlace(f.stream) != name {
			return false
		}
		found(postings, &f)
		return true
	})
	return err
}

// frame makes f the frame at off, in the mapping: the caller guards it.
func (c *content) frame(off int64, f *frame) error {
	b, reason := c.frameBytes(off, c.size())
	if reason == "" {
		reason = f.decode(b, &c.base, off)
	}
	if reason != "" {
		return c.damaged(off, reason)
	}
	return nil
}

// frameBytes returns the bytes of the frame at off, which end before end, or
// what is wrong with its length.
func (c *content) frameBytes(off, end int64) ([]byte, string) {
	if off < headerSize || off >= end {
		return nil, fmt.Sprintf("an event is said to be here, and the data ends at %d", end)
	}
	n, k := frameLength(c.data[off:end])
	if k == 0 || int64(n) > end-off-int64(k)-4 {
		return nil, "impossible length of a frame"
	}
	return c.data[off : off+int64(k+4+n)], ""
}

func (c *content) damaged(off int64, reason string) error {
	return &eventstore.CorruptError{File: c.path, Offset: off, Reason: reason}
}
