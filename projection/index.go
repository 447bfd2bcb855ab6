package projection

import (
	"context"
	"math"
)

// An Index has members by key, sorted by score. redisview.NewIndex and
// memview.NewIndex make one. What is said of a [Collection] holds.
type Index struct{ target }

// NewIndex returns the index of a name in a view store. A nil opts means the
// defaults.
func NewIndex(store ViewStore, name string, opts *TargetOptions) *Index {
	x := &Index{}
	x.init(store, name, opts)
	return x
}

// Range returns members of a key; none for a key that has none.
func (x *Index) Range(ctx context.Context, key string, r Range) ([]Member, error) {
	if err := x.fresh(ctx, key); err != nil {
		return nil, err
	}
	return x.store.Range(ctx, x.view, x.name, key, r)
}

// Page returns members of a key page by page, see [PageOptions]. A bad cursor
// is a [*CursorError].
func (x *Index) Page(ctx context.Context, key string, opts PageOptions) (Page, error) {
	return pageOf(x.name, key, opts, func(r Range) ([]Member, error) { return x.Range(ctx, key, r) })
}

// Top returns the n members of a key with the highest scores, highest first.
func (x *Index) Top(ctx context.Context, key string, n int) ([]Member, error) {
	if n <= 0 {
		return nil, nil
	}
	return x.Range(ctx, key, Range{Reverse: true, Limit: n})
}

// Count returns how many members of a key have a score from low to high, both
// inclusive; nil is open.
func (x *Index) Count(ctx context.Context, key string, low, high *float64) (int64, error) {
	if err := x.fresh(ctx, key); err != nil {
		return 0, err
	}
	return x.store.CountRange(ctx, x.view, x.name, key, low, high)
}

// Score returns the score of a member of a key, or a [*NotFoundError].
func (x *Index) Score(ctx context.Context, key, member string) (float64, error) {
	if err := x.fresh(ctx, key); err != nil {
		return 0, err
	}
	scores, err := x.store.Scores(ctx, x.view, x.name, key, []string{member})
	if err != nil {
		return 0, err
	}
	if math.IsNaN(scores[0]) {
		return 0, &NotFoundError{Collection: x.name, Key: key, Member: member}
	}
	return scores[0], nil
}

// Scores returns the scores of those members of a key that are there.
func (x *Index) Scores(ctx context.Context, key string, members ...string) (map[string]float64, error) {
	if err := x.fresh(ctx, key); err != nil {
		return nil, err
	}
	found, err := x.store.Scores(ctx, x.view, x.name, key, members)
	if err != nil {
		return nil, err
	}
	scores := make(map[string]float64, len(members))
	for i, score := range found {
		if !math.IsNaN(score) {
			scores[members[i]] = score
		}
	}
	return scores, nil
}

// Rank returns how many members of a key come before a member, lowest score
// first, so 0 for the lowest; or a [*NotFoundError].
func (x *Index) Rank(ctx context.Context, key, member string) (int64, error) {
	return x.rank(ctx, key, member, false)
}

// ReverseRank is [Index.Rank] with the highest score first, so 0 for the first
// of [Index.Top].
func (x *Index) ReverseRank(ctx context.Context, key, member string) (int64, error) {
	return x.rank(ctx, key, member, true)
}

func (x *Index) rank(ctx context.Context, key, member string, reverse bool) (int64, error) {
	if err := x.fresh(ctx, key); err != nil {
		return 0, err
	}
	rank, err := x.store.Rank(ctx, x.view, x.name, key, member, reverse)
	if err != nil {
		return 0, err
	}
	if rank < 0 {
		return 0, &NotFoundError{Collection: x.name, Key: key, Member: member}
	}
	return rank, nil
}
