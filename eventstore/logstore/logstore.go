package logstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/disk"
)

// A Store keeps events in a directory. It is safe for concurrent use; the
// package comment says what it guarantees.
//
// No lock is held while a sequence yields, so that a reader may be as slow as
// it likes, and may call the store.
type Store struct {
	dir    string
	opts   Options
	id     eventstore.ID
	lock   disk.File // nil when read only
	closed chan struct{}
	ended  atomic.Bool // closed is closed
	once   sync.Once
	result error // of Close

	queue queue

	// The leader's own.
	batch   batch
	recent  streamrules.Recent
	failure error

	remembered bool // recent has what was there when the store was opened

	mu      sync.RWMutex // guards what follows, and the published part of the last segment's tail
	segs    []*segment   // never empty; only the leader changes it
	grows   *content     // of the last segment
	blocks  []block      // of grows, published
	end     int64        // of what is published in grows
	head    eventstore.Position
	rolls   int    // how often a segment was added
	known   int    // streams with events
	events  uint64 // in the log
	used    int64  // bytes in the segments
	waiters streamrules.Waiters

	states     stateCache
	sealer     sealer
	scavenging sync.Mutex // held by a scavenge
}

var (
	_ eventstore.Store       = (*Store)(nil)
	_ eventstore.Conditional = (*Store)(nil)
)

// Append implements [eventstore.Store]. Calls that come together share one
// write and one sync. A call whose ctx ends before it was its turn writes
// nothing; after that it waits for its answer.
func (s *Store) Append(ctx context.Context, stream string, expected eventstore.Expected, events ...eventstore.Event) (eventstore.Receipt, error) {
	return s.append(ctx, streamrules.Op{Kind: streamrules.Append, Stream: stream, Expected: expected, Events: events})
}

func (s *Store) append(ctx context.Context, op streamrules.Op) (eventstore.Receipt, error) {
	if err := eventstore.CheckStream(op.Stream); err != nil {
		return eventstore.Receipt{}, err
	}
	if err := eventstore.CheckEvents(op.Stream, s.opts.MaxAppendSize, op.Events); err != nil {
		return eventstore.Receipt{}, err
	}
	// Each event is written with the name of its stream: many small ones under
	// a long name could fill the disk far beyond the limit.
	if written := len(op.Events) * (len(op.Stream) + frameOverhead); written > overheadFactor*s.opts.MaxAppendSize {
		return eventstore.Receipt{}, &eventstore.TooLargeError{Stream: op.Stream, Size: written, Limit: overheadFactor * s.opts.MaxAppendSize}
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
	if err := eventstore.CheckEvents(op.Stream, s.opts.MaxAppendSize, op.Events); err != nil {
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
	for {
		meta, _, v, err := s.look(eventstore.MetadataStream(stream))
		if err != nil {
			return eventstore.StreamMetadata{}, 0, err
		}
		state, _, now, err := s.look(stream)
		switch {
		case err != nil:
			return eventstore.StreamMetadata{}, 0, err
		case state.Tombstoned:
			return eventstore.StreamMetadata{}, 0, &eventstore.StreamDeletedError{Stream: stream}
		case state.Meta == nil:
			return eventstore.StreamMetadata{}, 0, nil
		case v.head == now.head:
			return streamrules.Clone(state.Meta), meta.Last, nil
		}
		if err := s.alive(ctx); err != nil { // it may have changed in between: look again
			return eventstore.StreamMetadata{}, 0, err
		}
	}
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
	return func(yield func(eventstore.Recorded, error) bool) { s.readFrom(ctx, opts, nil, yield) }
}

// Subscribe implements [eventstore.Store].
func (s *Store) Subscribe(ctx context.Context, stream string, opts eventstore.SubscribeOptions) iter.Seq2[eventstore.Message, error] {
	return func(yield func(eventstore.Message, error) bool) {
		if err := eventstore.CheckStream(stream); err != nil {
			yield(eventstore.Message{}, err)
			return
		}
		streamrules.FollowStream(ctx, stream, &streamSource{s, stream}, opts.After, s.opts.Now, yield)
	}
}

// SubscribeAll implements [eventstore.Store].
func (s *Store) SubscribeAll(ctx context.Context, opts eventstore.SubscribeAllOptions) iter.Seq2[eventstore.Message, error] {
	return func(yield func(eventstore.Message, error) bool) {
		streamrules.FollowAll(ctx, &allSource{s, opts.Filter, opts.Filter.Matcher()}, opts.After, yield)
	}
}

// Stats says how much a [Store] holds.
type Stats struct {
	Events   uint64              // readable in the log
	Streams  int                 // that have or had events, metastreams included
	Segments int                 // files
	Bytes    int64               // used in the segments, which are sparse
	Head     eventstore.Position // position of the last event
}

// Stats returns how much the store holds. It is cheap.
func (s *Store) Stats() Stats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.statsLocked()
}

func (s *Store) statsLocked() Stats {
	return Stats{Events: s.events, Streams: s.known, Segments: len(s.segs), Bytes: s.used, Head: s.head}
}

// Dense implements [eventstore.Dense]: positions have no gaps.
func (*Store) Dense() bool { return true }

// Close waits for the appends that have begun, syncs, and ends every sequence
// that is being read with [eventstore.ErrClosed]. It marks the store as closed
// cleanly, so that the next [Open] need not look for what a crash has left.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.queue.shut()
		s.ended.Store(true)
		close(s.closed)
		s.scavenging.Lock() // a scavenge sees soon that the store is closed
		defer s.scavenging.Unlock()
		s.sealer.work.Wait()
		var err error
		if s.failure == nil && !s.opts.ReadOnly {
			if err = s.sync(); err == nil {
				s.markClean()
			}
		}
		s.result = errors.Join(err, s.release())
	})
	return s.result
}

// release gives back files, mappings and the lock.
func (s *Store) release() error {
	var errs []error
	for _, seg := range s.segs {
		errs = append(errs, seg.replace(nil))
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close %s: %w", s.dir, err)
	}
	return nil
}
