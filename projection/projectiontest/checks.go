package projectiontest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/foldstream/foldstream/projection"
)

// A Check is what a view must hold, see [Scenario.Then].
type Check struct {
	run    func(ctx context.Context, o *outcome) error
	parked string // the stream that it expects to be parked
}

// That is a check of your own: an error fails the test.
func That(check func(ctx context.Context) error) Check {
	return Check{run: func(ctx context.Context, _ *outcome) error { return check(ctx) }}
}

// Document says which document is under a key.
func Document[T any](c *projection.Collection[T], key string, want T) Check {
	return That(func(ctx context.Context) error {
		got, err := c.Get(ctx, key)
		if errors.Is(err, projection.ErrNotFound) {
			return fmt.Errorf("document %q of %s: missing instead of %s", key, c.Name(), describe(want))
		}
		if err != nil {
			return err
		}
		same, err := c.SameStored(got, want)
		if err != nil || same {
			return err
		}
		return fmt.Errorf("document %q of %s: %s", key, c.Name(), difference(got, want))
	})
}

// NoDocument says that there is no document under the keys.
func NoDocument[T any](c *projection.Collection[T], keys ...string) Check {
	return That(func(ctx context.Context) error {
		found, err := c.GetMany(ctx, keys...)
		var errs []error
		for _, key := range keys {
			if doc, ok := found[key]; ok {
				errs = append(errs, fmt.Errorf("document %q of %s: %s instead of none", key, c.Name(), describe(doc)))
			}
		}
		return errors.Join(append(errs, err)...)
	})
}

// Counter says what is counted under a key.
func Counter(c *projection.Counters, key string, want int64) Check {
	return That(func(ctx context.Context) error {
		got, err := c.Get(ctx, key)
		if err != nil || got == want {
			return err
		}
		return fmt.Errorf("counter %q of %s: %d instead of %d", key, c.Name(), got, want)
	})
}

// Members says which members a key of an index has, lowest score first, equal
// scores by member, and no others.
func Members(x *projection.Index, key string, want ...projection.Member) Check {
	return That(func(ctx context.Context) error {
		got, err := x.Range(ctx, key, projection.Range{})
		if err != nil || slices.Equal(got, want) {
			return err
		}
		return fmt.Errorf("key %q of index %s: %s instead of %s", key, x.Name(), membersText(got), membersText(want))
	})
}

// MemberNames is [Members] without the scores.
func MemberNames(x *projection.Index, key string, want ...string) Check {
	return That(func(ctx context.Context) error {
		members, err := x.Range(ctx, key, projection.Range{})
		return sameNames("index", x.Name(), key, names(members), want, err)
	})
}

// Found says which documents a lookup finds under a key, lowest score first,
// equal scores by key, and no others.
func Found[T any](l *projection.Lookup[T], key string, want ...string) Check {
	return That(func(ctx context.Context) error {
		members, err := l.Range(ctx, key, projection.Range{})
		return sameNames("lookup", l.Name(), key, names(members), want, err)
	})
}

// SetMembers says which members a key of a set has, in any order, and no
// others.
func SetMembers(s *projection.Set, key string, want ...string) Check {
	want = slices.Sorted(slices.Values(want))
	return That(func(ctx context.Context) error {
		got, err := s.Members(ctx, key)
		return sameNames("set", s.Name(), key, got, want, err)
	})
}

// Parked says that events of a stream are parked, with an error that contains
// reason. Streams that are not expected to be parked fail the test.
func Parked(stream, reason string) Check {
	return Check{parked: stream, run: func(_ context.Context, o *outcome) error {
		found := "nothing of it is"
		for _, ps := range o.parked {
			if ps.Stream != stream {
				continue
			}
			if strings.Contains(ps.Error, reason) {
				return nil
			}
			found = fmt.Sprintf("it is because of %q", ps.Error)
		}
		return fmt.Errorf("stream %q is not parked because of %q: %s", stream, reason, found)
	}}
}

// check returns what is not as checks want it.
func (o *outcome) check(ctx context.Context, checks []Check) []error {
	var errs []error
	expected := make(map[string]bool)
	for _, c := range checks {
		if err := c.run(ctx, o); err != nil {
			errs = append(errs, err)
		}
		if c.parked != "" {
			expected[c.parked] = true
		}
	}
	for _, ps := range o.parked {
		if !expected[ps.Stream] {
			errs = append(errs, fmt.Errorf("version %d of stream %q (%s) is parked: %s", ps.Events[0].Version, ps.Stream, ps.Events[0].Type, ps.Error))
		}
	}
	return errs
}

func names(members []projection.Member) []string {
	var all []string
	for _, m := range members {
		all = append(all, m.Member)
	}
	return all
}

func sameNames(kind, name, key string, got, want []string, err error) error {
	if err != nil || slices.Equal(got, want) {
		return err
	}
	return fmt.Errorf("key %q of %s %s: %q instead of %q", key, kind, name, got, want)
}

func membersText(members []projection.Member) string {
	texts := make([]string, len(members))
	for i, m := range members {
		texts[i] = fmt.Sprintf("%q at %v", m.Member, m.Score)
	}
	return "[" + strings.Join(texts, ", ") + "]"
}
