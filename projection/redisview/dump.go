package redisview

import (
	"context"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/projection"
)

// scanCount is how much one step of a scan asks for.
const scanCount = 1000

// Checkpoints implements [projection.ViewStore].
func (s *Store) Checkpoints(ctx context.Context, view string, version int) ([]projection.Checkpoint, error) {
	if err := s.check(ctx, view); err != nil {
		return nil, err
	}
	r, err := s.version(ctx, view, version)
	if err != nil {
		return nil, err
	}
	pipe := s.rdb.Pipeline()
	keys := make([]string, r.Partitions)
	gets := make([]*redis.StringCmd, r.Partitions)
	for i := range gets {
		keys[i] = s.base(view, version, i) + checkpointSuffix
		gets[i] = pipe.Get(ctx, keys[i])
	}
	_, _ = pipe.Exec(ctx) // the commands have the errors
	cks := make([]projection.Checkpoint, r.Partitions)
	for i, get := range gets {
		value, gerr := get.Result()
		if cks[i], err = checkpointOf(keys[i], value, gerr); err != nil {
			return nil, fmt.Errorf("redisview: checkpoints of view %q version %d: %w", view, version, err)
		}
	}
	return cks, nil
}

// Parked implements [projection.ViewStore].
func (s *Store) Parked(ctx context.Context, view string, version, partition int) (map[string][]byte, error) {
	if err := s.check(ctx, view); err != nil {
		return nil, err
	}
	r, err := s.version(ctx, view, version)
	if err != nil {
		return nil, err
	}
	if partition < 0 || partition >= r.Partitions {
		return nil, fmt.Errorf("redisview: parked events of view %q version %d: no partition %d of %d", view, version, partition, r.Partitions)
	}
	all, err := s.rdb.HGetAll(ctx, s.base(view, version, partition)+parkedSuffix).Result()
	if err != nil {
		return nil, fmt.Errorf("redisview: parked events of view %q version %d partition %d: %w", view, version, partition, err)
	}
	return allBytes(all), nil
}

// Dump implements [projection.ViewStore]. What changes meanwhile may be there
// or not. It holds the keys of one collection of one partition in memory at a
// time, because a scan in Redis may return a thing twice.
func (s *Store) Dump(ctx context.Context, view string, version int) iter.Seq2[projection.Item, error] {
	return func(yield func(projection.Item, error) bool) {
		err := s.dump(ctx, view, version, func(i projection.Item) bool { return yield(i, nil) })
		if err != nil {
			yield(projection.Item{}, err)
		}
	}
}

// dump calls yield with everything in a version until it says no.
func (s *Store) dump(ctx context.Context, view string, version int, yield func(projection.Item) bool) error {
	if err := s.check(ctx, view); err != nil {
		return err
	}
	r, err := s.version(ctx, view, version)
	if err != nil {
		return err
	}
	stopped := false
	err = s.dumpPerKey(ctx, view, &r, func(item projection.Item) bool {
		stopped = !yield(item)
		return !stopped
	})
	if err != nil {
		return fmt.Errorf("redisview: dump of view %q version %d: %w", view, version, err)
	}
	for p := range r.Partitions {
		if stopped {
			return nil
		}
		for item, err := range s.items(ctx, s.base(view, version, p)) {
			if err != nil {
				return fmt.Errorf("redisview: dump of view %q version %d partition %d: %w", view, version, p, err)
			}
			if !yield(item) {
				return nil
			}
		}
	}
	return nil
}

// items yields everything in one partition.
func (s *Store) items(ctx context.Context, base string) iter.Seq2[projection.Item, error] {
	return func(yield func(projection.Item, error) bool) {
		seen := make(map[string]bool) // the registry is scanned, too
		for suffixes, err := range s.registry(ctx, base) {
			if err != nil {
				yield(projection.Item{}, err)
				return
			}
			for _, suffix := range suffixes {
				if seen[suffix] {
					continue
				}
				seen[suffix] = true
				if !s.things(ctx, base, suffix, yield) {
					return
				}
			}
		}
		s.things(ctx, base, parkedSuffix, yield)
	}
}

// things yields what one key holds and reports whether to go on.
func (s *Store) things(ctx context.Context, base, suffix string, yield func(projection.Item, error) bool) bool {
	step, width := s.rdb.HScan, 2
	switch {
	case strings.HasPrefix(suffix, indexPrefix):
		step = s.rdb.ZScan
	case strings.HasPrefix(suffix, setPrefix):
		step, width = s.rdb.SScan, 1
	}
	seen := make(map[string]bool)
	for page, err := range scan(ctx, base+suffix, step) {
		if err != nil {
			return yield(projection.Item{}, err) && false
		}
		for i := 0; i+width <= len(page); i += width {
			if seen[page[i]] {
				continue
			}
			seen[page[i]] = true
			item, err := itemOf(suffix, page[i], page[i+width-1])
			if !yield(item, err) || err != nil {
				return false
			}
		}
	}
	return true
}

// itemOf makes an item of a field, or a member, and its value if it has one.
func itemOf(suffix, field, value string) (projection.Item, error) {
	if suffix == parkedSuffix {
		return projection.Item{Kind: projection.ItemParked, Key: field, Value: []byte(value)}, nil
	}
	if c, ok := strings.CutPrefix(suffix, documentPrefix); ok {
		return projection.Item{Kind: projection.ItemDocument, Collection: unescape(c), Key: field, Value: []byte(value)}, nil
	}
	if c, ok := strings.CutPrefix(suffix, counterPrefix); ok {
		n, err := parseCount(field, value)
		return projection.Item{Kind: projection.ItemCounter, Collection: unescape(c), Key: field, Count: n}, err
	}
	if strings.HasPrefix(suffix, setPrefix) {
		collection, key := splitKey(suffix, setPrefix)
		return projection.Item{Kind: projection.ItemSet, Collection: collection, Key: key, Member: field}, nil
	}
	collection, key := splitKey(suffix, indexPrefix)
	score, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(score) {
		return projection.Item{}, &malformedError{field, value, "a score"}
	}
	return projection.Item{Kind: projection.ItemIndex, Collection: collection, Key: key, Member: field, Score: score}, nil
}

// registry yields what there is in a partition, some of it perhaps twice.
func (s *Store) registry(ctx context.Context, base string) iter.Seq2[[]string, error] {
	return scan(ctx, base+registrySuffix, s.rdb.SScan)
}

type scanStep func(ctx context.Context, key string, cursor uint64, match string, count int64) *redis.ScanCmd

// scan yields the replies of SSCAN, HSCAN or ZSCAN that are not empty.
func scan(ctx context.Context, key string, step scanStep) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		var cursor uint64
		for {
			page, next, err := step(ctx, key, cursor, "", scanCount).Result()
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(nil, fmt.Errorf("scan %q: %w", key, err))
				return
			}
			if len(page) > 0 && !yield(page, nil) {
				return
			}
			if cursor = next; cursor == 0 {
				return
			}
		}
	}
}
