package redisview

import (
	"sync/atomic"
	"time"
)

// kept is what a [ClientCache] keeps. Its lock is that of the cache.
type kept struct {
	docs      map[string]*keptDocument // by key in Redis
	pointers  map[string]*pointer      // by key in Redis; one for each view
	ring      []*keptDocument
	hand      int
	bytes     int64
	evictions int64
	maxDocs   int
	maxBytes  int64
}

type keptDocument struct {
	key    string
	value  []byte // nil: there is none
	asked  time.Time
	ttl    time.Duration // counted from asked; 0 is for good
	size   int64
	at     int // in the ring
	recent atomic.Bool
}

const keptOverhead = 128 // bytes of one document besides key and value, about

func (k *kept) init(maxDocs int, maxBytes int64) {
	k.maxDocs, k.maxBytes = maxDocs, maxBytes
	k.docs = make(map[string]*keptDocument)
	k.pointers = make(map[string]*pointer)
}

// get returns a document that is there and has not expired. It changes nothing
// that the lock guards, so that many can call it at a time.
func (k *kept) get(key string, now time.Time) *keptDocument {
	d := k.docs[key]
	if d == nil || d.ttl > 0 && elapsed(d.asked, now) >= d.ttl {
		return nil
	}
	if !d.recent.Load() {
		d.recent.Store(true)
	}
	return d
}

// put keeps d, and lets others go if there are too many: those that were not
// used since the hand last passed.
func (k *kept) put(d *keptDocument) {
	k.remove(d.key)
	d.size = int64(len(d.key)+len(d.value)) + keptOverhead
	if d.size > k.maxBytes {
		return
	}
	for len(k.ring) > 0 && (len(k.ring) >= k.maxDocs || k.bytes+d.size > k.maxBytes) {
		if k.hand >= len(k.ring) {
			k.hand = 0
		}
		if old := k.ring[k.hand]; old.recent.Swap(false) {
			k.hand++
		} else {
			k.evictions++
			k.remove(old.key)
		}
	}
	d.at = len(k.ring)
	k.docs[d.key], k.ring = d, append(k.ring, d)
	k.bytes += d.size
}

func (k *kept) remove(key string) {
	d := k.docs[key]
	if d == nil {
		return
	}
	delete(k.docs, key)
	last := len(k.ring) - 1
	k.ring[d.at], k.ring[last].at = k.ring[last], d.at
	k.ring[last] = nil
	k.ring = k.ring[:last]
	k.bytes -= d.size
}

// changed drops what is kept under a key.
func (k *kept) changed(key string) {
	k.remove(key)
	delete(k.pointers, key)
}

func (k *kept) clear() {
	clear(k.docs)
	clear(k.pointers)
	clear(k.ring)
	k.ring, k.hand, k.bytes = k.ring[:0], 0, 0
}

// elapsed returns the time from then to now by the clock that runs steadily or
// by the one on the wall, whichever says more: the first stands still while a
// machine sleeps, the second may be set.
func elapsed(then, now time.Time) time.Duration {
	return max(now.Sub(then), now.Round(0).Sub(then.Round(0)))
}
