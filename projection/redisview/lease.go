package redisview

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// The lease scripts compare the holder and act in one step.
var (
	leaseScript = redis.NewScript(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]`)
	releaseScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`)
)

// Lease implements [projection.ViewStore]. Time is the server's.
func (s *Store) Lease(ctx context.Context, view, name, owner string, ttl time.Duration) (string, error) {
	if err := s.check(ctx, view); err != nil {
		return "", err
	}
	if owner == "" || ttl <= 0 {
		return "", fmt.Errorf("redisview: view %q: lease %q for owner %q and %s: both must be set", view, name, owner, ttl)
	}
	ms := max(ttl.Milliseconds(), 1)
	holder, err := leaseScript.Run(ctx, s.rdb, []string{s.leaseKey(view, name)}, owner, ms).Text()
	if err != nil {
		return "", fmt.Errorf("redisview: view %q: lease %q: %w", view, name, err)
	}
	return holder, nil
}

// Release implements [projection.ViewStore].
func (s *Store) Release(ctx context.Context, view, name, owner string) error {
	if err := s.check(ctx, view); err != nil {
		return err
	}
	if err := releaseScript.Run(ctx, s.rdb, []string{s.leaseKey(view, name)}, owner).Err(); err != nil {
		return fmt.Errorf("redisview: view %q: release lease %q: %w", view, name, err)
	}
	return nil
}
