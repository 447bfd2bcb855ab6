package aggregate

import (
	"context"
	"fmt"

	"github.com/foldstream/foldstream/eventstore"
)

// fresh returns the aggregate with everything that was committed before the
// call. The caller holds the cell, and is the busy one if it gives a recent,
// which is then brought up to the version returned.
func (r *Repository[S, E]) fresh(ctx context.Context, c *cell[S, E], ids *recent) (baseline[S], error) {
	c.remembered(ids)
	base, err := r.begin(ctx, c)
	if err != nil {
		return baseline[S]{}, err
	}
	l := r.loaders.Get().(*loader[S, E])
	defer l.free()
	read := false
	cold := base == nil
	if cold {
		defer func() { r.landed(c, l, read) }() // after a panic too
		err = r.readCold(ctx, c.stream, l, ids)
	} else if err = l.read(ctx, c.stream, base, ids); err == nil && l.stale {
		c.drop(base)
		c.remembered(ids)
		err = r.readCold(ctx, c.stream, l, ids)
	}
	if err != nil {
		return baseline[S]{}, fmt.Errorf("aggregate %s: load: %w", c.stream, err)
	}
	if read = true; !cold {
		r.keep(c, &l.baseline)
	}
	if ids != nil && ids.upTo < l.version {
		if err := r.catchUp(ctx, c.stream, ids, l.version); err != nil {
			return baseline[S]{}, fmt.Errorf("aggregate %s: look for earlier commands: %w", c.stream, err)
		}
	}
	return l.baseline, nil
}

// begin returns the baseline from which to read. It returns nil to the one who
// is to read the whole history and to call landed afterwards; others wait for
// that, and then read only what has come since.
func (r *Repository[S, E]) begin(ctx context.Context, c *cell[S, E]) (*baseline[S], error) {
	for {
		c.mu.Lock()
		switch {
		case c.base != nil:
			base := c.base
			c.mu.Unlock()
			return base, nil
		case !c.loading:
			c.loading = true
			c.mu.Unlock()
			return nil, nil
		case c.flight == nil:
			c.flight = &flight[S]{done: make(chan struct{})}
		}
		f := c.flight
		c.mu.Unlock()
		select {
		case <-f.done:
			if f.base != nil {
				return f.base, nil
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("aggregate %s: load: wait for who reads it: %w", c.stream, ctx.Err())
		}
	}
}

// landed ends what begin began.
func (r *Repository[S, E]) landed(c *cell[S, E], l *loader[S, E], read bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loading = false
	var b *baseline[S]
	if read && l.version > 0 && (r.cells.keep || c.flight != nil) {
		b = new(l.baseline)
	}
	if c.flight != nil {
		c.flight.base = b
		close(c.flight.done)
		c.flight = nil
	}
	if r.cells.keep {
		c.base = b
	}
}

// keep makes b the baseline, if that is a step forward.
func (r *Repository[S, E]) keep(c *cell[S, E], b *baseline[S]) {
	if !r.cells.keep {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.base == nil || c.base.version < b.version {
		c.base = new(*b)
	}
}

// drop forgets a baseline that turned out to be of another history.
func (c *cell[S, E]) drop(base *baseline[S]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outdated = true
	if c.base == base {
		c.base = nil
	}
}

// remembered empties ids if they are of another history.
func (c *cell[S, E]) remembered(ids *recent) {
	if ids == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outdated {
		*ids, c.outdated = recent{limit: ids.limit}, false
	}
}

// catchUp adds the commands of events that were not read for their ids.
func (r *Repository[S, E]) catchUp(ctx context.Context, stream string, ids *recent, to eventstore.Version) error {
	if r.snaps != nil && to-ids.upTo > worthRecalling {
		r.recall(ctx, stream, ids, to)
	}
	from := ids.upTo + 1
	if n := eventstore.Version(max(ids.limit, 0)); n > 0 && to > n {
		from = max(from, to-n+1)
	}
	for rec, err := range r.store.Read(ctx, stream, eventstore.ReadOptions{From: from, Limit: int(to - from + 1)}) {
		if err != nil {
			return err
		}
		ids.add(rec.Metadata.Get(eventstore.KeyCommandID), rec.Version)
	}
	ids.upTo = to
	return nil
}
