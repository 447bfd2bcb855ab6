package redisview

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"
)

// SetMembers implements [projection.SetReader]. It is one round trip.
func (s *Store) SetMembers(ctx context.Context, view, collection, key string) ([]string, error) {
	var get *redis.StringSliceCmd
	err := s.read(ctx, view, func(pipe redis.Pipeliner, p *pointer) {
		get = pipe.SMembers(ctx, p.base(key)+setSuffix(collection, key))
	})
	if err != nil {
		return nil, failed(fmt.Sprintf("members of key %q of set %q", key, collection), view, err)
	}
	members := get.Val()
	slices.Sort(members)
	return members, nil
}

// SetContains implements [projection.SetReader]. It is one round trip.
func (s *Store) SetContains(ctx context.Context, view, collection, key string, members []string) ([]bool, error) {
	var get *redis.BoolSliceCmd
	err := s.read(ctx, view, func(pipe redis.Pipeliner, p *pointer) {
		if len(members) > 0 {
			get = pipe.SMIsMember(ctx, p.base(key)+setSuffix(collection, key), anys(members)...)
		}
	})
	switch {
	case err != nil:
		return nil, failed(fmt.Sprintf("members of key %q of set %q", key, collection), view, err)
	case get == nil:
		return nil, nil
	}
	return get.Val(), nil
}

func anys(texts []string) []any {
	all := make([]any, len(texts))
	for i := range texts {
		all[i] = texts[i]
	}
	return all
}

// SetSize implements [projection.SetReader]. It is one round trip.
func (s *Store) SetSize(ctx context.Context, view, collection, key string) (int64, error) {
	var get *redis.IntCmd
	err := s.read(ctx, view, func(pipe redis.Pipeliner, p *pointer) {
		get = pipe.SCard(ctx, p.base(key)+setSuffix(collection, key))
	})
	if err != nil {
		return 0, failed(fmt.Sprintf("size of key %q of set %q", key, collection), view, err)
	}
	return get.Val(), nil
}

// SetMembers implements [projection.SessionReader].
func (se *session) SetMembers(ctx context.Context, collection, key string) ([]string, error) {
	var get *redis.StringSliceCmd
	err := se.read(ctx, func(pipe redis.Pipeliner) { get = pipe.SMembers(ctx, se.base+setSuffix(collection, key)) })
	if err != nil {
		return nil, se.fail(fmt.Sprintf("members of key %q of set %q", key, collection), err)
	}
	members := get.Val()
	slices.Sort(members)
	return members, nil
}
