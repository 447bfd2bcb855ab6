package memview

import (
	"context"
	"maps"
	"slices"

	"github.com/foldstream/foldstream/projection"
)

func (p *partition) applySets(c *projection.SetChanges) {
	for _, change := range c.Changes {
		k := indexKey{c.Collection, change.Key}
		members := under(p.sets, k)
		if change.Remove {
			delete(members, change.Member)
		} else {
			members[change.Member] = struct{}{}
		}
		if len(members) == 0 {
			delete(p.sets, k)
		}
	}
}

// SetMembers implements [projection.SetReader].
func (s *Store) SetMembers(ctx context.Context, view, collection, key string) (members []string, err error) {
	err = s.read(ctx, view, func(v *version) {
		members = slices.Sorted(maps.Keys(v.partition(key).sets[indexKey{collection, key}]))
	})
	return members, err
}

// SetContains implements [projection.SetReader].
func (s *Store) SetContains(ctx context.Context, view, collection, key string, members []string) (has []bool, err error) {
	err = s.read(ctx, view, func(v *version) {
		set := v.partition(key).sets[indexKey{collection, key}]
		has = make([]bool, len(members))
		for i, m := range members {
			_, has[i] = set[m]
		}
	})
	return has, err
}

// SetSize implements [projection.SetReader].
func (s *Store) SetSize(ctx context.Context, view, collection, key string) (size int64, err error) {
	err = s.read(ctx, view, func(v *version) {
		size = int64(len(v.partition(key).sets[indexKey{collection, key}]))
	})
	return size, err
}

// SetMembers implements [projection.SessionReader].
func (s *session) SetMembers(ctx context.Context, collection, key string) ([]string, error) {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(s.part.sets[indexKey{collection, key}])), nil
}
