package codec

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
)

// finish checks what was registered against each other and notes what reads
// need to know. It returns everything that is wrong.
func (c *Codec) finish() (errs []error) {
	errs = append(errs, c.finishTypes()...)
	errs = append(errs, c.finishSeals()...)
	names, wrong := c.place()
	errs = append(errs, wrong...)
	for _, n := range names {
		errs = append(errs, n.complete())
	}
	if err := errors.Join(errs...); err != nil {
		return errs // what follows would only repeat it
	}
	for _, s := range c.steps {
		errs = append(errs, c.resolve(s))
	}
	if err := errors.Join(errs...); err != nil {
		return errs
	}
	for _, s := range c.steps {
		for _, t := range s.leads {
			for _, name := range c.namesOf(s) {
				if !slices.Contains(t.found, name) {
					t.found = append(t.found, name)
				}
			}
		}
	}
	for _, n := range c.names {
		n.goType, n.several = n.typeOf()
	}
	return errs
}

// finishTypes gives each type its encoding and asks that whether it can.
func (c *Codec) finishTypes() (errs []error) {
	for _, t := range c.types {
		if t.encoding == nil {
			t.encoding = c.encoding
		}
		t.contentType = t.encoding.ContentType()
		t.found = slices.Clone(t.names)
		errs = append(errs, c.reads(t.encoding))
		if err := encodable(t.encoding, t.goType); err != nil {
			errs = append(errs, fmt.Errorf("codec: %q: %w", t.names[0], err))
		}
	}
	for _, e := range []Encoding{Msgpack, JSON} { // after those of the user
		if _, ok := c.encodings[e.ContentType()]; !ok {
			c.encodings[e.ContentType()] = e
		}
	}
	return errs
}

