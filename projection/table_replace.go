package projection

import "context"

// entry returns what is kept under a key, or a new one.
func (c *cached[V]) entry(key string) *cacheEntry[V] {
	known, ttl := c.complete, c.expiry.ttl
	c.complete, c.expiry.ttl = true, 0 // so that want has nothing loaded
	o := op{key: key}
	c.want(&o)
	c.complete, c.expiry.ttl = known, ttl
	return o.slot.(*cacheEntry[V])
}

func (d *documents[T]) replace(ctx context.Context, s Session, fresh table, keys []string) error {
	stored, err := s.Documents(ctx, d.name, keys)
	if err != nil {
		return err
	}
	from := fresh.(*documents[T])
	for i, key := range keys {
		e, now := d.entry(key), from.entry(key)
		for j, l := range d.lookups {
			listings, err := from.lookups[j].current(now)
			if err != nil {
				return err
			}
			l.now[e] = listings
			l.before[e] = without(append(l.known(e), l.decoded(d, key, stored[i])...), listings)
		}
		d.set(e, now.value, now.exists, false)
	}
	return nil
}

// known returns the listings of a document as it is in memory; none if they
// cannot be told.
func (l *lookup[T]) known(e *cacheEntry[T]) []Listing {
	kept := cacheEntry[T]{key: e.key, value: e.value, exists: e.exists}
	listings, err := l.current(&kept)
	if err != nil {
		return nil
	}
	return listings
}

// decoded returns the listings of a document as it is stored; none if that is
// damaged.
func (l *lookup[T]) decoded(d *documents[T], key string, data []byte) []Listing {
	e := cacheEntry[T]{key: key, exists: data != nil}
	if data == nil || d.enc.Unmarshal(data, &e.value) != nil {
		return nil
	}
	return l.known(&e)
}

// without leaves out of was the keys that are in now, which will be written
// whatever they were.
func without(was, now []Listing) []Listing {
	gone := make([]Listing, 0, len(was))
	for _, x := range was {
		kept := false
		for _, y := range now {
			kept = kept || x.Key == y.Key
		}
		if !kept {
			gone = append(gone, x)
		}
	}
	return gone
}

func (c *counts) replace(_ context.Context, _ Session, fresh table, keys []string) error {
	from := fresh.(*counts)
	for _, key := range keys {
		now := from.entry(key)
		c.set(c.entry(key), now.value, now.exists, false)
		if !now.exists {
			c.removed = append(c.removed, key)
		}
	}
	return nil
}

func (x *members) replace(ctx context.Context, s Session, fresh table, keys []string) error {
	from := fresh.(*members)
	for _, key := range keys {
		stored, err := s.Members(ctx, x.name, key)
		if err != nil {
			return err
		}
		for _, m := range stored {
			x.put(Entry{Key: key, Member: m.Member, Remove: true})
		}
	}
	for i := range from.entries {
		x.put(from.entries[i])
	}
	return nil
}

func (s *setMembers) replace(ctx context.Context, session Session, fresh table, keys []string) error {
	for _, key := range keys {
		stored, err := session.SetMembers(ctx, s.name, key)
		if err != nil {
			return err
		}
		for _, m := range stored {
			s.put(Entry{Key: key, Member: m, Remove: true})
		}
	}
	for _, e := range fresh.(*setMembers).entries {
		s.put(e)
	}
	return nil
}

// put is the last change of a member from now on.
func (x *members) put(e Entry) {
	id := [2]string{e.Key, e.Member}
	if i, ok := x.at[id]; ok {
		x.entries[i] = e
		return
	}
	x.at[id] = len(x.entries)
	x.entries = append(x.entries, e)
}

func (idle) replace(context.Context, Session, table, []string) error { return nil }
