package projection

import (
	"reflect"
	"sync"

	"github.com/foldstream/foldstream/eventstore"
)

// shared is one event on its way to all views that want it.
type shared struct {
	rec  eventstore.Recorded
	id   string // of the aggregate
	hash uint64 // of id

	mu    sync.Mutex
	by    *decoder // who has decoded it, if anybody
	value any      // *E
	err   error
}

// slabLength is how many events are allocated together.
const slabLength = 256

// A slab hands out events.
type slab []shared

func (s *slab) next(rec *eventstore.Recorded) *shared {
	if len(*s) == 0 {
		*s = make(slab, slabLength)
	}
	ev := &(*s)[0]
	*s = (*s)[1:]
	ev.rec = *rec
	_, ev.id = eventstore.SplitStream(rec.Stream)
	ev.hash = hashOf(ev.id)
	return ev
}

// decoder decodes the events of one Go type. The projections of a runner that
// want the same type of the same codec have one together, so that an event is
// decoded once for all of them.
type decoder struct {
	codec eventstore.Codec
	event *eventType
	users int // projections
}

// decoders finds the decoder of an event type.
type decoders struct{ all []*decoder }

// of returns a decoder for each reaction of p, by its index.
func (ds *decoders) of(p *Projection) []*decoder {
	mine := make([]*decoder, len(p.byType))
	seen := make(map[*decoder]bool)
	for _, r := range p.byType {
		if r.event == nil {
			continue // see pipeline.today
		}
		d := ds.find(p.codec, r.event)
		if !seen[d] {
			seen[d] = true
			d.users++
		}
		mine[r.index] = d
	}
	return mine
}

func (ds *decoders) find(codec eventstore.Codec, event *eventType) *decoder {
	canCompare := reflect.TypeOf(codec).Comparable()
	for _, d := range ds.all {
		if d.event.goType == event.goType && canCompare && reflect.TypeOf(d.codec).Comparable() && d.codec == codec {
			return d
		}
	}
	d := &decoder{codec: codec, event: event}
	ds.all = append(ds.all, d)
	return d
}

// decode returns the event as a *E that others have, too, and nobody may
// change.
func (d *decoder) decode(ev *shared) (any, error) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	if ev.by == d {
		return ev.value, ev.err
	}
	value := d.event.make()
	err := d.into(&ev.rec, value)
	if ev.by == nil {
		ev.by, ev.value, ev.err = d, value, err
	}
	return value, err
}

// into turns a panic of user code into an error.
func (d *decoder) into(rec *eventstore.Recorded, value any) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(v)
		}
	}()
	return d.codec.DecodeInto(*rec, value)
}
