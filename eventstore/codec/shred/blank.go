package shred

import (
	"reflect"
	"slices"
)

// copyOf returns a copy of a value of the plan's type, as the struct that it is
// or points to, and what the caller gets of it.
func (p *plan) copyOf(v reflect.Value) (st, result reflect.Value) {
	if v.Kind() == reflect.Pointer {
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(v.Elem())
		return c.Elem(), c
	}
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	return c, c
}

// without returns a copy of a value in which everything personal is blank but
// what belongs to the given subject. A zero field without a subject stays zero.
func (p *plan) without(v reflect.Value, keep string) any {
	st, result := p.copyOf(v)
	p.root.blank(st, keep)
	return result.Interface()
}

func (p *structPlan) blank(v reflect.Value, keep string) {
	for i := range p.sites {
		s := &p.sites[i]
		f, subject := v.Field(s.index), s.subject.in(v)
		if keep == "" || subject != keep {
			if subject != "" || !f.IsZero() {
				f.Set(s.blank)
			}
		}
	}
	for _, i := range p.inner {
		p.each(own(v.Field(i)), func(sub *structPlan, v reflect.Value) { sub.blank(v, keep) })
	}
}

// fill sets placeholders.
func (p *structPlan) fill(v reflect.Value) {
	for i := range p.sites {
		v.Field(p.sites[i].index).Set(p.sites[i].blank)
	}
	for _, i := range p.inner {
		p.each(v.Field(i), (*structPlan).fill)
	}
}

// own gives a field a copy of what it refers to.
func own(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			c := reflect.New(v.Type().Elem())
			c.Elem().Set(v.Elem())
			v.Set(c)
			own(c.Elem())
		}
	case reflect.Slice:
		if !v.IsNil() {
			c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			reflect.Copy(c, v)
			v.Set(c)
			ownElements(v)
		}
	case reflect.Array:
		ownElements(v)
	}
	return v
}

func ownElements(v reflect.Value) {
	if v.Type().Elem().Kind() != reflect.Struct {
		for i := range v.Len() {
			own(v.Index(i))
		}
	}
}

// each visits the structs in a value.
func (p *structPlan) each(v reflect.Value, visit func(*structPlan, reflect.Value)) {
	switch v.Kind() {
	case reflect.Struct:
		visit(p.all[v.Type()], v)
	case reflect.Pointer:
		if !v.IsNil() {
			p.each(v.Elem(), visit)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			p.each(v.Index(i), visit)
		}
	}
}

// subjects appends whose personal data may be in a value, each once. A subject
// that is not set is "".
func (p *structPlan) subjects(v reflect.Value, all []string) []string {
	for i := range p.sites {
		if s := p.sites[i].subject.in(v); !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	for _, i := range p.inner {
		p.each(v.Field(i), func(sub *structPlan, v reflect.Value) { all = sub.subjects(v, all) })
	}
	return all
}

// empty returns what is stored in place of a value that is personal as a
// whole: nothing but its subject and placeholders.
func (p *plan) empty(v reflect.Value) any {
	from := v
	if v.Kind() == reflect.Pointer {
		from = v.Elem()
	}
	result := reflect.New(from.Type())
	st := result.Elem()
	to := st
	for _, i := range p.whole.index { // no pointer on the way is nil, or there was no subject
		from, to = reflect.Indirect(from), pointed(to)
		from, to = from.Field(i), to.Field(i)
	}
	to.Set(from)
	p.root.fill(st)
	if v.Kind() == reflect.Pointer {
		return result.Interface()
	}
	return st.Interface()
}

// pointed returns what a pointer is to, and makes that if it is nil.
func pointed(v reflect.Value) reflect.Value {
	if v.Kind() != reflect.Pointer {
		return v
	}
	if v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
	}
	return v.Elem()
}
