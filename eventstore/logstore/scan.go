package logstore

import (
	"context"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// Scan calls do with the events that [Store.ReadAll] would yield, and returns
// the first error: its own, that of do, or that of ctx. Backwards is not
// possible.
//
// It is the fastest way through the log, because nothing is copied and nothing
// allocated: everything in e, its strings too, lies in the mapped file and is
// valid until do returns. Touching it later crashes the program; whoever keeps
// a part copies it, with strings.Clone, bytes.Clone and
// [eventstore.Metadata.Clone]. As everywhere, each event's checksum is checked
// first. A page that cannot be read any more gives an
// [*eventstore.CorruptError], also when do is the one to touch it.
//
// A slow do holds up nobody, but a segment that is rewritten meanwhile keeps
// its space until do has left it.
func (s *Store) Scan(ctx context.Context, opts eventstore.ReadAllOptions, do func(e *eventstore.Recorded) error) error {
	if opts.Backwards {
		return &eventstore.InvalidError{What: "option", Value: "Backwards", Remedy: "Scan goes forwards only; use ReadAll"}
	}
	if err := s.alive(ctx); err != nil {
		return err
	}
	v := s.view()
	from := max(opts.From, 1)
	if from > v.head {
		return nil
	}
	c := s.cursor(v, from, v.head)
	c.left, c.filter, c.match = max(opts.Limit, 0), opts.Filter, opts.Filter.Matcher()
	for !c.ended {
		if err := s.alive(ctx); err != nil {
			return err
		}
		cont, err := c.enter()
		if err != nil {
			return err
		}
		err = guard(cont, &c.off, func() error { return c.scan(cont, do) })
		if err = firstError(err, cont.release()); err != nil {
			return err
		}
	}
	return nil
}

// scanBytes is how much of a segment is scanned between two looks at the
// context.
const scanBytes = 1 << 20

// scan calls do with events of a segment.
func (c *cursor) scan(cont *content, do func(e *eventstore.Recorded) error) error {
	to, ok := c.forward(cont)
	if !ok || c.ended {
		return nil
	}
	end := c.endOf(cont)
	to = min(to, c.off+scanBytes)
	var f frame
	var e eventstore.Recorded
	for c.off < to && !c.ended {
		ok, err := c.step(cont, cont.data[c.off:end], &f)
		if err != nil {
			return err
		}
		if !ok || c.match != nil && !c.match(inPlace(f.stream), inPlace(f.typ)) {
			continue
		}
		e.Metadata = f.metadata()
		e.ID, e.Stream, e.Version, e.Position = f.id, inPlace(f.stream), f.version, f.position
		e.Type, e.ContentType, e.Data = inPlace(f.typ), inPlace(f.contentType), f.data
		e.Created = time.Unix(0, f.created).UTC()
		if c.left--; c.left == 0 {
			c.ended = true
		}
		if err := do(&e); err != nil {
			return err
		}
	}
	return nil
}
