package projection

import (
	"context"
	"fmt"
)

// A Lookup finds the documents of a [Collection] by what is in them: it is an
// index whose members are the keys of the documents. [IndexBy] says under which
// keys a document is found. Whenever a document changes, what changes in the
// lookup is written in the same atomic step, so the two never disagree.
//
// The entries of one key are spread over all partitions, beside their
// documents. A read asks all of them in one round trip and merges the answers;
// under traffic one may be a moment ahead of another. After a position it waits
// for every partition. What else is said of a [Collection] holds.
type Lookup[T any] struct {
	target
	of *Collection[T]
}

// NewLookup returns the lookup of a name in the view and the view store of a
// collection.
func NewLookup[T any](of *Collection[T], name string) *Lookup[T] {
	l := &Lookup[T]{of: of}
	l.init(of.store, name, &TargetOptions{View: of.view})
	return l
}

// A Listing says under which key of a [Lookup] a document is found, and with
// which score among the others there.
type Listing struct {
	Key   string
	Score float64
}

// IndexBy keeps a lookup in step with its collection, which the projection has
// to fill. listings says where the document of a key is found: nowhere, under
// one key or under several; of one that is there twice the last counts. It must
// depend on nothing but its arguments, and a change of what it returns needs
// another [Definition]. If it panics, or gives a score that is not a number,
// the event that made the document so is parked.
func IndexBy[T any](l *Lookup[T], listings func(key string, doc T) []Listing) Part {
	return func(p *Projection) error {
		if _, err := p.target(l, true); err != nil {
			return err
		}
		if l.of.ttl > 0 {
			return fmt.Errorf("%q looks up documents of %q, which expire: it would go on listing them; leave out the TTL or the lookup", l.name, l.of.name)
		}
		p.finish = append(p.finish, func() error { return list(p, l, listings) })
		return nil
	}
}

// list has the tables of l's collection look after l. It is called when all
// parts are known.
func list[T any](p *Projection, l *Lookup[T], listings func(string, T) []Listing) error {
	for i, t := range p.targets {
		c, ok := t.(*listed[T])
		if !ok {
			if whole, _ := t.(*Collection[T]); whole != l.of {
				continue
			}
			c = &listed[T]{Collection: l.of}
			p.targets[i] = c
		}
		if c.Collection == l.of {
			c.lookups = append(c.lookups, lookupPart[T]{name: l.name, listings: listings})
			return nil
		}
	}
	return fmt.Errorf("%q looks up documents of %q, which no part fills; add projection.On", l.name, l.of.name)
}

// Range returns the documents that are found under a key, each as a member;
// none for a key that has none.
func (l *Lookup[T]) Range(ctx context.Context, key string, r Range) ([]Member, error) {
	if err := l.freshAll(ctx); err != nil {
		return nil, err
	}
	return l.store.RangeAll(ctx, l.view, l.name, key, r)
}

// Page returns what [Lookup.Range] does page by page, see [PageOptions]. A bad
// cursor is a [*CursorError].
func (l *Lookup[T]) Page(ctx context.Context, key string, opts PageOptions) (Page, error) {
	return pageOf(l.name, key, opts, func(r Range) ([]Member, error) { return l.Range(ctx, key, r) })
}

// Count returns how many documents are found under a key with a score from low
// to high, both inclusive; nil is open.
func (l *Lookup[T]) Count(ctx context.Context, key string, low, high *float64) (int64, error) {
	if err := l.freshAll(ctx); err != nil {
		return 0, err
	}
	return l.store.CountRangeAll(ctx, l.view, l.name, key, low, high)
}

// A Document is one of a [DocumentPage].
type Document[T any] struct {
	Key   string
	Score float64 // by which it was found
	Value T
}

// A DocumentPage is a [Page] with the documents themselves.
type DocumentPage[T any] struct {
	Documents []Document[T]
	Next      string // cursor of the next page; "" when this was the last
}

// Documents returns a page of the documents that are found under a key. It is
// two round trips: a document that was removed between them is left out, and
// one that was changed is as it is now.
func (l *Lookup[T]) Documents(ctx context.Context, key string, opts PageOptions) (DocumentPage[T], error) {
	page, err := l.Page(ctx, key, opts)
	if err != nil || len(page.Members) == 0 {
		return DocumentPage[T]{}, err
	}
	keys := make([]string, len(page.Members))
	for i, m := range page.Members {
		keys[i] = m.Member
	}
	found, err := l.store.Documents(ctx, l.view, l.of.name, keys)
	if err != nil {
		return DocumentPage[T]{}, err
	}
	docs := DocumentPage[T]{Documents: make([]Document[T], 0, len(keys)), Next: page.Next}
	for i, data := range found {
		if data == nil {
			continue
		}
		doc, err := l.of.decode(keys[i], data)
		if err != nil {
			return DocumentPage[T]{}, err
		}
		docs.Documents = append(docs.Documents, Document[T]{Key: keys[i], Score: page.Members[i].Score, Value: doc})
	}
	return docs, nil
}

// Get returns the only document that is found under a key: a [*NotFoundError]
// if there is none, and an error that matches [ErrAmbiguous] if there are more.
func (l *Lookup[T]) Get(ctx context.Context, key string) (Document[T], error) {
	page, err := l.Documents(ctx, key, PageOptions{Limit: 1})
	switch {
	case err != nil:
		return Document[T]{}, err
	case page.Next != "":
		return Document[T]{}, fmt.Errorf("%s: key %q: %w", l.name, key, ErrAmbiguous)
	case len(page.Documents) == 0:
		return Document[T]{}, &NotFoundError{Collection: l.name, Key: key}
	}
	return page.Documents[0], nil
}
