package projection

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

func (c *Collection[T]) value(data []byte) (any, error) {
	var doc T
	err := c.enc.Unmarshal(data, &doc)
	return doc, err
}

// SameStored reports whether two documents are stored as the same bytes, or
// cannot be told apart once they are read again.
func (c *Collection[T]) SameStored(a, b T) (bool, error) {
	before, err := c.enc.Append(nil, &a)
	if err != nil {
		return false, err
	}
	after, err := c.enc.Append(nil, &b)
	return err == nil && c.alike(before, after), err
}

// alike allows for encodings that give equal documents different bytes.
func (c *Collection[T]) alike(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, errX := c.value(a)
	y, errY := c.value(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

// checkedFold returns a fold that is checked each time it is called.
func (c *Collection[T]) checkedFold(ck *checker, fold any) any {
	call := fold.(func(T, any, Meta) (T, error))
	return func(doc T, event any, m Meta) (T, error) {
		tell := func(kind, problem string) { ck.tell(c.name, m.ID, &m, kind, problem) }
		before, err := c.enc.Append(nil, &doc)
		if err != nil {
			return call(doc, event, m)
		}
		eventBefore := ck.eventBytes(event)
		first, firstErr := call(doc, event, m)
		if after, err := c.enc.Append(nil, &doc); err != nil || !c.alike(before, after) {
			tell("document", fmt.Sprintf("the fold changed the document that it was given, from %s to %s; clone maps, slices and what pointers point to before you change them", c.text(before), c.text(after)))
			return first, firstErr
		}
		ck.event(c, eventBefore, event, &m)
		if ok, again := c.same(call, doc, first, firstErr, event, m); !ok {
			tell("differs", differs("documents", c.outcome(first, firstErr), again))
			return first, firstErr
		}
		stored := doc
		if !reflect.ValueOf(&doc).Elem().IsZero() { // or else there is none
			var fresh T
			if err := c.enc.Unmarshal(before, &fresh); err != nil {
				tell("unreadable", fmt.Sprintf("the document cannot be read again once it is stored: %v", err))
				return first, firstErr
			}
			stored = fresh
		}
		if ok, again := c.same(call, stored, first, firstErr, event, m); !ok {
			tell("stored", fmt.Sprintf("with the document as it is stored the fold gave %s instead of %s; it depends on what is not stored of it, such as fields that are not exported", again, c.outcome(first, firstErr)))
		}
		return first, firstErr
	}
}

// same calls a fold once more and compares.
func (c *Collection[T]) same(call func(T, any, Meta) (T, error), doc, first T, firstErr error, event any, m Meta) (same bool, again string) {
	second, err := call(doc, event, m)
	again = c.outcome(second, err)
	if firstErr != nil || err != nil {
		return again == c.outcome(first, firstErr), again
	}
	ok, err := c.SameStored(first, second)
	return ok || err != nil, again // one that cannot be encoded is parked
}

func (c *Collection[T]) outcome(doc T, err error) string {
	switch {
	case errors.Is(err, ErrDeleteDocument):
		return "no document"
	case err != nil:
		return fmt.Sprintf("the error %q", err)
	}
	data, err := json.Marshal(doc)
	if err != nil {
		return fmt.Sprintf("%+v", doc)
	}
	return string(data)
}

func (c *Collection[T]) text(data []byte) string {
	doc, err := c.value(data)
	if err != nil {
		return fmt.Sprintf("%q", data)
	}
	typed, _ := doc.(T)
	return c.outcome(typed, nil)
}

func (c *listed[T]) checked(ck *checker) bound {
	own := &listed[T]{Collection: c.Collection, lookups: slices.Clone(c.lookups)}
	for i := range own.lookups {
		l := &own.lookups[i]
		call := l.listings
		l.listings = func(key string, doc T) []Listing {
			first, second := call(key, doc), call(key, doc)
			if !reflect.DeepEqual(first, second) {
				ck.tell(l.name, key, &Meta{}, "differs", differs("listings", fmt.Sprintf("%+v", first), fmt.Sprintf("%+v", second)))
			}
			return first
		}
	}
	return own
}
