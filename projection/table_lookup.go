package projection

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// listed is a [Collection] with lookups, as the engine sees it.
type listed[T any] struct {
	*Collection[T]
	lookups []lookupPart[T]
}

type lookupPart[T any] struct {
	name     string
	listings func(key string, doc T) []Listing
}

func (c *listed[T]) newTable(limit int, careful bool) table {
	d := c.Collection.newTable(limit, careful).(*documents[T])
	for _, l := range c.lookups {
		d.lookups = append(d.lookups, &lookup[T]{
			lookupPart: l,
			before:     map[*cacheEntry[T]][]Listing{}, now: map[*cacheEntry[T]][]Listing{}, scores: map[string]float64{},
		})
	}
	return d
}

// lookup is the part of the table of documents that keeps one [Lookup] in step.
// A document's listings are made for every event, so that it does not depend on
// batches which event they refuse, and compared once per batch, as they were at
// the last flush with what they are at this one.
type lookup[T any] struct {
	lookupPart[T]
	before map[*cacheEntry[T]][]Listing // of documents that may have changed since the last flush
	now    map[*cacheEntry[T]][]Listing // of those, as they are; made again where it is missing
	met    []Listing                    // what a document is about to have
	out    []Entry
	scores map[string]float64 // scratch
}

// remember keeps the listings of a document that is about to change.
func (l *lookup[T]) remember(e *cacheEntry[T]) error {
	if e.dirty || !e.exists {
		return nil // it has been remembered, or there is nothing to remember
	}
	listings, err := l.of(e.key, e.value)
	if err == nil {
		l.before[e] = listings
	}
	return err
}

// meet makes the listings of what a document is about to become, in all its
// lookups or in none.
func (d *documents[T]) meet(e *cacheEntry[T], doc T) (err error) {
	for _, l := range d.lookups {
		if l.met, err = l.of(e.key, doc); err != nil {
			return err
		}
	}
	for _, l := range d.lookups {
		l.now[e], l.met = l.met, nil
	}
	return nil
}

// forget says that the listings of a document are not those it has met last.
func (d *documents[T]) forget(e *cacheEntry[T]) {
	for _, l := range d.lookups {
		delete(l.now, e)
	}
}

func (d *documents[T]) undo(o *op) {
	d.forget(o.slot.(*cacheEntry[T]))
	d.cached.undo(o)
}

// of returns the listings of a document, each key once.
func (l *lookup[T]) of(key string, doc T) ([]Listing, error) {
	all := l.listings(key, doc)
	once := make([]Listing, 0, len(all))
	defer clear(l.scores)
	for _, x := range slices.Backward(all) { // the last one counts
		if math.IsNaN(x.Score) {
			return nil, fmt.Errorf("document %q has no score (NaN) under key %q of %s", key, x.Key, l.name)
		}
		if _, twice := l.scores[x.Key]; !twice {
			l.scores[x.Key] = x.Score
			once = append(once, x)
		}
	}
	return once, nil
}

// current returns the listings of a document as it is. An error or a panic is
// that of a function that is not as it should be: it has listed this document
// before.
func (l *lookup[T]) current(e *cacheEntry[T]) (listings []Listing, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	if !e.exists {
		return nil, nil
	}
	if listings, ok := l.now[e]; ok {
		return listings, nil
	}
	return l.of(e.key, e.value)
}

// compare adds the entries that make the stored listings of a document those of
// what it is now.
func (l *lookup[T]) compare(e *cacheEntry[T]) error {
	now, err := l.current(e)
	if err != nil {
		return fmt.Errorf("listings of %q in %s: %w", e.key, l.name, err)
	}
	was := l.before[e]
	defer clear(l.scores)
	for _, x := range now {
		l.scores[x.Key] = x.Score
	}
	for _, x := range was {
		score, still := l.scores[x.Key]
		switch {
		case !still:
			l.out = append(l.out, Entry{Key: x.Key, Member: e.key, Remove: true})
		case score == x.Score:
			delete(l.scores, x.Key)
		}
	}
	for _, x := range now {
		if _, changed := l.scores[x.Key]; changed {
			l.out = append(l.out, Entry{Key: x.Key, Member: e.key, Score: x.Score})
		}
	}
	return nil
}

// flushLookups adds what has changed in the lookups by documents that go into a batch.
func (d *documents[T]) flushLookups(b *Batch, changed []*cacheEntry[T]) error {
	for _, l := range d.lookups {
		l.out = l.out[:0]
		for _, e := range changed {
			if err := l.compare(e); err != nil {
				return err
			}
		}
		clear(l.before)
		clear(l.now)
		if len(l.out) > 0 {
			b.Indexes = append(b.Indexes, IndexChanges{Collection: l.name, Entries: l.out})
		}
	}
	return nil
}

func (l *Lookup[T]) newTable(int, bool) table { return idle{} }

// idle is the table of a [Lookup], which that of its collection looks after.
type idle struct{}

func (idle) startEmpty()                         {}
func (idle) want(*op)                            {}
func (idle) load(context.Context, Session) error { return nil }
func (idle) apply(*op, any, *Meta, bool) error   { return nil }
func (idle) undo(*op)                            {}
func (idle) settle()                             {}
func (idle) changes() int                        { return 0 }
func (idle) flush(*Batch) error                  { return nil }
func (idle) flushed()                            {}
