package eventstore

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// A Query chooses events by type and tags: those that match one of its items.
// [Query.Check] refuses one without items.
type Query []QueryItem

// A QueryItem matches an event whose type is one of Types and that has all of
// Tags. Without Types every type will do, without Tags every event has all of
// them; the zero QueryItem matches everything, system events included.
type QueryItem struct {
	Types []string // exact type names
	Tags  []string // see [Metadata.WithTags]
}

// Check returns an [*InvalidError] for a query that has no items, or an item
// that no event can match.
func (q Query) Check() error {
	if len(q) == 0 {
		return &InvalidError{"query", "", "it has no items and would match nothing; eventstore.Query{{}} matches everything"}
	}
	for _, item := range q {
		if slices.Contains(item.Types, "") {
			return &InvalidError{"query", q.String(), "the empty string is no type name"}
		}
		for _, tag := range item.Tags {
			if err := CheckTag(tag); err != nil {
				return err
			}
		}
	}
	return nil
}

// Matches reports whether an event of the given type and metadata is one that
// q chooses. It allocates nothing.
func (q Query) Matches(eventType string, m Metadata) bool {
	for i := range q {
		if q[i].Matches(eventType, m) {
			return true
		}
	}
	return false
}

// Matches is [Query.Matches] for one item.
func (i *QueryItem) Matches(eventType string, m Metadata) bool {
	if len(i.Types) > 0 && !slices.Contains(i.Types, eventType) {
		return false
	}
	for _, tag := range i.Tags {
		if !m.HasTag(tag) {
			return false
		}
	}
	return true
}

// String returns q for people, such as: type a or b with tags x and y, or
// tag z.
func (q Query) String() string {
	items := make([]string, len(q))
	for i := range q {
		items[i] = q[i].String()
	}
	return strings.Join(items, ", or ")
}

// String returns i for people.
func (i *QueryItem) String() string {
	types, tags := strings.Join(i.Types, " or "), strings.Join(i.Tags, " and ")
	switch {
	case types == "" && tags == "":
		return "any event"
	case tags == "":
		return "type " + types
	case types == "":
		return "tag " + tags
	}
	return "type " + types + " with tag " + tags
}

// ReadQueryOptions choose a part of what matches a query. The zero value reads
// all of it, oldest first.
type ReadQueryOptions struct {
	// From is the first position to look at: 0, which means the beginning or
	// with Backwards the end, or any position of this store.
	From      Position
	Backwards bool // newest first
	Limit     int  // at most so many events; 0 means no limit
}

// A Condition lets an append happen only while what its author has decided
// from is still all there is: when no event with a position above After
// matches Query. After is a position up to which all that matches was read,
// such as the head before reading, or the position of the last event read; 0
// demands that there is no such event at all.
type Condition struct {
	Query Query
	After Position
}

// A Conditional is a [Store] that reads by query and appends on the condition
// that nothing new matches a query: a dynamic consistency boundary, see
// https://dcb.events. memstore and logstore are; [AsConditional] finds out.
//
// Tags are in the metadata of events, see [Metadata.WithTags]; Append takes
// them like AppendIf. Deletion, truncation and age do not hide events from a
// query; what a scavenge has removed is gone.
type Conditional interface {
	// ReadQuery yields the events that match a query in the order of their
	// positions, up to what was readable when it began. It is to [Store.ReadAll]
	// what an index is to a scan: with tags its cost is that of what it yields.
	ReadQuery(ctx context.Context, q Query, opts ReadQueryOptions) iter.Seq2[Recorded, error]

	// AppendIf is Append with Any, if the condition holds in the moment in
	// which the events are written. It returns a [*ConditionError], and writes
	// nothing, when another event has come first.
	//
	// Repeating it with the same event ids and the same condition succeeds and
	// returns the first receipt, with Repeated set: at any later time when one
	// of the events matches the query, which makes them what the condition
	// finds; otherwise for as long as the store remembers the ids. An AppendIf
	// of no events checks the stream and the condition and writes nothing.
	AppendIf(ctx context.Context, stream string, c Condition, events ...Event) (Receipt, error)
}

// AsConditional returns s as a [Conditional], or what s wraps if it has a
// method Unwrap that says so. It returns an [*UnsupportedError] for a store
// that cannot.
func AsConditional(s Store) (Conditional, error) {
	for inner := s; ; {
		if c, ok := inner.(Conditional); ok {
			return c, nil
		}
		u, ok := inner.(interface{ Unwrap() Store })
		if !ok {
			return nil, &UnsupportedError{
				Store: fmt.Sprintf("%T", inner), What: "read by query and append on a condition",
				Remedy: "use logstore or memstore, or an aggregate for each thing that must be consistent",
			}
		}
		inner = u.Unwrap()
	}
}
