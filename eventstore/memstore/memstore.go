// Package memstore keeps events in memory. It is a full store, held to the
// same suite as the durable ones, and made to be the double in users' tests:
// it starts no goroutine, needs the standard library only, and works inside
// [testing/synctest] bubbles.
package memstore

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
)

// Options configure a [Store]. The zero value is ready to use.
type Options struct {
	Now           func() time.Time // the store's clock; default time.Now
	MaxAppendSize int              // bytes in one append; default eventstore.DefaultMaxAppendSize
}

// A Store keeps events in memory until it is no longer referenced. Positions
// are 1, 2, 3 … without gaps. It is safe for concurrent use; no lock is held
// while a sequence yields.
type Store struct {
	now       func() time.Time
	maxAppend int
	closed    chan struct{}

	mu      sync.RWMutex
	streams map[string]*stream
	log     []*chunk
	head    eventstore.Position
	spare   []stream                         // made together
	data    []byte                           // of events, with room for more
	tagged  map[string][]eventstore.Position // by tag
	recent  streamrules.Recent
	recalls bool // recent has the last ids
	sought  string
	found   *stream // under the name sought, or nil
	waiters streamrules.Waiters
}

// A chunk holds consecutive events, so that none moves when more come.
type chunk [chunkSize]eventstore.Recorded

const (
	chunkSize = 128
	dataSize  = 64 << 10 // bytes
)

type stream struct {
	streamrules.State
	events []*eventstore.Recorded // by version - 1
	first  [1]*eventstore.Recorded
}

var (
	_ eventstore.Store       = (*Store)(nil)
	_ eventstore.Conditional = (*Store)(nil)
)

// New returns an empty store. A nil opts means the defaults.
func New(opts *Options) *Store {
	s := &Store{
		now:       time.Now,
		maxAppend: eventstore.DefaultMaxAppendSize,
		closed:    make(chan struct{}),
		streams:   make(map[string]*stream),
		tagged:    make(map[string][]eventstore.Position),
	}
	if opts != nil && opts.Now != nil {
		s.now = opts.Now
	}
	if opts != nil && opts.MaxAppendSize > 0 {
		s.maxAppend = opts.MaxAppendSize
	}
	return s
}

// Append implements [eventstore.Store].
func (s *Store) Append(ctx context.Context, stream string, expected eventstore.Expected, events ...eventstore.Event) (eventstore.Receipt, error) {
	return s.append(ctx, streamrules.Op{Kind: streamrules.Append, Stream: stream, Expected: expected, Events: events})
}

// AppendIf implements [eventstore.Conditional].
func (s *Store) AppendIf(ctx context.Context, stream string, c eventstore.Condition, events ...eventstore.Event) (eventstore.Receipt, error) {
	if err := c.Query.Check(); err != nil {
		return eventstore.Receipt{}, err
	}
	return s.append(ctx, streamrules.Op{Kind: streamrules.Append, Stream: stream, Expected: eventstore.Any, Events: events, Condition: &c})
}

func (s *Store) append(ctx context.Context, op streamrules.Op) (eventstore.Receipt, error) {
	if err := eventstore.CheckStream(op.Stream); err != nil {
		return eventstore.Receipt{}, err
	}
	if err := eventstore.CheckEvents(op.Stream, s.maxAppend, op.Events); err != nil {
		return eventstore.Receipt{}, err
	}
	return s.do(ctx, op)
}

// Delete implements [eventstore.Store]. The receipt's version is that of the
// last event hidden.
func (s *Store) Delete(ctx context.Context, stream string, expected eventstore.Expected) (eventstore.Receipt, error) {
	if err := streamrules.CheckMetadataStream(stream); err != nil {
		return eventstore.Receipt{}, err
	}
	return s.do(ctx, streamrules.Op{Kind: streamrules.Delete, Stream: stream, Expected: expected})
}

// Tombstone implements [eventstore.Store].
func (s *Store) Tombstone(ctx context.Context, stream string, expected eventstore.Expected) (eventstore.Receipt, error) {
	if err := streamrules.CheckMetadataStream(stream); err != nil {
		return eventstore.Receipt{}, err
	}
	return s.do(ctx, streamrules.Op{Kind: streamrules.Tombstone, Stream: stream, Expected: expected})
}

