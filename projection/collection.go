package projection

import (
	"context"
	"fmt"

	"github.com/foldstream/foldstream/eventstore"
)

// An Encoding turns documents into bytes and back. It is safe for concurrent
// use. Equal documents should give equal bytes, so that views can be compared.
type Encoding interface {
	// Append appends the bytes of the document that v points to to b and
	// returns the longer slice.
	Append(b []byte, v any) ([]byte, error)
	// Unmarshal sets the document that v points to.
	Unmarshal(data []byte, v any) error
}

// A Collection has documents of type T by key. redisview.NewCollection and
// memview.NewCollection make one. Its methods read the active version of its
// view and return [ErrNotBuilt] while there is none. In a context from
// [eventstore.ContextAfter] they wait until the view is that far, or return an
// [*eventstore.NotCaughtUpError]. It is safe for concurrent use.
//
// A reader of several keys may see one a moment before another, even if one
// event changed both.
type Collection[T any] struct {
	target
	enc     Encoding
	version func(T) eventstore.Version // nil: documents do not tell
	judges  string                     // category of the streams that version speaks of
}

// NewCollection returns the collection of a name in a view store. A nil opts
// means the defaults.
func NewCollection[T any](store ViewStore, name string, enc Encoding, opts *TargetOptions) *Collection[T] {
	c := &Collection[T]{enc: enc}
	c.init(store, name, opts)
	c.layOut()
	return c
}

// VersionBy has documents tell how new they are. version returns the version,
// as [Meta.Version] has it, of the last event that a document was folded from
// among those of the stream category-key. Get in a context of
// [eventstore.ContextAfterReceipt] then reads the document first, and if that
// is as new as the receipt of that stream returns it at once; otherwise it
// waits for the position as ever. The context of package query's After is one.
// VersionBy returns c, and must be called before c is used.
func (c *Collection[T]) VersionBy(category string, version func(T) eventstore.Version) *Collection[T] {
	c.judges, c.version = category, version
	return c
}

// judge returns the document of a key if it shows by itself that it is new
// enough for ctx. Of several receipts the one with the highest position counts,
// and what came before that under the same key has been folded, too.
func (c *Collection[T]) judge(ctx context.Context, key string) (doc T, enough bool) {
	r := eventstore.AfterReceiptFromContext(ctx)
	if c.version == nil || r.Version == 0 || r.Stream != eventstore.StreamName(c.judges, key) || eventstore.ChangesFromContext(ctx) != nil {
		return doc, false
	}
	found, err := c.store.Documents(ctx, c.view, c.name, []string{key})
	if err != nil || found[0] == nil {
		return doc, false // if it lasts, who waits will meet it
	}
	doc, err = c.decode(key, found[0])
	return doc, err == nil && c.version(doc) >= r.Version
}

// Get returns the document of a key, or a [*NotFoundError].
func (c *Collection[T]) Get(ctx context.Context, key string) (T, error) {
	if doc, enough := c.judge(ctx, key); enough {
		return doc, nil
	}
	var doc T
	if err := c.fresh(ctx, key); err != nil {
		return doc, err
	}
	found, err := c.store.Documents(ctx, c.view, c.name, []string{key})
	if err != nil {
		return doc, err
	}
	if found[0] == nil {
		return doc, &NotFoundError{Collection: c.name, Key: key}
	}
	return c.decode(key, found[0])
}

// GetMany returns the documents of those keys that have one.
func (c *Collection[T]) GetMany(ctx context.Context, keys ...string) (map[string]T, error) {
	if err := c.fresh(ctx, keys...); err != nil {
		return nil, err
	}
	found, err := c.store.Documents(ctx, c.view, c.name, keys)
	if err != nil {
		return nil, err
	}
	docs := make(map[string]T, len(keys))
	for i, data := range found {
		if data == nil {
			continue
		}
		if docs[keys[i]], err = c.decode(keys[i], data); err != nil {
			return nil, err
		}
	}
	return docs, nil
}

func (c *Collection[T]) decode(key string, data []byte) (T, error) {
	var doc T
	if err := c.enc.Unmarshal(data, &doc); err != nil {
		return doc, fmt.Errorf("projection: document %q of %s does not fit %T: %w; rebuild view %q", key, c.name, doc, err, c.view)
	}
	return doc, nil
}

// Counters have whole numbers by key, ranked. redisview.NewCounters and
// memview.NewCounters make them. What is said of a [Collection] holds.
type Counters struct{ target }

// NewCounters returns the counters of a name in a view store. A nil opts means
// the defaults.
func NewCounters(store ViewStore, name string, opts *TargetOptions) *Counters {
	c := &Counters{}
	c.init(store, name, opts)
	return c
}

// Get returns the counter of a key, 0 if nothing was ever counted there.
func (c *Counters) Get(ctx context.Context, key string) (int64, error) {
	if err := c.fresh(ctx, key); err != nil {
		return 0, err
	}
	found, err := c.store.Counts(ctx, c.view, c.name, []string{key})
	if err != nil {
		return 0, err
	}
	return found[0], nil
}

// GetMany returns the counters of keys, 0 for one where nothing was ever
// counted.
func (c *Counters) GetMany(ctx context.Context, keys ...string) (map[string]int64, error) {
	if err := c.fresh(ctx, keys...); err != nil {
		return nil, err
	}
	found, err := c.store.Counts(ctx, c.view, c.name, keys)
	if err != nil {
		return nil, err
	}
	counts := make(map[string]int64, len(keys))
	for i, key := range keys {
		counts[key] = found[i]
	}
	return counts, nil
}

// Top returns the n highest counters, highest first, equal ones by key. It
// reads all partitions, one after another: under traffic one may be a moment
// ahead of another. After a position it waits for every partition.
func (c *Counters) Top(ctx context.Context, n int) ([]Count, error) {
	if err := c.freshAll(ctx); err != nil {
		return nil, err
	}
	return c.store.Top(ctx, c.view, c.name, n)
}
