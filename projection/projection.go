package projection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/foldstream/foldstream/eventstore"
)

// A Projection says how events change one view. It is immutable after [New]
// and may be given to several runners.
type Projection struct {
	name       string
	codec      eventstore.Codec
	definition int
	store      ViewStore
	targets    []bound
	byType     map[string]*reaction // by the name under which an event is stored
	byValue    map[reflect.Type]*reaction
	wide       bool           // some events touch other keys than their aggregate's id
	finish     []func() error // what is to be done when all parts are known
	reactor    *reactor       // nil for a view
}

// bound is a target as the engine sees it.
type bound interface {
	base() *target
	newTable(limit int, careful bool) table
}

func (t *target) base() *target { return t }

// reaction is what one type of event does to the view.
type reaction struct {
	index    int // of the worker's scratch
	event    *eventType
	bindings []*binding
	early    bool // the event is needed to know which keys it touches
	several  int  // see [eventstore.TypeResolver]
}

func (r *reaction) add(b *binding) {
	r.bindings = append(r.bindings, b)
	r.early = r.early || b.route != nil
}

// eventType makes and clears events of one Go type E. The engine passes them
// as *E, so that they need not be boxed.
type eventType struct {
	goType reflect.Type
	make   func() any
	clear  func(ptr any)
	box    func(event any) (ptr any)
}

func eventOf[E any]() *eventType {
	return &eventType{
		goType: reflect.TypeFor[E](),
		make:   func() any { return new(E) },
		clear: func(ptr any) {
			var none E
			*ptr.(*E) = none
		},
		box: func(event any) any {
			e := event.(E)
			return &e
		},
	}
}

// binding is one handler of one Go type of event.
type binding struct {
	target int // index in Projection.targets
	// route adds what the event changes; nil for a document under the id of
	// the event's aggregate.
	route func(b *binding, event any, m Meta, ops []op) []op
	fold  any // of a document: func(T, *E as any, Meta) (T, error)
	// effect is set in reactors only.
	effect func(ctx context.Context, event any, m Meta) error
	part   *part // of a stored event, which it is for; nil: the whole
}

// op is a change that one event makes under one key.
type op struct {
	binding *binding
	key     string
	hash    uint64 // of key; 0 when it is not known yet
	slot    any    // what the table has under key, see table.want
	entry   *Entry // of an index or a set
	by      int64  // of a counter
}

// A Part is an argument of [New].
type Part func(*Projection) error

// New returns the projection that fills the view of a name. Every target in
// its parts belongs to that view and to one view store. codec knows the events
// that the parts handle; events of other types are skipped undecoded.
//
// It panics when the parts do not fit together: such a program must not start.
func New(name string, codec eventstore.Codec, parts ...Part) *Projection {
	p := &Projection{name: name, codec: codec, definition: 1, byType: map[string]*reaction{}, byValue: map[reflect.Type]*reaction{}}
	var errs []error
	if name == "" {
		errs = append(errs, errors.New("needs a name"))
	}
	for _, part := range parts {
		errs = append(errs, part(p))
	}
	for _, f := range p.finish {
		errs = append(errs, f())
	}
	if len(p.targets) == 0 {
		errs = append(errs, errors.New("handles no events; add projection.On, OnIndex, OnSet or OnCount"))
	}
	if err := errors.Join(errs...); err != nil {
		panic(fmt.Errorf("projection %q: %w", name, err))
	}
	return p
}

// Name returns the name of the view.
func (p *Projection) Name() string { return p.name }

// types returns the names of the events that the projection handles.
func (p *Projection) types() []string { return slices.Sorted(maps.Keys(p.byType)) }

// Definition declares the version of what the handlers do; 1 without it. Raise
// it with every change that would give another view for the same events: the
// runner then builds a new version of the view beside the old one.
func Definition(n int) Part {
	return func(p *Projection) error {
		if n < 1 {
			return fmt.Errorf("definition %d: must be 1 or more", n)
		}
		p.definition = n
		return nil
	}
}

// On folds events of type E into documents: fold returns the document after
// the event, given the one before or the zero value of T. It may return
// [ErrDeleteDocument] to remove it. fold must depend on nothing but its
// arguments, so that a rebuild gives the same again, and must not change what
// the document before or the event refers to, such as a map: the event may be
// on its way to other views as well, and what it refers to, too.
//
// The key is the id of the event's aggregate unless [Key] or [Keys] says
// otherwise. An error or a panic of fold parks the event, see [Runner.Parked].
func On[T, E any](c *Collection[T], fold func(T, E, Meta) (T, error), opts ...OnOption[E]) Part {
	var o onOptions[E]
	for _, opt := range opts {
		opt(&o)
	}
	b := &binding{fold: func(doc T, event any, m Meta) (T, error) { return fold(doc, *event.(*E), m) }}
	if o.keys != nil {
		b.route = func(b *binding, event any, m Meta, ops []op) []op {
			for _, key := range o.keys(*event.(*E), m) {
				ops = append(ops, op{binding: b, key: key})
			}
			return ops
		}
	}
	return func(p *Projection) error { return p.bind(eventOf[E](), c, b) }
}

