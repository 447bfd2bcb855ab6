package boundary

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/foldstream/foldstream/eventstore"
)

// A Model is a state of type S that is folded from the events it is about. It
// is a value to be made for each decision, cheap and never changed.
type Model[S any] struct {
	begin func(*S)
	items []item[S]
}

// An item is what a model folds of the events with all of some tags.
type item[S any] struct {
	tags []string
	on   []On[S]
}

// An On is what a model makes of one type of event, see [When].
type On[S any] struct {
	event reflect.Type
	apply func(*S, any)
}

// When says which state follows from an event of type E. It must not fail, and
// must not change what the state refers to, such as a map; clone before
// writing.
func When[S, E any](evolve func(S, E) S) On[S] {
	return On[S]{reflect.TypeFor[E](), func(s *S, event any) { *s = evolve(*s, event.(E)) }}
}

// Fold returns the model that begins with initial and is about the events that
// have all of the tags and of whose type one of on speaks. It panics without
// any on, which would mean all events of the store.
func Fold[S any](initial S, tags []string, on ...On[S]) Model[S] {
	if len(on) == 0 {
		panic("boundary: Fold without boundary.When: a model needs a type of event to fold")
	}
	return Model[S]{func(s *S) { *s = initial }, []item[S]{{tags, on}}}
}

// Part makes m a part of the state S of a larger model: what field points to.
func Part[S, P any](m Model[P], field func(*S) *P) Model[S] {
	larger := Model[S]{begin: func(s *S) { m.begin(field(s)) }}
	for _, i := range m.items {
		part := item[S]{tags: i.tags}
		for _, on := range i.on {
			part.on = append(part.on, On[S]{on.event, func(s *S, event any) { on.apply(field(s), event) }})
		}
		larger.items = append(larger.items, part)
	}
	return larger
}

// Compose returns a model of all that the parts are about. An event may belong
// to several of them. Of what no part is, S has its zero value.
func Compose[S any](parts ...Model[S]) Model[S] {
	var all Model[S]
	for _, p := range parts {
		all.items = append(all.items, p.items...)
	}
	all.begin = func(s *S) {
		for _, p := range parts {
			p.begin(s)
		}
	}
	return all
}

// query returns what the model is about, item by item.
func (m *Model[S]) query(codec eventstore.Codec) (eventstore.Query, error) {
	q := make(eventstore.Query, len(m.items))
	for i, item := range m.items {
		for _, on := range item.on {
			names := codec.TypeNames(on.event)
			if len(names) == 0 {
				return nil, fmt.Errorf("boundary: a model folds events of type %v, which the codec does not know; register it with codec.Type", on.event)
			}
			q[i].Types = append(q[i].Types, names...)
		}
		slices.Sort(q[i].Types)
		q[i].Types, q[i].Tags = slices.Compact(q[i].Types), item.tags
	}
	return q, q.Check()
}

// fold applies an event to every part that it belongs to. q is the model's
// query.
func (m *Model[S]) fold(s *S, q eventstore.Query, r *eventstore.Recorded, codec eventstore.Codec) error {
	var event any
	for i := range m.items {
		if !q[i].Matches(r.Type, r.Metadata) {
			continue
		}
		if event == nil {
			var err error
			if event, err = codec.Decode(*r); err != nil {
				return err
			}
		}
		several, ok := event.(eventstore.Several)
		if !ok {
			several = eventstore.Several{event}
		}
		for _, event := range several {
			m.items[i].apply(s, event)
		}
	}
	return nil
}

func (i *item[S]) apply(s *S, event any) {
	for _, on := range i.on {
		if on.event == reflect.TypeOf(event) {
			on.apply(s, event)
		}
	}
}
