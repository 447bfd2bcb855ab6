package projection

import "context"

// A Set has members by key, each at most once. redisview.NewSet and
// memview.NewSet make one. What is said of a [Collection] holds.
type Set struct{ target }

// NewSet returns the set of a name in a view store. A nil opts means the
// defaults.
func NewSet(store ViewStore, name string, opts *TargetOptions) *Set {
	s := &Set{}
	s.init(store, name, opts)
	return s
}

// Members returns all members of a key, sorted; none for a key that has none.
func (s *Set) Members(ctx context.Context, key string) ([]string, error) {
	if err := s.fresh(ctx, key); err != nil {
		return nil, err
	}
	return s.store.SetMembers(ctx, s.view, s.name, key)
}

// Contains reports whether a member is in the set of a key.
func (s *Set) Contains(ctx context.Context, key, member string) (bool, error) {
	has, err := s.contains(ctx, key, []string{member})
	return err == nil && has[0], err
}

// ContainsMany says of each of members whether it is in the set of a key.
func (s *Set) ContainsMany(ctx context.Context, key string, members ...string) (map[string]bool, error) {
	has, err := s.contains(ctx, key, members)
	if err != nil {
		return nil, err
	}
	all := make(map[string]bool, len(members))
	for i, m := range members {
		all[m] = has[i]
	}
	return all, nil
}

func (s *Set) contains(ctx context.Context, key string, members []string) ([]bool, error) {
	if err := s.fresh(ctx, key); err != nil {
		return nil, err
	}
	return s.store.SetContains(ctx, s.view, s.name, key, members)
}

// Size returns how many members a key has; 0 for a key that has none.
func (s *Set) Size(ctx context.Context, key string) (int64, error) {
	if err := s.fresh(ctx, key); err != nil {
		return 0, err
	}
	return s.store.SetSize(ctx, s.view, s.name, key)
}