// ErrDeleteDocument is returned by a fold to remove the document.
var ErrDeleteDocument = errors.New("projection: delete this document")

// An OnOption is an option of [On].
type OnOption[E any] func(*onOptions[E])

type onOptions[E any] struct{ keys func(E, Meta) []string }

// Key chooses the document that an event changes.
func Key[E any](key func(event E, m Meta) string) OnOption[E] {
	return Keys(func(event E, m Meta) []string { return []string{key(event, m)} })
}

// Keys chooses the documents that an event changes, each once. No keys means
// that the event changes nothing.
func Keys[E any](keys func(event E, m Meta) []string) OnOption[E] {
	return func(o *onOptions[E]) { o.keys = keys }
}

// OnIndex changes an index by events of type E. entries must depend on nothing
// but its arguments.
func OnIndex[E any](x *Index, entries func(event E, m Meta) []Entry) Part {
	b := &binding{route: func(b *binding, event any, m Meta, ops []op) []op {
		for _, e := range entries(*event.(*E), m) {
			ops = append(ops, op{binding: b, key: e.Key, entry: &e})
		}
		return ops
	}}
	return func(p *Projection) error { return p.bind(eventOf[E](), x, b) }
}

// OnSet changes sets by events of type E. changes must depend on nothing but
// its arguments.
func OnSet[E any](s *Set, changes func(event E, m Meta) []SetChange) Part {
	b := &binding{route: func(b *binding, event any, m Meta, ops []op) []op {
		for _, c := range changes(*event.(*E), m) {
			ops = append(ops, op{binding: b, key: c.Key, entry: &Entry{Key: c.Key, Member: c.Member, Remove: c.Remove}})
		}
		return ops
	}}
	return func(p *Projection) error { return p.bind(eventOf[E](), s, b) }
}

// A Delta is added to the counter of a key.
type Delta struct {
	Key string
	By  int64
}

// OnCount changes counters by events of type E. deltas must depend on nothing
// but its arguments. A counter that would leave the range of int64 parks the
// event.
func OnCount[E any](c *Counters, deltas func(event E, m Meta) []Delta) Part {
	b := &binding{route: func(b *binding, event any, m Meta, ops []op) []op {
		for _, d := range deltas(*event.(*E), m) {
			ops = append(ops, op{binding: b, key: d.Key, by: d.By})
		}
		return ops
	}}
	return func(p *Projection) error { return p.bind(eventOf[E](), c, b) }
}

// target returns the number of a target, after adding it if need be. One that
// is fresh must not be there yet.
func (p *Projection) target(t bound, fresh bool) (int, error) {
	base := t.base()
	if base.err != nil {
		return 0, base.err
	}
	if base.view != p.name {
		return 0, fmt.Errorf("%q belongs to view %q; set View in its options", base.name, base.view)
	}
	if p.store != nil && p.store != base.store && !sameStore(p.store, base.store) {
		return 0, fmt.Errorf("%q is in another view store than the targets before it", base.name)
	}
	p.store = base.store
	i := slices.Index(p.targets, t)
	if i >= 0 && !fresh {
		return i, nil
	}
	for _, other := range p.targets {
		if other.base().name == base.name {
			return 0, fmt.Errorf("%q is there twice; use the same value in all parts", base.name)
		}
	}
	p.targets = append(p.targets, t)
	return len(p.targets) - 1, nil
}

func (p *Projection) bind(event *eventType, t bound, part *binding) (err error) {
	b := new(binding) // a Part may be given to several projections
	*b = *part
	if b.target, err = p.target(t, false); err != nil {
		return err
	}
	names := p.codec.TypeNames(event.goType)
	if len(names) == 0 {
		return fmt.Errorf("event type %v is not registered; add codec.Type[%v](name)", event.goType, event.goType)
	}
	for _, name := range names {
		t, several := event.goType, 0
		if resolver, ok := p.codec.(eventstore.TypeResolver); ok {
			t, several = resolver.TypeOf(name)
		}
		r := p.byType[name]
		if r == nil {
			r = &reaction{index: len(p.byType), several: several}
			p.byType[name] = r
		}
		if t == event.goType {
			r.event = event
			r.add(b)
		}
	}
	if p.byValue[event.goType] == nil {
		p.byValue[event.goType] = &reaction{event: event}
	}
	p.byValue[event.goType].add(b)
	p.wide = p.wide || b.route != nil
	return nil
}

// sameStore lets view stores that are made per target say that they keep
// their views in one place.
func sameStore(a, b ViewStore) bool {
	s, ok := a.(interface{ SamePlace(ViewStore) bool })
	return ok && s.SamePlace(b)
}
