package projection

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/foldstream/foldstream/eventstore"
)

// An ImpureError says that a handler depends on more than its arguments, or
// changes them: a rebuild might not give the same view again. See
// [Projection.Checked].
type ImpureError struct {
	View    string
	Target  string // the collection, index, set, counters or lookup
	Key     string // the document, or the aggregate's id where that is not known
	Type    string // of the event
	Stream  string
	Version eventstore.Version
	Problem string
}

func (e *ImpureError) Error() string {
	if e.Type == "" {
		return fmt.Sprintf("view %q, %q of %s: %s", e.View, e.Key, e.Target, e.Problem)
	}
	return fmt.Sprintf("view %q, %q of %s, event %q (version %d of stream %q): %s", e.View, e.Key, e.Target, e.Type, e.Version, e.Stream, e.Problem)
}

// Checked returns a projection like p that calls every handler twice, compares,
// and reports what is not as it should be as an [*ImpureError], once for each
// handler and kind of mistake. It costs several times as much as p and is made
// for tests; package projectiontest uses it. report may be called by several
// goroutines.
func (p *Projection) Checked(report func(error)) *Projection {
	c := *p
	ck := &checker{p: p, report: report, told: make(map[string]bool)}
	c.targets = slices.Clone(p.targets)
	for i, t := range c.targets {
		if l, ok := t.(interface{ checked(*checker) bound }); ok {
			c.targets[i] = l.checked(ck)
		}
	}
	c.byType = checkedReactions(ck, p.byType)
	c.byValue = checkedReactions(ck, p.byValue)
	return &c
}

func checkedReactions[K comparable](ck *checker, all map[K]*reaction) map[K]*reaction {
	checked := make(map[K]*reaction, len(all))
	for k, r := range all {
		own := *r
		own.bindings = make([]*binding, len(r.bindings))
		for i, b := range r.bindings {
			own.bindings[i] = ck.binding(b)
		}
		checked[k] = &own
	}
	return checked
}

// Codec returns the codec that was given to [New].
func (p *Projection) Codec() eventstore.Codec { return p.codec }

// ViewStore returns the view store that the targets of the projection are in.
func (p *Projection) ViewStore() ViewStore { return p.store }

// DocumentValue returns the Go value of a stored document of one of the
// projection's collections.
func (p *Projection) DocumentValue(collection string, data []byte) (any, error) {
	for _, t := range p.targets {
		if c, ok := t.(interface{ value([]byte) (any, error) }); ok && t.base().name == collection {
			return c.value(data)
		}
	}
	return nil, fmt.Errorf("projection %q has no collection %q", p.name, collection)
}

// checker makes handlers that check those of a projection.
type checker struct {
	p      *Projection
	report func(error)

	mu   sync.Mutex
	told map[string]bool
}

func (ck *checker) tell(target string, key string, m *Meta, kind, problem string) {
	ck.mu.Lock()
	id := fmt.Sprintf("%s %s %s", target, m.Type, kind)
	known := ck.told[id]
	ck.told[id] = true
	ck.mu.Unlock()
	if !known {
		ck.report(&ImpureError{View: ck.p.name, Target: target, Key: key, Type: m.Type, Stream: m.Stream, Version: m.Version, Problem: problem})
	}
}

func (ck *checker) binding(b *binding) *binding {
	own := *b
	t := ck.p.targets[b.target]
	if b.route != nil {
		own.route = func(own *binding, event any, m Meta, ops []op) []op {
			before := ck.eventBytes(event)
			first, second := b.route(own, event, m, nil), b.route(own, event, m, nil)
			if a, b := opsText(first), opsText(second); a != b {
				ck.tell(t.base().name, m.ID, &m, "differs", differs("keys or changes", a, b))
			}
			ck.event(t, before, event, &m)
			return append(ops, first...)
		}
	}
	if c, ok := t.(interface {
		checkedFold(ck *checker, fold any) any
	}); ok && b.fold != nil {
		own.fold = c.checkedFold(ck, b.fold)
	}
	return &own
}

func differs(what, a, b string) string {
	return fmt.Sprintf("two calls with the same arguments gave different %s: %s, then %s; a handler must depend on nothing but its arguments: no clock, no random numbers, nothing that it remembers", what, a, b)
}

// eventBytes returns the stored form of the event that ptr points to; nil if it
// has none. A codec that encrypts, which differs each time, has a Plain.
func (ck *checker) eventBytes(ptr any) []byte {
	event := reflect.ValueOf(ptr).Elem().Interface()
	if c, ok := ck.p.codec.(interface{ Plain(any) ([]byte, error) }); ok {
		data, _ := c.Plain(event) // nil with an error
		return data
	}
	e, err := ck.p.codec.Encode(event)
	if err != nil {
		return nil
	}
	return e.Data
}

// event reports a handler that has changed the event, which others may have,
// too.
func (ck *checker) event(t bound, before []byte, ptr any, m *Meta) {
	if after := ck.eventBytes(ptr); !bytes.Equal(before, after) {
		ck.tell(t.base().name, m.ID, m, "event", "the handler changed what the event refers to; copy it before you change it")
	}
}

func opsText(ops []op) string {
	var b bytes.Buffer
	for i := range ops {
		o := &ops[i]
		switch {
		case o.entry != nil:
			_, _ = fmt.Fprintf(&b, "%+v ", *o.entry)
		case o.by != 0:
			_, _ = fmt.Fprintf(&b, "%s%+d ", o.key, o.by)
		default:
			_, _ = fmt.Fprintf(&b, "%q ", o.key)
		}
	}
	return string(bytes.TrimSpace(b.Bytes()))
}
