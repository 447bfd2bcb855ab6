package projection

// cached keeps stored values by key for a worker: everything that it has
// written is there, up to a limit. What is over the limit goes by second
// chance: values that were used since the hand last passed stay once more.
type cached[V any] struct {
	name    string
	limit   int // 0 for none
	entries slots[V]
	ring    []*cacheEntry[V] // all entries, where there is a limit
	hand    int
	missing []string         // to be loaded
	loading []*cacheEntry[V] // the same
	dirty   []*cacheEntry[V] // to be flushed
	flying  []*cacheEntry[V] // in the batch in flight
	past    []V              // values to undo to, of this event
	pastHas []bool
	// complete says that what is not here is not stored either, which saves
	// the load while a view is built from nothing.
	complete bool
	hits     int64 // wanted and here, or known not to be stored
	misses   int64 // wanted and loaded
	expiry   expiry[V]
}

type cacheEntry[V any] struct {
	key    string
	hash   uint64
	exists bool
	dirty  bool
	flying bool
	used   bool     // since the hand last passed
	short  [24]byte // what key points into, if it fits
	value  V
}

func newCached[V any](name string, limit int) cached[V] { return cached[V]{name: name, limit: limit} }

func (c *cached[V]) startEmpty() { c.complete = true }

func (c *cached[V]) want(o *op) {
	hash := o.hash
	if hash == 0 {
		hash = hashOf(o.key)
	}
	e := c.entries.find(hash, o.key)
	if e != nil && c.expiry.ttl > 0 {
		c.renew(e)
	}
	if e == nil {
		e = &cacheEntry[V]{hash: hash}
		e.keep(o.key)
		c.entries.add(hash, e)
		if c.limit > 0 {
			c.ring = append(c.ring, e)
		}
		if !c.complete {
			c.missing = append(c.missing, e.key)
			c.loading = append(c.loading, e)
			c.misses++
			c.hits-- // taken back below
		}
		c.expiry.never(e) // what is not stored cannot expire
	}
	c.hits++
	e.used = true
	o.slot = e
}

func (c *cached[V]) set(e *cacheEntry[V], value V, exists, undo bool) {
	if undo {
		c.past, c.pastHas = append(c.past, e.value), append(c.pastHas, e.exists)
	}
	e.value, e.exists = value, exists
	if !e.dirty {
		e.dirty = true
		c.dirty = append(c.dirty, e)
	}
}

// undo leaves the entry dirty: writing what is stored again does no harm.
func (c *cached[V]) undo(o *op) {
	e, last := o.slot.(*cacheEntry[V]), len(c.past)-1
	e.value, e.exists = c.past[last], c.pastHas[last]
	c.past, c.pastHas = c.past[:last], c.pastHas[:last]
}

func (c *cached[V]) settle() {
	clear(c.past)
	c.past, c.pastHas = c.past[:0], c.pastHas[:0]
}

func (c *cached[V]) changes() int { return len(c.dirty) }

// usage returns hits, misses and how many values are kept.
func (c *cached[V]) usage() (hits, misses int64, kept int) { return c.hits, c.misses, c.entries.n }

// takeOff returns what is dirty and regards it as in flight from now on.
func (c *cached[V]) takeOff() []*cacheEntry[V] {
	c.dirty, c.flying = c.flying[:0], c.dirty
	for _, e := range c.flying {
		e.dirty, e.flying = false, true
	}
	c.expiry.written(c.flying)
	return c.flying
}

func (c *cached[V]) flushed() {
	for _, e := range c.flying {
		e.flying = false
	}
	clear(c.flying)
	c.flying = c.flying[:0]
	if c.limit > 0 && len(c.ring) > c.limit {
		c.evict(c.limit - c.limit/8) // not one by one
	}
}

// evict forgets values until keep are left. What is not stored yet stays.
func (c *cached[V]) evict(keep int) {
	c.complete = false
	for tries := 2 * len(c.ring); tries > 0 && len(c.ring) > keep; tries-- {
		if c.hand >= len(c.ring) {
			c.hand = 0
		}
		e := c.ring[c.hand]
		switch {
		case e.dirty || e.flying:
			c.hand++
		case e.used:
			e.used = false
			c.hand++
		default:
			last := len(c.ring) - 1
			c.ring[c.hand], c.ring[last] = c.ring[last], nil
			c.ring = c.ring[:last]
			c.entries.remove(e.hash, e)
			c.expiry.forget(e)
		}
	}
}

// loaded says that nothing is left to be loaded.
func (c *cached[V]) loaded() {
	clear(c.missing)
	clear(c.loading)
	c.missing, c.loading = c.missing[:0], c.loading[:0]
}

func (c *cached[V]) touch(hash uint64) uint64 { return c.entries.touch(hash) }
