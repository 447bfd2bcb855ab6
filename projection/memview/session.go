package memview

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/foldstream/foldstream/projection"
)

var errClosed = errors.New("session is closed")

// A session writes one partition for as long as the partition's epoch is its
// own.
type session struct {
	store      *Store
	name       string // of the partition, for errors
	part       *partition
	checkpoint projection.Checkpoint
	closed     atomic.Bool
}

// Acquire implements [projection.ViewStore].
func (s *Store) Acquire(ctx context.Context, view string, number, part int) (projection.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.version(view, number)
	if err != nil {
		return nil, err
	}
	if err := v.check(part); err != nil {
		return nil, fmt.Errorf("memview: view %q version %d: %w", view, number, err)
	}
	p := v.partitions[part]
	p.checkpoint.Epoch++
	name := fmt.Sprintf("view %q version %d partition %d", view, number, part)
	return &session{store: s, name: name, part: p, checkpoint: p.checkpoint}, nil
}

// Checkpoint implements [projection.Session].
func (s *session) Checkpoint() projection.Checkpoint {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	return s.checkpoint
}

// enter begins a call, with the store's lock held.
func (s *session) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed.Load() {
		return fmt.Errorf("memview: %s: %w", s.name, errClosed)
	}
	if s.part.checkpoint != s.checkpoint {
		return fmt.Errorf("memview: %s: %w", s.name, projection.ErrFenced)
	}
	return nil
}

// Parked implements [projection.Session].
func (s *session) Parked(ctx context.Context) (map[string][]byte, error) {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	return s.part.allParked(), nil
}

// Documents implements [projection.Session].
func (s *session) Documents(ctx context.Context, collection string, keys []string) ([][]byte, error) {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	docs := make([][]byte, len(keys))
	for i, key := range keys {
		docs[i] = s.part.document(collection, key)
	}
	return docs, nil
}

// Counts implements [projection.Session].
func (s *session) Counts(ctx context.Context, collection string, keys []string) ([]int64, error) {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	counts := make([]int64, len(keys))
	for i, key := range keys {
		counts[i] = s.part.counters[collection][key]
	}
	return counts, nil
}

// Commit implements [projection.Session].
func (s *session) Commit(ctx context.Context, b *projection.Batch) error {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if err := s.enter(ctx); err != nil {
		return err
	}
	if err := s.part.check(b); err != nil {
		return fmt.Errorf("memview: commit to %s: %w", s.name, err)
	}
	s.part.apply(b)
	s.checkpoint = s.part.checkpoint
	return nil
}

// check refuses a batch that no store can apply.
func (p *partition) check(b *projection.Batch) error {
	if at := p.checkpoint.Position; b.Position < at {
		return fmt.Errorf("position %d is lower than the checkpoint's %d", b.Position, at)
	}
	for i := range b.Documents {
		if c := &b.Documents[i]; c.TTL != 0 && (c.TTL < 0 || !slices.Contains(p.perKey, c.Collection)) {
			return fmt.Errorf("documents %q cannot expire after %v: they are not stored per key in this version", c.Collection, c.TTL)
		}
	}
	for _, c := range b.Indexes {
		for _, e := range c.Entries {
			if !e.Remove && math.IsNaN(e.Score) {
				return fmt.Errorf("index %q: member %q of key %q has no number as its score", c.Collection, e.Member, e.Key)
			}
		}
	}
	return nil
}

// Close implements [projection.Session].
func (s *session) Close() error {
	s.closed.Store(true)
	return nil
}