// place puts the steps to their names, and returns each name once.
func (c *Codec) place() (names []*named, errs []error) {
	for _, s := range c.steps {
		n := c.names[s.name]
		if n == nil {
			n = &named{name: s.name}
			errs = append(errs, c.name(s.name, n))
		}
		if s.old != nil {
			c.byOld[s.old] = append(c.byOld[s.old], s)
		}
		for len(n.steps) < s.version {
			n.steps = append(n.steps, nil)
		}
		switch {
		case n.drop:
			errs = append(errs, fmt.Errorf("codec: %q is dropped, and upcast from schema version %d", s.name, s.version))
		case n.steps[s.version-1] != nil:
			errs = append(errs, fmt.Errorf("codec: %v is upcast twice", s))
		case n.current != nil && s.version >= n.version:
			errs = append(errs, fmt.Errorf("codec: %v is upcast, but %v is of that version or below; raise its codec.SchemaVersion", s, n.current.goType))
		}
		n.steps[s.version-1] = s
	}
	for _, n := range c.names {
		if n.current == nil {
			n.version = -1 // no event is of it
		}
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names, errs
}

// complete finds the schema versions that nothing reads.
func (n *named) complete() error {
	last := len(n.steps)
	if n.current != nil {
		last = n.version - 1
	}
	var gaps []int
	for v := 1; v <= last; v++ {
		if v > len(n.steps) || n.steps[v-1] == nil {
			gaps = append(gaps, v)
		}
	}
	if len(gaps) == 0 {
		return nil
	}
	return fmt.Errorf("codec: nothing reads %q at schema versions %v; add a codec.Upcast, Split or Rewrite for each", n.name, gaps)
}

// States of a step while it is resolved.
const (
	unseen = iota
	underWay
	resolved
)

// resolve finds out what the events of s are in the end.
func (c *Codec) resolve(s *step) error {
	switch s.state {
	case resolved:
		return nil
	case underWay:
		return fmt.Errorf("codec: the upcast of %v leads back to itself", s)
	}
	s.state = underWay
	defer func() { s.state = resolved }()
	if s.rewrite != nil {
		return c.resolveRewrite(s)
	}
	if err := c.check(s); err != nil {
		return err
	}
	if err := c.targets(s); err != nil {
		return err
	}
	s.single = !s.many && s.made.Kind() != reflect.Interface
	for _, t := range s.into {
		if e, ok := c.types[t]; ok {
			s.lead(e)
			continue
		}
		steps := c.byOld[t]
		switch {
		case len(steps) == 0:
			return fmt.Errorf("codec: the upcast of %v makes a %v, which is not registered; add codec.Type, or a codec.Upcast from it", s, t)
		case len(steps) > 1:
			return fmt.Errorf("codec: the upcast of %v makes a %v, from which both %v and %v are upcast; give each version a Go type of its own, or use codec.Rewrite", s, t, steps[0], steps[1])
		}
		if err := c.resolve(steps[0]); err != nil {
			return err
		}
		s.single = s.single && steps[0].single
		s.lead(steps[0].leads...)
	}
	return nil
}

// resolveRewrite goes on at the next schema version of the same name.
func (c *Codec) resolveRewrite(s *step) error {
	n := c.names[s.name]
	switch {
	case s.version < len(n.steps):
		next := n.steps[s.version]
		err := c.resolve(next)
		s.single, s.leads = next.single, next.leads
		return err
	case n.current == nil:
		return fmt.Errorf("codec: nothing reads what the rewrite of %v makes; add codec.Type, or a codec.Upcast from schema version %d", s, s.version+1)
	}
	s.single, s.leads = true, []*entry{n.current}
	return nil
}

// check looks whether an encoding can make a value of the old type. Which one
// it was stored in only the events say.
func (c *Codec) check(s *step) error {
	switch s.old {
	case reflect.TypeFor[Raw](), reflect.TypeFor[map[string]any]():
		return nil
	}
	enc := c.encoding
	if n := c.names[s.name]; n.current != nil {
		enc = n.current.encoding
	}
	err := encodable(enc, s.old)
	if err == nil {
		return nil
	}
	for _, other := range c.encodings {
		if encodable(other, s.old) == nil {
			return nil
		}
	}
	return fmt.Errorf("codec: upcast of %v: %w", s, err)
}

// targets completes into, which is what s may make.
func (c *Codec) targets(s *step) error {
	if len(s.into) > 0 {
		for _, t := range s.into {
			if !t.AssignableTo(s.made) {
				return fmt.Errorf("codec: the upcast of %v makes %v, which is never a %v; see codec.Into", s, s.made, t)
			}
		}
		return nil
	}
	if s.made.Kind() != reflect.Interface {
		s.into = []reflect.Type{s.made}
		return nil
	}
	for t := range c.types {
		if t.Implements(s.made) {
			s.into = append(s.into, t)
		}
	}
	if len(s.into) == 0 {
		return fmt.Errorf("codec: the upcast of %v makes %v, which no registered type implements", s, s.made)
	}
	return nil
}

func (s *step) lead(to ...*entry) {
	for _, e := range to {
		if !slices.Contains(s.leads, e) {
			s.leads = append(s.leads, e)
		}
	}
}

// namesOf returns the names that the events of s are stored under.
func (c *Codec) namesOf(s *step) []string {
	if t := c.names[s.name].current; t != nil {
		return t.names
	}
	return []string{s.name}
}

// typeOf is [Codec.TypeOf].
func (n *named) typeOf() (t reflect.Type, several int) {
	if n.current != nil {
		for _, s := range n.steps {
			if !s.single || s.leads[0] != n.current {
				several = s.version + 1
			}
		}
		return n.current.goType, several
	}
	for _, s := range n.steps {
		if !s.single || s.leads[0] != n.steps[0].leads[0] {
			return nil, math.MaxInt
		}
	}
	if n.drop || len(n.steps) == 0 {
		return nil, math.MaxInt
	}
	return n.steps[0].leads[0].goType, 0
}