// SetStreamMetadata implements [eventstore.Store]. The receipt is that of the
// stream $$stream.
func (s *Store) SetStreamMetadata(ctx context.Context, stream string, expected eventstore.Expected, meta eventstore.StreamMetadata) (eventstore.Receipt, error) {
	if err := streamrules.CheckMetadataStream(stream); err != nil {
		return eventstore.Receipt{}, err
	}
	op, err := streamrules.MetadataOp(stream, expected, meta)
	if err != nil {
		return eventstore.Receipt{}, fmt.Errorf("set metadata of %q: %w", stream, err)
	}
	if err := eventstore.CheckEvents(op.Stream, s.maxAppend, op.Events); err != nil {
		return eventstore.Receipt{}, err
	}
	return s.do(ctx, op)
}

// StreamMetadata implements [eventstore.Store].
func (s *Store) StreamMetadata(ctx context.Context, stream string) (eventstore.StreamMetadata, eventstore.Version, error) {
	if err := streamrules.CheckMetadataStream(stream); err != nil {
		return eventstore.StreamMetadata{}, 0, err
	}
	if err := s.alive(ctx); err != nil {
		return eventstore.StreamMetadata{}, 0, err
	}
	s.mu.Lock() // a view looks up streams as a change does
	defer s.mu.Unlock()
	st := (*view)(s).State(stream)
	switch {
	case st.Tombstoned:
		return eventstore.StreamMetadata{}, 0, &eventstore.StreamDeletedError{Stream: stream}
	case st.Meta == nil:
		return eventstore.StreamMetadata{}, 0, nil
	}
	return streamrules.Clone(st.Meta), (*view)(s).State(eventstore.MetadataStream(stream)).Last, nil
}

// Head implements [eventstore.Store].
func (s *Store) Head(ctx context.Context) (eventstore.Position, error) {
	if err := s.alive(ctx); err != nil {
		return 0, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.head, nil
}

// Read implements [eventstore.Store].
func (s *Store) Read(ctx context.Context, stream string, opts eventstore.ReadOptions) iter.Seq2[eventstore.Recorded, error] {
	return func(yield func(eventstore.Recorded, error) bool) { s.read(ctx, stream, opts, yield) }
}

// ReadAll implements [eventstore.Store].
func (s *Store) ReadAll(ctx context.Context, opts eventstore.ReadAllOptions) iter.Seq2[eventstore.Recorded, error] {
	return func(yield func(eventstore.Recorded, error) bool) { s.readAll(ctx, opts, yield) }
}

// ReadQuery implements [eventstore.Conditional].
func (s *Store) ReadQuery(ctx context.Context, q eventstore.Query, opts eventstore.ReadQueryOptions) iter.Seq2[eventstore.Recorded, error] {
	return func(yield func(eventstore.Recorded, error) bool) { s.readQuery(ctx, q, opts, yield) }
}

// Subscribe implements [eventstore.Store].
func (s *Store) Subscribe(ctx context.Context, stream string, opts eventstore.SubscribeOptions) iter.Seq2[eventstore.Message, error] {
	return func(yield func(eventstore.Message, error) bool) {
		if err := eventstore.CheckStream(stream); err != nil {
			yield(eventstore.Message{}, err)
			return
		}
		streamrules.FollowStream(ctx, stream, &streamSource{s, stream}, opts.After, s.now, yield)
	}
}

// SubscribeAll implements [eventstore.Store].
func (s *Store) SubscribeAll(ctx context.Context, opts eventstore.SubscribeAllOptions) iter.Seq2[eventstore.Message, error] {
	return func(yield func(eventstore.Message, error) bool) {
		streamrules.FollowAll(ctx, &allSource{s, opts.Filter.Matcher()}, opts.After, yield)
	}
}

// Dense implements [eventstore.Dense]: positions have no gaps.
func (*Store) Dense() bool { return true }

// Close ends every sequence that is being read. The events are gone with the
// store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	return nil
}

// alive returns the reason for which a call cannot begin or go on.
func (s *Store) alive(ctx context.Context) error {
	select {
	case <-s.closed:
		return eventstore.ErrClosed
	default:
		return ctx.Err()
	}
}
