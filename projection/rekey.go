package projection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/foldstream/foldstream/eventstore"
)

// A NotHereError means that another runner works at the partitions that some
// keys of a view belong to. It matches [ErrNotHere].
type NotHereError struct {
	View  string
	Owner string // the other runner, see [Options.Owner]
	Keys  []string
}

func (e *NotHereError) Error() string {
	return fmt.Sprintf("projection: runner %s works at the partitions of keys %q of view %q; ask it", e.Owner, e.Keys, e.View)
}

// Is reports whether target is [ErrNotHere].
func (e *NotHereError) Is(target error) bool { return target == ErrNotHere }

// RebuildKeys folds what the active version of a view holds under some keys
// anew, from the first event, and replaces it: documents of all collections,
// with their entries in lookups, counters, and members of indexes and sets.
// Readers see each partition's keys change in one step; events go on to be
// applied meanwhile, exactly once.
//
// It scans the whole event store once for all keys. What is parked stays parked
// and is left out; what was dropped or skipped counts again, as in a rebuild of
// the view. If an event that is not parked fails now, its error is returned and
// nothing changes in that partition: then rebuild the view. An entry of a
// lookup that belongs to neither the document that is stored nor the new one
// stays.
//
// The runner does it for the partitions that it works at, and for those that
// nobody works at, which it takes over for the moment. For each other runner
// that has keys of them it returns a [*NotHereError].
func (r *Runner) RebuildKeys(ctx context.Context, view string, keys ...string) error {
	f, err := r.follower(view)
	if err != nil {
		return err
	}
	if err := f.refuseReactor("rebuild of keys"); err != nil {
		return err
	}
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	var errs []error
	for tries := 1; len(keys) > 0; tries++ {
		rekeys, elsewhere, err := f.rekeys(ctx, keys)
		if err != nil {
			return fmt.Errorf("rebuild keys of view %q: %w", view, err)
		}
		foldAnew(ctx, rekeys)
		errs, keys = append(errs, elsewhere...), nil
		for _, k := range rekeys {
			switch {
			case k.err == nil:
			case tries < rekeyTries && (errors.Is(k.err, errParkedChanged) || errors.Is(k.err, ErrFenced)):
				keys = append(keys, k.keys...) // the lane has ended meanwhile, or much has changed
			default:
				errs = append(errs, fmt.Errorf("rebuild keys %q of view %q: %w", k.keys, view, k.err))
			}
		}
		if len(keys) > 0 {
			_ = pause(ctx, nil, jitter(r.opts.Backoff))
		}
	}
	return errors.Join(errs...)
}

// RebuildStream is [Runner.RebuildKeys] for all keys that the events of a
// stream change.
func (r *Runner) RebuildStream(ctx context.Context, view, stream string) error {
	f, err := r.follower(view)
	if err != nil {
		return err
	}
	keys, err := f.keysOf(ctx, stream)
	if err != nil {
		return fmt.Errorf("rebuild stream %q of view %q: %w", stream, view, err)
	}
	if len(keys) == 0 {
		return nil
	}
	return r.RebuildKeys(ctx, view, keys...)
}

// keysOf returns the keys that the events of a stream change, each once.
// Events that cannot be decoded change nothing.
func (f *follower) keysOf(ctx context.Context, stream string) (keys []string, err error) {
	seen := make(map[string]bool)
	pl := f.newPipeline(VersionInfo{}, true)
	// Deletion and truncation hide no event from ReadAll, nor from the view.
	opts := eventstore.ReadAllOptions{Filter: eventstore.Filter{Types: f.p.types(), StreamPrefixes: []string{stream}}}
	for rec, err := range f.r.store.ReadAll(ctx, opts) {
		if err != nil {
			return nil, err
		}
		if rec.Stream != stream {
			continue
		}
		_, rt := pl.routeAll(sharedOf(&rec))
		for _, o := range rt.ops {
			if !seen[o.key] {
				seen[o.key] = true
				keys = append(keys, o.key)
			}
		}
	}
	return keys, nil
}

func sharedOf(rec *eventstore.Recorded) *shared {
	ev := &shared{rec: *rec}
	_, ev.id = eventstore.SplitStream(rec.Stream)
	return ev
}

// rekeys groups keys by who works at their partitions, and returns an error
// for each other runner.
func (f *follower) rekeys(ctx context.Context, keys []string) (all []*rekey, elsewhere []error, err error) {
	v, err := f.p.store.Active(ctx, f.p.name)
	if err != nil {
		return nil, nil, err
	}
	owners, err := f.owners(ctx, v)
	if err != nil {
		return nil, nil, err
	}
	lanes := make([]*lane, v.Partitions)
	if pl := f.current(); pl != nil && pl.version.Number == v.Number {
		for _, l := range pl.here() {
			lanes[l.index] = l
		}
	}
	pl := f.newPipeline(v, false) // for partitions that nobody works at
	by := make([]*rekey, v.Partitions)
	others := make(map[string][]string)
	for _, key := range keys {
		i := PartitionOf(key, v.Partitions)
		if lanes[i] == nil && owners[i] != "" {
			others[owners[i]] = append(others[owners[i]], key)
			continue
		}
		if by[i] == nil {
			by[i] = &rekey{pl: pl, index: i, lane: lanes[i], wanted: make(map[string]bool)}
			all = append(all, by[i])
		}
		by[i].wanted[key] = true
		by[i].keys = append(by[i].keys, key)
	}
	for _, owner := range slices.Sorted(maps.Keys(others)) {
		elsewhere = append(elsewhere, &NotHereError{View: f.p.name, Owner: owner, Keys: others[owner]})
	}
	return all, elsewhere, nil
}

// owners returns which other runners say that they have partitions of a
// version.
func (f *follower) owners(ctx context.Context, v VersionInfo) (map[int]string, error) {
	notes, err := f.p.store.Notes(ctx, f.p.name)
	if err != nil {
		return nil, err
	}
	owners := make(map[int]string)
	for name, data := range notes {
		owner, ok := strings.CutPrefix(name, memberNote)
		var m member
		if !ok || owner == f.r.opts.Owner || json.Unmarshal(data, &m) != nil || m.Version != v.Number {
			continue
		}
		for _, p := range m.Partitions {
			owners[p] = owner
		}
	}
	return owners, nil
}
