package shred

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// A plan says what is personal in values of one Go type, which is a struct or
// a pointer to one.
type plan struct {
	goType reflect.Type
	whole  *ref // all of it, and root has the placeholders
	root   *structPlan
}

// A structPlan says what is personal in a struct.
type structPlan struct {
	sites []site
	inner []int // fields in which there are more, however deep
	all   map[reflect.Type]*structPlan
}

// A site is a personal field.
type site struct {
	index   int
	subject ref
	blank   reflect.Value
}

// planOf returns the plan of a type, or nil if nothing in it is personal.
func planOf(t reflect.Type, options []any) (*plan, error) {
	p := &plan{goType: t}
	st := t
	if t.Kind() == reflect.Pointer {
		st = t.Elem()
	}
	if st.Kind() != reflect.Struct {
		if len(options) > 0 {
			return nil, fmt.Errorf("%v is no struct, so it has no fields", t)
		}
		return nil, nil
	}
	said, err := marksOf(st, options)
	if err != nil {
		return nil, err
	}
	c := &compiler{marks: said, plans: make(map[reflect.Type]*structPlan), top: st}
	if p.whole, err = c.wholeOf(st); err != nil {
		return nil, err
	}
	c.whole = p.whole != nil
	if err := c.compile(st); err != nil {
		return nil, err
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	if p.root = c.plans[st]; p.whole == nil && !c.reaches(st) {
		return nil, nil
	}
	return p, nil
}

// A compiler makes the plans of the struct types that are found in one.
type compiler struct {
	marks marks
	plans map[reflect.Type]*structPlan
	top   reflect.Type
	whole bool // it is personal as a whole, and sites are placeholders

	looked map[reflect.Type]bool // values of maps, which may contain themselves
}

func (c *compiler) wholeOf(t reflect.Type) (*ref, error) {
	said, ok := c.marks[mark{t, "_"}]
	if f, found := t.FieldByName("_"); found && !ok {
		said, ok = c.marks.of(t, &f)
	}
	if !ok {
		return nil, nil
	}
	r, err := c.marks.refTo(t, &said)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", t, err)
	}
	return &r, nil
}

func (c *compiler) compile(t reflect.Type) error {
	if c.plans[t] != nil {
		return nil
	}
	p := &structPlan{all: c.plans}
	c.plans[t] = p
	for i := range t.NumField() {
		f := t.Field(i)
		if err := c.field(p, t, &f, i); err != nil {
			return fmt.Errorf("field %s of %v: %w", f.Name, t, err)
		}
	}
	return nil
}

func (c *compiler) field(p *structPlan, t reflect.Type, f *reflect.StructField, i int) error {
	said, ok := c.marks.of(t, f)
	switch {
	case f.Name == "_" && ok && t != c.top:
		return fmt.Errorf("only an event is personal as a whole; tag the fields that hold a %v", t)
	case f.Name == "_":
		return nil
	case ok:
		return c.site(p, t, f, i, &said)
	case !f.IsExported() && !f.Anonymous:
		return nil // no encoding stores it
	}
	return c.below(f.Type)
}

// finish finds the ways to sites, now that all are known.
func (c *compiler) finish() error {
	for t, p := range c.plans {
		for i := range t.NumField() {
			f := t.Field(i)
			if slices.ContainsFunc(p.sites, func(s site) bool { return s.index == i }) || !c.reaches(f.Type) {
				continue
			}
			if !f.IsExported() && (!f.Anonymous || f.Type.Kind() != reflect.Struct) {
				return fmt.Errorf("field %s of %v: there are personal fields in it, and it is not exported", f.Name, t)
			}
			p.inner = append(p.inner, i)
		}
	}
	return nil
}

func (c *compiler) site(p *structPlan, t reflect.Type, f *reflect.StructField, i int, said *Field) (err error) {
	if !f.IsExported() {
		return fmt.Errorf("it is personal and not exported, so no encoding stores it")
	}
	s := site{index: i}
	switch {
	case c.whole && said.Subject != "":
		return fmt.Errorf("it is personal in an event that is personal as a whole; leave one tag out")
	case !c.whole && said.Subject == "":
		return fmt.Errorf("it has a placeholder and no subject; add the tag personal")
	case !c.whole:
		if s.subject, err = c.marks.refTo(t, said); err != nil {
			return err
		}
		if c.has(f.Type) {
			return fmt.Errorf("it is personal as a whole and has personal fields inside; leave one of them out")
		}
	}
	if s.blank, err = placeholder(f.Type, said.Erased); err != nil {
		return err
	}
	p.sites = append(p.sites, s)
	return nil
}

// below compiles the structs that are found in a type.
func (c *compiler) below(t reflect.Type) error {
	switch t = elem(t); t.Kind() {
	case reflect.Map:
		if c.has(t.Elem()) {
			return fmt.Errorf("there are personal fields in the values of a map; tag the map itself, or use a slice")
		}
	case reflect.Struct:
		return c.compile(t)
	}
	return nil
}

// has reports whether there is something personal in a type, or something
// wrong.
func (c *compiler) has(t reflect.Type) bool {
	if c.looked[t] {
		return false // it is being looked at, further out
	}
	inside := &compiler{marks: c.marks, plans: make(map[reflect.Type]*structPlan), looked: maps.Clone(c.looked)}
	if inside.looked == nil {
		inside.looked = make(map[reflect.Type]bool)
	}
	inside.looked[t] = true
	return inside.below(t) != nil || inside.reaches(t)
}

// reaches reports whether there is something personal in a type.
func (c *compiler) reaches(t reflect.Type) bool { return c.reach(t, make(map[reflect.Type]bool)) }

func (c *compiler) reach(t reflect.Type, seen map[reflect.Type]bool) bool {
	t = elem(t)
	p := c.plans[t]
	if p == nil || seen[t] {
		return false
	}
	seen[t] = true
	if len(p.sites) > 0 {
		return true
	}
	for f := range t.Fields() {
		if c.reach(f.Type, seen) {
			return true
		}
	}
	return false
}
