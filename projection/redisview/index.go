package redisview

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/projection"
)

// Range implements [projection.IndexReader]. It is one round trip.
func (s *Store) Range(ctx context.Context, view, collection, key string, r projection.Range) ([]projection.Member, error) {
	return s.ranges(ctx, view, collection, key, r, false)
}

// RangeAll implements [projection.IndexReader]. It is one round trip.
func (s *Store) RangeAll(ctx context.Context, view, collection, key string, r projection.Range) ([]projection.Member, error) {
	return s.ranges(ctx, view, collection, key, r, true)
}

func (s *Store) ranges(ctx context.Context, view, collection, key string, r projection.Range, all bool) ([]projection.Member, error) {
	part := r // what each partition is asked for
	if r.Offset = max(r.Offset, 0); all {
		part.Offset = 0
		if r.Limit > 0 {
			part.Limit = r.Offset + r.Limit
		}
	}
	suffix := indexSuffix(collection, key)
	var gets []rangeCmd
	ask := func(queue func(context.Context, redis.Pipeliner, string, *projection.Range) rangeCmd) error {
		return s.read(ctx, view, func(pipe redis.Pipeliner, p *pointer) {
			gets = gets[:0]
			for _, base := range basesOf(p, key, all) {
				gets = append(gets, queue(ctx, pipe, base+suffix, &part))
			}
		})
	}
	var err error
	if r.After == nil {
		err = ask(rangeByScore)
	} else if err = ask(rangeAfter); redis.HasErrorPrefix(err, "NOSCRIPT") {
		err = ask(rangeAfterText)
	}
	var members []projection.Member
	for _, get := range gets {
		if err != nil {
			break
		}
		var some []projection.Member
		some, err = get()
		members = append(members, some...)
	}
	if err != nil {
		return nil, failed(fmt.Sprintf("range of key %q of index %q", key, collection), view, err)
	}
	if !all {
		return members, nil
	}
	return merged(members, &r), nil
}

// basesOf returns what the keys of key's partition, or of all, begin with.
func basesOf(p *pointer, key string, all bool) []string {
	if all {
		return p.bases
	}
	return []string{p.base(key)}
}

// merged sorts the members of all partitions and takes the offset and the limit
// of r.
func merged(members []projection.Member, r *projection.Range) []projection.Member {
	slices.SortFunc(members, func(a, b projection.Member) int {
		order := cmp.Or(cmp.Compare(a.Score, b.Score), strings.Compare(a.Member, b.Member))
		if r.Reverse {
			return -order
		}
		return order
	})
	members = members[min(r.Offset, len(members)):]
	if r.Limit > 0 {
		members = members[:min(r.Limit, len(members))]
	}
	return members
}

// rangeCmd returns what a command has found.
type rangeCmd func() ([]projection.Member, error)

func rangeByScore(ctx context.Context, pipe redis.Pipeliner, zset string, r *projection.Range) rangeCmd {
	by := &redis.ZRangeBy{Min: bound(r.Min, "-inf"), Max: bound(r.Max, "+inf"), Offset: int64(max(r.Offset, 0)), Count: -1}
	if r.Limit > 0 {
		by.Count = int64(r.Limit)
	}
	ask := pipe.ZRangeByScoreWithScores
	if r.Reverse {
		ask = pipe.ZRevRangeByScoreWithScores
	}
	get := ask(ctx, zset, by)
	return func() ([]projection.Member, error) { return membersOf(get.Val()), nil }
}

func membersOf(zs []redis.Z) []projection.Member {
	members := make([]projection.Member, len(zs))
	for i, z := range zs {
		members[i] = projection.Member{Member: z.Member.(string), Score: z.Score}
	}
	return members
}

func bound(score *float64, open string) string {
	if score == nil {
		return open
	}
	return number(*score)
}

func number(score float64) string {
	return strings.ToLower(strconv.FormatFloat(score, 'g', -1, 64)) // miniredis knows no +Inf
}

// CountRange implements [projection.IndexReader]. It is one round trip.
func (s *Store) CountRange(ctx context.Context, view, collection, key string, low, high *float64) (int64, error) {
	return s.countRanges(ctx, view, collection, key, low, high, false)
}

// CountRangeAll implements [projection.IndexReader]. It is one round trip.
func (s *Store) CountRangeAll(ctx context.Context, view, collection, key string, low, high *float64) (int64, error) {
	return s.countRanges(ctx, view, collection, key, low, high, true)
}

func (s *Store) countRanges(ctx context.Context, view, collection, key string, low, high *float64, all bool) (n int64, err error) {
	var counts []*redis.IntCmd
	err = s.read(ctx, view, func(pipe redis.Pipeliner, p *pointer) {
		counts = counts[:0]
		for _, base := range basesOf(p, key, all) {
			counts = append(counts, pipe.ZCount(ctx, base+indexSuffix(collection, key), bound(low, "-inf"), bound(high, "+inf")))
		}
	})
	if err != nil {
		return 0, failed(fmt.Sprintf("count of key %q of index %q", key, collection), view, err)
	}
	for _, c := range counts {
		n += c.Val()
	}
	return n, nil
}

// Scores implements [projection.IndexReader]. It is one round trip.
func (s *Store) Scores(ctx context.Context, view, collection, key string, members []string) ([]float64, error) {
	gets := make([]*redis.FloatCmd, len(members))
	err := s.read(ctx, view, func(pipe redis.Pipeliner, p *pointer) {
		zset := p.base(key) + indexSuffix(collection, key)
		for i, m := range members { // ZMSCORE says 0 for what is missing, as go-redis reads it
			gets[i] = pipe.ZScore(ctx, zset, m)
		}
	})
	if err != nil {
		return nil, failed(fmt.Sprintf("scores of key %q of index %q", key, collection), view, err)
	}
	scores := make([]float64, len(members))
	for i, get := range gets {
		if scores[i] = get.Val(); errors.Is(get.Err(), redis.Nil) {
			scores[i] = math.NaN()
		}
	}
	return scores, nil
}

// Rank implements [projection.IndexReader]. It is one round trip.
func (s *Store) Rank(ctx context.Context, view, collection, key, member string, reverse bool) (int64, error) {
	var get *redis.IntCmd
	err := s.read(ctx, view, func(pipe redis.Pipeliner, p *pointer) {
		zset := p.base(key) + indexSuffix(collection, key)
		if reverse {
			get = pipe.ZRevRank(ctx, zset, member)
		} else {
			get = pipe.ZRank(ctx, zset, member)
		}
	})
	switch {
	case err != nil:
		return 0, failed(fmt.Sprintf("rank of %q under key %q of index %q", member, key, collection), view, err)
	case errors.Is(get.Err(), redis.Nil):
		return -1, nil
	}
	return get.Val(), nil
}

// Members implements [projection.SessionReader].
func (se *session) Members(ctx context.Context, collection, key string) ([]projection.Member, error) {
	var zs *redis.ZSliceCmd
	err := se.read(ctx, func(pipe redis.Pipeliner) {
		zs = pipe.ZRangeWithScores(ctx, se.base+indexSuffix(collection, key), 0, -1)
	})
	if err != nil {
		return nil, se.fail(fmt.Sprintf("members of key %q of index %q", key, collection), err)
	}
	return membersOf(zs.Val()), nil
}
