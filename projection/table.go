package projection

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// A table is the part of a target that one partition's worker has in memory:
// what it has read and written, and what waits for the next commit.
type table interface {
	// startEmpty says that nothing is stored in the partition yet.
	startEmpty()
	// want notes that an op will need what is stored under its key, and sets
	// its slot.
	want(o *op)
	// load reads what was noted and is not here.
	load(ctx context.Context, s Session) error
	// apply makes a change in memory, or returns an error and makes none. With
	// undo it keeps what undo needs, until settle.
	apply(o *op, event any, m *Meta, undo bool) error
	// undo takes back the last apply of an op that succeeded; it is called in
	// reverse order, before anything else is applied.
	undo(o *op)
	// settle makes the applied changes of an event final: no undo will come.
	settle()
	// changes returns how many writes the next flush will hold.
	changes() int
	// flush adds what has changed since the last flush to a batch. Until
	// flushed is called the batch is in flight: apply may go on, but no other
	// flush may come, as the batch points into buffers of the table.
	flush(b *Batch) error
	// flushed is called after the batch was committed.
	flushed()
	// replace has what is kept and stored under keys become what fresh, a table
	// of the same target, has there. Nothing may wait for a commit.
	replace(ctx context.Context, s Session, fresh table, keys []string) error
}

// documents is the table of a [Collection].
type documents[T any] struct {
	cached[T]
	enc     Encoding
	check   bool // encode each result at once, so that one that cannot be is found
	puts    []KeyValue
	delete  []string
	buf     []byte // what puts point into; used again, as a commit keeps nothing
	trial   []byte // of check
	encoded int    // documents in the last batch that had any
	size    int    // bytes of those
	lookups []*lookup[T]
}

func (c *Collection[T]) newTable(limit int, careful bool) table {
	d := &documents[T]{cached: newCached[T](c.name, limit), enc: c.enc, check: careful}
	if c.ttl > 0 {
		d.expiry = newExpiry[T](c.ttl)
	}
	return d
}

func (d *documents[T]) load(ctx context.Context, s Session) error {
	if len(d.missing) == 0 {
		return nil
	}
	found, err := s.Documents(ctx, d.name, d.missing)
	if err != nil {
		return err
	}
	for i, data := range found {
		e := d.loading[i]
		if d.expiry.ttl > 0 {
			var none T
			e.value, e.exists = none, false // or what has expired would stay
		}
		if data != nil {
			d.expiry.read(e)
			if err := d.enc.Unmarshal(data, &e.value); err != nil {
				return fmt.Errorf("document %q of %s does not fit %T: %w; rebuild the view", e.key, d.name, e.value, err)
			}
			e.exists = true
		}
	}
	d.loaded()
	return nil
}

func (d *documents[T]) apply(o *op, event any, m *Meta, undo bool) error {
	e := o.slot.(*cacheEntry[T])
	for _, l := range d.lookups { // before a fold that is not as it should be can change it
		if err := l.remember(e); err != nil {
			return err
		}
	}
	doc, err := o.binding.fold.(func(T, any, Meta) (T, error))(e.value, event, *m)
	switch {
	case errors.Is(err, ErrDeleteDocument):
		var none T
		d.forget(e)
		d.set(e, none, false, undo)
	case err != nil:
		return err
	default:
		if d.check {
			if err := d.try(e.key, doc); err != nil {
				return err
			}
		}
		if err := d.meet(e, doc); err != nil {
			return err
		}
		d.set(e, doc, true, undo)
	}
	return nil
}

// try looks whether a document can be encoded. It has a copy of its own, or
// every document would be on the heap.
func (d *documents[T]) try(key string, doc T) (err error) {
	if d.trial, err = d.enc.Append(d.trial[:0], &doc); err != nil {
		return fmt.Errorf("document %q of %s cannot be encoded: %w", key, d.name, err)
	}
	return nil
}

// bytes guesses the size of what is dirty by that of the last batch.
func (d *documents[T]) bytes() int {
	if d.encoded == 0 {
		return 0
	}
	return len(d.dirty) * (d.size / d.encoded)
}

func (d *documents[T]) changes() int { return len(d.dirty) * (1 + len(d.lookups)) }

func (d *documents[T]) flush(b *Batch) error {
	d.puts, d.delete, d.buf = d.puts[:0], d.delete[:0], d.buf[:0]
	changed := d.takeOff()
	if err := d.flushLookups(b, changed); err != nil {
		return err
	}
	for _, e := range changed {
		if !e.exists {
			d.delete = append(d.delete, e.key)
			continue
		}
		start := len(d.buf)
		if err := d.encode(&e.value); err != nil {
			return fmt.Errorf("%w: %q of %s: %w", errEncode, e.key, d.name, err)
		}
		d.puts = append(d.puts, KeyValue{Key: e.key, Value: d.buf[start:len(d.buf):len(d.buf)]})
	}
	if len(d.puts) > 0 {
		d.encoded, d.size = len(d.puts), len(d.buf)
	}
	if len(d.puts)+len(d.delete) > 0 {
		b.Documents = append(b.Documents, DocumentChanges{Collection: d.name, TTL: d.expiry.ttl, Put: d.puts, Delete: d.delete})
	}
	return nil
}

// errEncode means that a document cannot be encoded. Which event made it so is
// not known any more: the batch is done again with care, see [documents.check].
var errEncode = errors.New("a document cannot be encoded")

// encode turns a panic of user code into an error.
func (d *documents[T]) encode(doc *T) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	d.buf, err = d.enc.Append(d.buf, doc)
	return err
}

// counts is the table of [Counters].
type counts struct {
	cached[int64]
	sets    []Count
	removed []string // by replace
	gone    []string // of the batch in flight
}

func (c *Counters) newTable(limit int, _ bool) table {
	return &counts{cached: newCached[int64](c.name, limit)}
}

func (c *counts) load(ctx context.Context, s Session) error {
	if len(c.missing) == 0 {
		return nil
	}
	found, err := s.Counts(ctx, c.name, c.missing)
	if err != nil {
		return err
	}
	for i, n := range found {
		e := c.loading[i]
		e.value, e.exists = n, n != 0 // one that is stored as 0 need not be written again
	}
	c.loaded()
	return nil
}

func (c *counts) apply(o *op, _ any, _ *Meta, undo bool) error {
	e := o.slot.(*cacheEntry[int64])
	if o.by > 0 && e.value > math.MaxInt64-o.by || o.by < 0 && e.value < math.MinInt64-o.by {
		return fmt.Errorf("counter %q of %s is at %d; adding %d leaves the range of int64", o.key, c.name, e.value, o.by)
	}
	c.set(e, e.value+o.by, true, undo)
	return nil
}

func (c *counts) flush(b *Batch) error {
	c.sets = c.sets[:0]
	c.gone, c.removed = c.removed, c.gone[:0]
	for _, e := range c.takeOff() {
		if e.exists { // or else its first change was undone
			c.sets = append(c.sets, Count{Key: e.key, Value: e.value})
		}
	}
	if len(c.sets)+len(c.gone) > 0 {
		b.Counters = append(b.Counters, CounterChanges{Collection: c.name, Set: c.sets, Delete: c.gone})
	}
	return nil
}
