package redisview

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/projection"
)

// maxExact is the highest integer up to which all are floats.
const maxExact = 1 << 53

// rank is the score of a counter in its ranking. It is negated, because Redis
// sorts equal scores by member upwards only.
func rank(value int64) float64 { return -float64(value) }

func exact(score float64) bool { return -maxExact <= score && score <= maxExact }

// Top implements [projection.Reader]. It is one round trip, and two more where
// counters beyond 2^53 are among the highest: their rankings are not exact, so
// all that rank alike are compared by their values.
func (s *Store) Top(ctx context.Context, view, collection string, n int) ([]projection.Count, error) {
	collection = escape(collection)
	var p *pointer
	var ranked []*redis.ZSliceCmd
	err := s.read(ctx, view, func(pipe redis.Pipeliner, now *pointer) {
		p, ranked = now, ranked[:0]
		if n <= 0 {
			return
		}
		for _, base := range p.bases {
			ranked = append(ranked, pipe.ZRangeWithScores(ctx, base+rankingPrefix+collection, 0, int64(n-1)))
		}
	})
	var top []projection.Count
	if err == nil {
		top, err = s.merge(ctx, p, collection, ranked, n)
	}
	if err != nil {
		return nil, failed(fmt.Sprintf("top %d of counters %q", n, unescape(collection)), view, err)
	}
	slices.SortFunc(top, func(a, b projection.Count) int {
		return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Key, b.Key))
	})
	return top[:min(max(n, 0), len(top))], nil
}

// merge returns the highest of all partitions with their exact values.
func (s *Store) merge(ctx context.Context, p *pointer, collection string, ranked []*redis.ZSliceCmd, n int) ([]projection.Count, error) {
	var top []projection.Count
	for i, cmd := range ranked {
		zs := cmd.Val()
		if len(zs) == 0 {
			continue
		}
		big := make(map[string]bool) // keys whose score is not their value
		for _, z := range zs {
			if key := z.Member.(string); exact(z.Score) {
				top = append(top, projection.Count{Key: key, Value: int64(-z.Score)})
			} else {
				big[key] = true
			}
		}
		if len(big) == 0 {
			continue
		}
		last := zs[len(zs)-1].Score
		counts, err := s.bigOnes(ctx, p.bases[i], collection, big, last, len(zs) == n && !exact(last))
		if err != nil {
			return nil, err
		}
		top = append(top, counts...)
	}
	return top, nil
}

// bigOnes returns the values of keys, and if more is set, of all others that
// rank like the last one.
func (s *Store) bigOnes(ctx context.Context, base, collection string, keys map[string]bool, last float64, more bool) ([]projection.Count, error) {
	if more {
		score := strconv.FormatFloat(last, 'g', -1, 64)
		zs, err := s.rdb.ZRangeByScoreWithScores(ctx, base+rankingPrefix+collection, &redis.ZRangeBy{Min: score, Max: score}).Result()
		if err != nil {
			return nil, err
		}
		for _, z := range zs {
			keys[z.Member.(string)] = true
		}
	}
	names := make([]string, 0, len(keys))
	for key := range keys {
		names = append(names, key)
	}
	values, err := s.rdb.HMGet(ctx, base+counterPrefix+collection, names...).Result()
	if err != nil {
		return nil, err
	}
	counts := make([]projection.Count, 0, len(values))
	for i, v := range values {
		text, ok := v.(string)
		if !ok {
			continue // the version is being dropped
		}
		value, err := parseCount(names[i], text)
		if err != nil {
			return nil, err
		}
		counts = append(counts, projection.Count{Key: names[i], Value: value})
	}
	return counts, nil
}
