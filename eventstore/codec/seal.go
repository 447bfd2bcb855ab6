package codec

import (
	"fmt"
	"reflect"

	"github.com/foldstream/foldstream/eventstore"
)

// TagPersonal is the struct tag of a field with personal data. Types that have
// it need a [Sealed] codec.
const TagPersonal = "personal"

// A Sealer encrypts the personal part of events between their encoding and the
// store. Package shred has one. It is safe for concurrent use.
type Sealer interface {
	// Plan returns how values of type t, or what it points to, are sealed, or
	// nil if nothing in them is personal. options are what [Personal] was given.
	Plan(t reflect.Type, options []any) (Seal, error)

	// Open returns an event with [eventstore.KeySealed] in its metadata as it
	// was before it was sealed, as far as that has not been erased.
	Open(r eventstore.Recorded) (eventstore.Recorded, error)
}

// A Seal returns what is stored in place of e, which is event encoded. It may
// change data, content type and metadata, and must not change event. encode
// encodes other values of the same type.
type Seal func(event any, e eventstore.Event, encode func(any) ([]byte, error)) (eventstore.Event, error)

// Sealed has s seal the events of types with something personal. Without it,
// types with a field tagged as [TagPersonal] are refused.
func Sealed(s Sealer) Registration {
	return func(c *Codec) error {
		if c.sealer != nil {
			return fmt.Errorf("codec: sealed twice; one codec has one sealer")
		}
		c.sealer = s
		return nil
	}
}

// Personal passes an option to the [Sealer], such as those of package shred for
// types that have no room for tags.
func Personal(option any) TypeOption {
	return func(t *entry) { t.personal = append(t.personal, option) }
}

// finishSeals plans how each type is sealed.
func (c *Codec) finishSeals() (errs []error) {
	for _, t := range c.types {
		var err error
		switch {
		case c.sealer != nil:
			t.seal, err = c.sealer.Plan(t.goType, t.personal)
		case len(t.personal) > 0 || tagged(t.goType, make(map[reflect.Type]bool)):
			err = fmt.Errorf("%v has personal fields, which would be stored in the clear; add the Seal of a shred.Ring to codec.New", t.goType)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("codec: %q: %w", t.names[0], err))
		}
	}
	return errs
}

// tagged reports whether a field in t has [TagPersonal].
func tagged(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return tagged(t.Elem(), seen)
	case reflect.Struct:
		for f := range t.Fields() {
			if _, ok := f.Tag.Lookup(TagPersonal); ok || tagged(f.Type, seen) {
				return true
			}
		}
	}
	return false
}

// open opens r if it is sealed.
func (c *Codec) open(r *eventstore.Recorded) error {
	if r.Metadata.Size() < len(eventstore.KeySealed) {
		return nil
	}
	if _, sealed := r.Metadata.Lookup(eventstore.KeySealed); !sealed {
		return nil
	}
	opened, err := c.sealer.Open(*r)
	if err != nil {
		return failed(r, err)
	}
	*r = opened
	return nil
}

// Plain returns the data of event before it is sealed, as two values are
// compared by. It returns the errors of [Codec.Encode].
func (c *Codec) Plain(event any) ([]byte, error) {
	e, _, err := c.plain(event)
	return e.Data, err
}
