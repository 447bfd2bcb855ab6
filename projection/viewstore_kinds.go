package projection

import "context"

// An IndexReader reads the indexes of the active version of views. See
// [Reader] for what is common to its methods.
type IndexReader interface {
	// Range returns members of one key of an index.
	Range(ctx context.Context, view, collection, key string, r Range) ([]Member, error)

	// RangeAll is Range for an index whose members of one key are spread over
	// all partitions, as those of a [Lookup] are.
	RangeAll(ctx context.Context, view, collection, key string, r Range) ([]Member, error)

	// CountRange returns how many members of one key have a score from low to
	// high, both inclusive; nil is open.
	CountRange(ctx context.Context, view, collection, key string, low, high *float64) (int64, error)

	// CountRangeAll is to CountRange what RangeAll is to Range.
	CountRangeAll(ctx context.Context, view, collection, key string, low, high *float64) (int64, error)

	// Scores returns the scores of members of one key, NaN for one that is
	// missing.
	Scores(ctx context.Context, view, collection, key string, members []string) ([]float64, error)

	// Rank returns how many members of one key come before a member in the
	// order of a [Range], and -1 if the member is missing.
	Rank(ctx context.Context, view, collection, key, member string, reverse bool) (int64, error)
}

// A SetReader reads the sets of the active version of views. See [Reader] for
// what is common to its methods.
type SetReader interface {
	// SetMembers returns the members of one key, sorted.
	SetMembers(ctx context.Context, view, collection, key string) ([]string, error)

	// SetContains says of each of members whether it is in the set of a key.
	SetContains(ctx context.Context, view, collection, key string, members []string) ([]bool, error)

	// SetSize returns how many members a key has.
	SetSize(ctx context.Context, view, collection, key string) (int64, error)
}

// A SessionReader reads whole keys of the version and the partition of a
// [Session].
type SessionReader interface {
	// Members returns the members that a key of an index has in the partition,
	// lowest score first, equal scores by member.
	Members(ctx context.Context, collection, key string) ([]Member, error)

	// SetMembers returns the members of one key of a set, sorted.
	SetMembers(ctx context.Context, collection, key string) ([]string, error)
}

// SetChanges are changes of the sets of one collection, in the order in which
// they apply.
type SetChanges struct {
	Collection string
	Changes    []SetChange
}

// A SetChange puts a member into the set of a key, or takes it away. Putting in
// what is there and taking away what is not changes nothing.
type SetChange struct {
	Key    string
	Member string
	Remove bool
}
