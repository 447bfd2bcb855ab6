package streamrules

import (
	"fmt"

	"github.com/foldstream/foldstream/eventstore"
)

// A Kind says what an [Op] does.
type Kind uint8

// The kinds of changes.
const (
	Append    Kind = iota // write events
	Delete                // hide what is there
	Tombstone             // end the stream for ever
)

// An Op is a change to a stream that is still to be decided.
type Op struct {
	Kind     Kind
	Stream   string
	Expected eventstore.Expected
	Events   []eventstore.Event // for Append

	// Condition, if it is set, is one more that must hold for an Append with Any.
	Condition *eventstore.Condition
}

// MetadataOp returns the Op that sets the metadata of a stream.
func MetadataOp(stream string, expected eventstore.Expected, m eventstore.StreamMetadata) (Op, error) {
	e, err := metadataEvent(m)
	if err != nil {
		return Op{}, err
	}
	return Op{Kind: Append, Stream: eventstore.MetadataStream(stream), Expected: expected, Events: []eventstore.Event{e}}, nil
}

// A View is the store as the decision sees it.
type View interface {
	// State returns the state of a stream.
	State(stream string) State
	// EventAt returns the id and position of the event that a stream has at v.
	EventAt(stream string, v eventstore.Version) (eventstore.ID, eventstore.Position, error)
	// Recent finds an event id among those that the store remembers.
	Recent(id eventstore.ID) (Place, bool, error)
	// First returns the first event beyond a position that matches a query, and
	// whether there is one.
	First(q eventstore.Query, after eventstore.Position) (eventstore.Recorded, bool, error)
}

// A Place says where an event is.
type Place struct {
	Stream   string
	Version  eventstore.Version
	Position eventstore.Position
}

// A Write is a run of events for one stream.
type Write struct {
	Stream    string
	First     eventstore.Version // of Events[0]
	Events    []eventstore.Event
	Tombstone bool
}

// A Plan is what an [Op] was decided to do: either nothing, with an answer, or
// one or two writes in one atomic step.
type Plan struct {
	Receipt eventstore.Receipt // Position is for the store to fill in when there are writes
	Writes  [2]Write
	N       int // number of Writes; 0 means that nothing is to be written
}

// Events returns the number of events to write.
func (p *Plan) Events() int { return len(p.Writes[0].Events) + len(p.Writes[1].Events) }

// After returns the state of a stream that was in state s before w.
func (w *Write) After(s State) State {
	s.Last = w.First + eventstore.Version(len(w.Events)) - 1
	s.Tombstoned = s.Tombstoned || w.Tombstone
	return s
}

// Metadata returns what w says about the stream whose metastream it writes to.
func (w *Write) Metadata() *eventstore.StreamMetadata {
	e := &w.Events[len(w.Events)-1]
	return Metadata(e.ContentType, e.Data)
}

// Decide says what o does to the store that v shows, or why it is refused.
func (o *Op) Decide(v View) (Plan, error) {
	s := v.State(o.Stream)
	orig, isMeta := Original(o.Stream)
	if s.Tombstoned || isMeta && v.State(orig).Tombstoned {
		return Plan{}, &eventstore.StreamDeletedError{Stream: o.Stream}
	}
	if p, done, err := o.check(v, s); err != nil || done {
		return p, err
	}
	if o.Condition != nil {
		if p, done, err := o.checkCondition(v, s); err != nil || done {
			return p, err
		}
	}
	switch o.Kind {
	case Delete:
		return o.delete(v, s)
	case Tombstone:
		e := eventstore.Event{Type: eventstore.TypeTombstone, ContentType: eventstore.ContentTypeBinary}
		w := Write{Stream: o.Stream, First: s.Last + 1, Events: []eventstore.Event{e}, Tombstone: true}
		return o.plan(w), nil
	}
	if len(o.Events) == 0 {
		return Plan{Receipt: eventstore.Receipt{Stream: o.Stream, Version: s.Last}}, nil
	}
	p := o.plan(Write{Stream: o.Stream, First: s.Last + 1, Events: o.Events})
	if s.SoftDeleted() {
		return undelete(p, v, o.Stream, s.Last+1, *s.Meta)
	}
	if isMeta {
		if before := v.State(orig); before.SoftDeleted() {
			return undelete(p, v, orig, before.Last+1, *p.Writes[0].Metadata())
		}
	}
	return p, nil
}

func (o *Op) plan(w Write) Plan {
	r := eventstore.Receipt{Stream: o.Stream, Version: w.First + eventstore.Version(len(w.Events)) - 1}
	return Plan{Receipt: r, Writes: [2]Write{w}, N: 1}
}

func (o *Op) delete(v View, s State) (Plan, error) {
	meta := v.State(eventstore.MetadataStream(o.Stream))
	if s.Last == 0 && meta.Last == 0 {
		return Plan{}, o.conflict(s)
	}
	e, err := metadataEvent(eventstore.StreamMetadata{TruncateBefore: eventstore.DeletedStream})
	if err != nil {
		return Plan{}, err
	}
	w := Write{Stream: eventstore.MetadataStream(o.Stream), First: meta.Last + 1, Events: []eventstore.Event{e}}
	p := o.plan(w)
	p.Receipt.Version = s.Last // what was hidden
	return p, nil
}

// undelete adds to p the metadata that lets the events of a deleted stream be
// seen from version first on.
func undelete(p Plan, v View, stream string, first eventstore.Version, meta eventstore.StreamMetadata) (Plan, error) {
	meta.TruncateBefore = first
	e, err := metadataEvent(meta)
	if err != nil {
		return Plan{}, err
	}
	name := eventstore.MetadataStream(stream)
	next := v.State(name).Last + 1
	if p.Writes[0].Stream == name {
		next += eventstore.Version(len(p.Writes[0].Events))
	}
	p.Writes[1] = Write{Stream: name, First: next, Events: []eventstore.Event{e}}
	p.N = 2
	return p, nil
}

func metadataEvent(m eventstore.StreamMetadata) (eventstore.Event, error) {
	data, err := m.MarshalJSON()
	if err != nil {
		return eventstore.Event{}, fmt.Errorf("encode stream metadata: %w", err)
	}
	return eventstore.Event{Type: eventstore.TypeStreamMetadata, ContentType: eventstore.ContentTypeJSON, Data: data}, nil
}
