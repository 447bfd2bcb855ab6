package projection

import "unsafe"

// slots finds cached values by key: an open-addressed table with linear
// probing. It is here instead of a map because the hash of a key is known
// already, from finding its partition, and because a run of keys can be touched
// before they are looked up: with many documents each look-up waits for memory,
// and those waits can lie side by side.
type slots[V any] struct {
	table []slot[V] // a power of two, at most three quarters full
	shift uint      // of a hash, to an index
	n     int
}

type slot[V any] struct {
	hash  uint64
	entry *cacheEntry[V]
}

const minSlots = 64

// home is where a hash belongs. Keys of one partition have hashes that are
// alike in some bits, so all are mixed.
func (s *slots[V]) home(hash uint64) int { return int(hash * 0x9E3779B97F4A7C15 >> s.shift) }

func (s *slots[V]) find(hash uint64, key string) *cacheEntry[V] {
	if s.n == 0 {
		return nil
	}
	mask := len(s.table) - 1
	for i := s.home(hash); ; i = (i + 1) & mask {
		at := &s.table[i]
		if at.entry == nil {
			return nil
		}
		if at.hash == hash && at.entry.key == key {
			return at.entry
		}
	}
}

// add adds an entry whose key is not there.
func (s *slots[V]) add(hash uint64, e *cacheEntry[V]) {
	if 4*(s.n+1) > 3*len(s.table) {
		s.grow()
	}
	s.put(hash, e)
	s.n++
}

func (s *slots[V]) put(hash uint64, e *cacheEntry[V]) {
	mask := len(s.table) - 1
	i := s.home(hash)
	for s.table[i].entry != nil {
		i = (i + 1) & mask
	}
	s.table[i] = slot[V]{hash, e}
}

func (s *slots[V]) grow() {
	old := s.table
	s.table = make([]slot[V], max(minSlots, 2*len(old)))
	s.shift = 64
	for n := len(s.table); n > 1; n >>= 1 {
		s.shift--
	}
	for _, at := range old {
		if at.entry != nil {
			s.put(at.hash, at.entry)
		}
	}
}

// remove takes an entry out and closes the gap that it leaves.
func (s *slots[V]) remove(hash uint64, e *cacheEntry[V]) {
	mask := len(s.table) - 1
	i := s.home(hash)
	for s.table[i].entry != e {
		i = (i + 1) & mask
	}
	s.n--
	for j := i; ; {
		j = (j + 1) & mask
		at := s.table[j]
		if at.entry == nil {
			break
		}
		// It may move up unless that would put it before its home.
		if home := s.home(at.hash); (j-home)&mask >= (j-i)&mask {
			s.table[i] = at
			i = j
		}
	}
	s.table[i] = slot[V]{}
}

// touch reads where a hash belongs, so that it is near when it is looked up.
func (s *slots[V]) touch(hash uint64) uint64 {
	if s.n == 0 {
		return 0
	}
	return s.table[s.home(hash)].hash
}

// keep returns the key as a string of its own: in the entry itself if it is
// short, where it is read together with the entry, and in no case as a part of
// something large, such as the chunk of a log that the name of a stream is in.
func (e *cacheEntry[V]) keep(key string) {
	if len(key) > len(e.short) {
		e.key = string([]byte(key))
		return
	}
	n := copy(e.short[:], key)
	e.key = unsafe.String(&e.short[0], n) //nolint:gosec // nobody writes to it again
}
