package memview

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/foldstream/foldstream/projection"
)

// partition returns the partition of the version that key belongs to.
func (v *version) partition(key string) *partition {
	return v.partitions[projection.PartitionOf(key, len(v.partitions))]
}

// read calls f with the active version while nothing changes.
func (s *Store) read(ctx context.Context, view string, f func(*version)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, err := s.activeVersion(view)
	if err != nil {
		return err
	}
	f(v)
	return nil
}

// Active implements [projection.Reader].
func (s *Store) Active(ctx context.Context, view string) (info projection.VersionInfo, err error) {
	err = s.read(ctx, view, func(v *version) {
		info = v.info
		info.Active = true
	})
	return info, err
}

// Checkpoint implements [projection.Reader].
func (s *Store) Checkpoint(ctx context.Context, view, key string) (ck projection.Checkpoint, err error) {
	err = s.read(ctx, view, func(v *version) { ck = v.partition(key).checkpoint })
	return ck, err
}

// Documents implements [projection.Reader].
func (s *Store) Documents(ctx context.Context, view, collection string, keys []string) (docs [][]byte, err error) {
	err = s.read(ctx, view, func(v *version) {
		docs = make([][]byte, len(keys))
		for i, key := range keys {
			docs[i] = v.partition(key).document(collection, key)
		}
	})
	return docs, err
}

// Counts implements [projection.Reader].
func (s *Store) Counts(ctx context.Context, view, collection string, keys []string) (counts []int64, err error) {
	err = s.read(ctx, view, func(v *version) {
		counts = make([]int64, len(keys))
		for i, key := range keys {
			counts[i] = v.partition(key).counters[collection][key]
		}
	})
	return counts, err
}

// Top implements [projection.Reader].
func (s *Store) Top(ctx context.Context, view, collection string, n int) (top []projection.Count, err error) {
	err = s.read(ctx, view, func(v *version) {
		for _, p := range v.partitions {
			for key, value := range p.counters[collection] {
				top = append(top, projection.Count{Key: key, Value: value})
			}
		}
	})
	slices.SortFunc(top, func(a, b projection.Count) int {
		return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Key, b.Key))
	})
	return top[:min(max(n, 0), len(top))], err
}

// Dump implements [projection.ViewStore]. Each partition is as it was at one
// moment.
func (s *Store) Dump(ctx context.Context, view string, number int) iter.Seq2[projection.Item, error] {
	return func(yield func(projection.Item, error) bool) {
		s.mu.RLock()
		v, err := s.version(view, number)
		s.mu.RUnlock()
		if err != nil {
			yield(projection.Item{}, err)
			return
		}
		for _, p := range v.partitions {
			if err := ctx.Err(); err != nil {
				yield(projection.Item{}, err)
				return
			}
			for _, item := range s.items(p) {
				if !yield(item, nil) {
					return
				}
			}
		}
	}
}

// items copies a partition, so that the caller of Dump holds no lock.
func (s *Store) items(p *partition) []projection.Item {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return p.items()
}
