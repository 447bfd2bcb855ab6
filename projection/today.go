package projection

import (
	"reflect"

	"github.com/foldstream/foldstream/eventstore"
)

// part is one of the values that a stored event of an older schema stands for
// today.
type part struct {
	event any // *E
	index int
}

// of returns what a binding is to be called with, given the stored event.
func (b *binding) of(event any, m *Meta) (any, *Meta) {
	if b.part == nil {
		return event, m
	}
	return b.part.of(m)
}

func (p *part) of(m *Meta) (any, *Meta) {
	own := *m
	own.Part = p.index
	return p.event, &own
}

// today returns what an event does, given the reaction to the name under which
// it is stored: nil for nothing. For an event that stands for other things
// today than one value of the type of its name it makes a reaction: the
// handlers of each value, in order. An event is one step, whatever it does.
func (pl *pipeline) today(ev *shared, r *reaction) (*reaction, error) {
	if r == nil || r.several == 0 {
		return r, nil
	}
	return pl.fromParts(ev, r)
}

func (pl *pipeline) fromParts(ev *shared, r *reaction) (*reaction, error) {
	if eventstore.SchemaVersion(ev.rec.Metadata) >= r.several {
		if r.event == nil {
			return nil, nil // it is of a type that nobody handles
		}
		return r, nil
	}
	values, err := decodeSeveral(pl.p.codec, &ev.rec)
	if err != nil {
		return &reaction{early: pl.p.wide}, err
	}
	made := new(reaction)
	for i, v := range values {
		of := pl.p.byValue[reflect.TypeOf(v)]
		if of == nil {
			continue
		}
		p := &part{event: of.event.box(v), index: i}
		for _, b := range of.bindings {
			own := *b
			own.part = p
			made.add(&own)
		}
	}
	if len(made.bindings) == 0 {
		return nil, nil
	}
	return made, nil
}

// decodeSeveral turns a panic of user code into an error.
func decodeSeveral(codec eventstore.Codec, rec *eventstore.Recorded) (values []any, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(v)
		}
	}()
	v, err := codec.Decode(*rec)
	if several, ok := v.(eventstore.Several); ok {
		return several, err
	}
	return []any{v}, err
}

// decode returns the event as a *E that others have, too; nil if the bindings
// of the reaction have their parts of it.
func (pl *pipeline) decode(ev *shared, r *reaction) (any, error) {
	if r.event == nil {
		return nil, nil
	}
	return pl.decoders[r.index].decode(ev)
}
