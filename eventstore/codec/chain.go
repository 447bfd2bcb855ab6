package codec

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/foldstream/foldstream/eventstore"
)

// decodeOld decodes an event that is not of the schema that is written under
// its name today.
func (c *Codec) decodeOld(n *named, version int, r eventstore.Recorded) (any, error) {
	switch {
	case n.drop:
		return eventstore.Several{}, nil
	case version < 1 || version > len(n.steps):
		return nil, &eventstore.NewerSchemaError{
			Type: r.Type, Stream: r.Stream, Version: r.Version,
			Schema: r.Metadata.Get(eventstore.KeySchemaVersion), Known: n.newest(),
		}
	}
	all, err := c.upcast(n, version, &r)
	if err != nil {
		return nil, failed(&r, fmt.Errorf("upcast from schema version %d: %w", version, err))
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return eventstore.Several(all), nil
}

// newest is the newest schema version that can be read.
func (n *named) newest() int {
	if n.current != nil {
		return n.version
	}
	return len(n.steps)
}

// decodeOldInto is decodeOld for events that are one value of the type that
// ptr points to.
func (c *Codec) decodeOldInto(n *named, version int, r eventstore.Recorded, ptr any) error {
	v, err := c.decodeOld(n, version, r)
	if err != nil {
		return err
	}
	to, got := reflect.ValueOf(ptr), reflect.TypeOf(v)
	if _, several := v.(eventstore.Several); several || to.Kind() != reflect.Pointer || to.Type().Elem() != got {
		return failed(&r, fmt.Errorf("it is a %v and does not go into a %T", got, ptr))
	}
	to.Elem().Set(reflect.ValueOf(v))
	return nil
}

// upcast returns what an event is today. A panic of user code becomes an error.
func (c *Codec) upcast(n *named, version int, r *eventstore.Recorded) (all []any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	enc, err := c.encodingOf(n.current, r)
	if err != nil {
		return nil, err
	}
	data, s := r.Data, n.steps[version-1]
	if s.rewrite != nil {
		if data, s, err = n.rewritten(s, enc, data); err != nil {
			return nil, err
		}
	}
	if s == nil { // a document of the current version
		v, err := n.current.decode(enc, data)
		return []any{v}, err
	}
	old, err := s.decode(enc, data)
	if err != nil {
		return nil, err
	}
	return c.climb([]any{}, s, old, r)
}

// rewritten returns the data of the first schema version that is not rewritten
// to the next, and the step from there, or nil if it is the newest.
func (n *named) rewritten(s *step, enc Encoding, data []byte) ([]byte, *step, error) {
	doc, err := document(enc, data)
	if err != nil {
		return nil, nil, err
	}
	for s != nil && s.rewrite != nil {
		if err := s.rewrite(doc); err != nil {
			return nil, nil, fmt.Errorf("rewrite of schema version %d: %w", s.version, err)
		}
		if s.version == len(n.steps) {
			s = nil
		} else {
			s = n.steps[s.version]
		}
	}
	data, err = enc.Marshal(doc)
	return data, s, err
}

// climb appends what a value is today to all.
func (c *Codec) climb(all []any, s *step, old any, r *eventstore.Recorded) ([]any, error) {
	made, err := s.up(old, r)
	if err != nil {
		return nil, err
	}
	for _, v := range made {
		t := reflect.TypeOf(v)
		if !slices.Contains(s.into, t) {
			return nil, fmt.Errorf("it made a %T, which is none of %v", v, s.into)
		}
		if _, ok := c.types[t]; ok {
			all = append(all, v)
			continue
		}
		if all, err = c.climb(all, c.byOld[t][0], v, r); err != nil {
			return nil, err
		}
	}
	return all, nil
}
