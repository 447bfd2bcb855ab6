package memview

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/foldstream/foldstream/projection"
)

// byScore is the order of an index.
func byScore(a, b projection.Member) int {
	return cmp.Or(cmp.Compare(a.Score, b.Score), cmp.Compare(a.Member, b.Member))
}

// within returns the members of an index's key that are within r, unsorted and
// without regard to its offset and limit.
func (p *partition) within(k indexKey, r *projection.Range) []projection.Member {
	var ms []projection.Member
	for name, score := range p.indexes[k] {
		m := projection.Member{Member: name, Score: score}
		if r.Min != nil && score < *r.Min || r.Max != nil && score > *r.Max {
			continue
		}
		if r.After != nil {
			if side := byScore(m, *r.After); side == 0 || side < 0 != r.Reverse {
				continue
			}
		}
		ms = append(ms, m)
	}
	return ms
}

// cut sorts members and takes the offset and the limit of r.
func cut(ms []projection.Member, r *projection.Range) []projection.Member {
	slices.SortFunc(ms, byScore)
	if r.Reverse {
		slices.Reverse(ms)
	}
	ms = ms[min(max(r.Offset, 0), len(ms)):]
	if r.Limit > 0 {
		ms = ms[:min(r.Limit, len(ms))]
	}
	return ms
}

// Range implements [projection.IndexReader].
func (s *Store) Range(ctx context.Context, view, collection, key string, r projection.Range) (ms []projection.Member, err error) {
	err = s.read(ctx, view, func(v *version) { ms = v.partition(key).within(indexKey{collection, key}, &r) })
	return cut(ms, &r), err
}

// RangeAll implements [projection.IndexReader].
func (s *Store) RangeAll(ctx context.Context, view, collection, key string, r projection.Range) (ms []projection.Member, err error) {
	err = s.read(ctx, view, func(v *version) {
		for _, p := range v.partitions {
			ms = append(ms, p.within(indexKey{collection, key}, &r)...)
		}
	})
	return cut(ms, &r), err
}

// CountRange implements [projection.IndexReader].
func (s *Store) CountRange(ctx context.Context, view, collection, key string, low, high *float64) (int64, error) {
	ms, err := s.Range(ctx, view, collection, key, projection.Range{Min: low, Max: high})
	return int64(len(ms)), err
}

// CountRangeAll implements [projection.IndexReader].
func (s *Store) CountRangeAll(ctx context.Context, view, collection, key string, low, high *float64) (int64, error) {
	ms, err := s.RangeAll(ctx, view, collection, key, projection.Range{Min: low, Max: high})
	return int64(len(ms)), err
}

// Scores implements [projection.IndexReader].
func (s *Store) Scores(ctx context.Context, view, collection, key string, members []string) (scores []float64, err error) {
	err = s.read(ctx, view, func(v *version) {
		of := v.partition(key).indexes[indexKey{collection, key}]
		scores = make([]float64, len(members))
		for i, m := range members {
			score, ok := of[m]
			if !ok {
				score = math.NaN()
			}
			scores[i] = score
		}
	})
	return scores, err
}

// Rank implements [projection.IndexReader].
func (s *Store) Rank(ctx context.Context, view, collection, key, member string, reverse bool) (int64, error) {
	ms, err := s.Range(ctx, view, collection, key, projection.Range{Reverse: reverse})
	if err != nil {
		return 0, err
	}
	return int64(slices.IndexFunc(ms, func(m projection.Member) bool { return m.Member == member })), nil
}

// Members implements [projection.SessionReader].
func (s *session) Members(ctx context.Context, collection, key string) ([]projection.Member, error) {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	var all projection.Range
	return cut(s.part.within(indexKey{collection, key}, &all), &all), nil
}
