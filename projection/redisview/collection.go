package redisview

import (
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/projection"
)

// CollectionOptions configure [NewCollection], [NewIndex], [NewSet] and
// [NewCounters]. The zero value is ready to use.
type CollectionOptions struct {
	Options
	// View is the name of the projection that fills it; its own name by
	// default. Several collections of one view change in one atomic step.
	View string
	// Encoding of documents; MessagePack with named fields by default, see
	// [codec.Msgpack].
	Encoding projection.Encoding
	// PerKey stores each document of a collection under a key of its own, and
	// TTL lets it expire; see [projection.TargetOptions].
	PerKey bool
	TTL    time.Duration
	// ClientCache keeps documents of a collection that are read often in this
	// process. It needs PerKey.
	ClientCache *ClientCache
}

// NewCollection returns the documents of type T that are kept under a name in
// Redis. A nil opts means the defaults.
func NewCollection[T any](rdb redis.UniversalClient, name string, opts *CollectionOptions) *projection.Collection[T] {
	store, target := opts.store(rdb)
	enc := projection.Encoding(codec.Msgpack)
	if opts != nil && opts.Encoding != nil {
		enc = opts.Encoding
	}
	return projection.NewCollection[T](store, name, enc, target)
}

// NewIndex returns the sorted sets that are kept under a name in Redis. A nil
// opts means the defaults.
func NewIndex(rdb redis.UniversalClient, name string, opts *CollectionOptions) *projection.Index {
	store, target := opts.store(rdb)
	return projection.NewIndex(store, name, target)
}

// NewSet returns the sets that are kept under a name in Redis. A nil opts means
// the defaults.
func NewSet(rdb redis.UniversalClient, name string, opts *CollectionOptions) *projection.Set {
	store, target := opts.store(rdb)
	return projection.NewSet(store, name, target)
}

// NewCounters returns the counters that are kept under a name in Redis. A nil
// opts means the defaults.
func NewCounters(rdb redis.UniversalClient, name string, opts *CollectionOptions) *projection.Counters {
	store, target := opts.store(rdb)
	return projection.NewCounters(store, name, target)
}

func (o *CollectionOptions) store(rdb redis.UniversalClient) (*Store, *projection.TargetOptions) {
	if o == nil {
		return New(rdb, nil), nil
	}
	s := New(rdb, &o.Options)
	if o.ClientCache != nil && s.err == nil {
		s.err = o.ClientCache.attachTo(s, o.PerKey)
	}
	return s, &projection.TargetOptions{View: o.View, PerKey: o.PerKey, TTL: o.TTL}
}

// SamePlace reports whether other keeps its views in the same Redis under the
// same prefix, so that targets made one by one can share a view.
func (s *Store) SamePlace(other projection.ViewStore) bool {
	o, ok := other.(*Store)
	return ok && o.rdb == s.rdb && o.prefix == s.prefix
}
