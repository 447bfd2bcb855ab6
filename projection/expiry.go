package projection

import "time"

// expiry knows until when the kept values of documents with a TTL are surely
// still stored. A value lives for the TTL from when the store has carried out
// the commit; here it counts from before the commit was sent, so it ends here
// first. From then on the store is asked: only its time decides, and nothing
// that has expired is written again.
type expiry[V any] struct {
	ttl   time.Duration // 0: nothing expires
	until map[*cacheEntry[V]]time.Time
}

func newExpiry[V any](ttl time.Duration) expiry[V] {
	return expiry[V]{ttl: ttl, until: make(map[*cacheEntry[V]]time.Time)}
}

// endOfTime is for values that cannot expire: nothing is stored, or it is being
// loaded.
var endOfTime = time.Unix(1<<40, 0)

func (x *expiry[V]) never(e *cacheEntry[V]) {
	if x.ttl > 0 {
		x.until[e] = endOfTime
	}
}

// written notes that values are about to be committed.
func (x *expiry[V]) written(es []*cacheEntry[V]) {
	if x.ttl <= 0 {
		return
	}
	now := time.Now()
	for _, e := range es {
		if x.until[e] = endOfTime; e.exists {
			x.until[e] = now.Add(x.ttl)
		}
	}
}

// read notes that a value was loaded: it may expire at any moment, so it is
// good for the events at hand.
func (x *expiry[V]) read(e *cacheEntry[V]) { delete(x.until, e) }

func (x *expiry[V]) forget(e *cacheEntry[V]) { delete(x.until, e) }

// renew has a value loaded again that may have expired. One that is to be
// written, or is on its way, has not.
func (c *cached[V]) renew(e *cacheEntry[V]) {
	if e.dirty || e.flying || time.Now().Before(c.expiry.until[e]) {
		return
	}
	c.expiry.never(e) // only once
	c.missing = append(c.missing, e.key)
	c.loading = append(c.loading, e)
	c.misses++
	c.hits-- // the caller counts it
}
