package redisview

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// The lease scripts compare the holders and act in one step.
var (
	leaseScript = redis.NewScript(`
local holders = {}
for i, key in ipairs(KEYS) do
	local holder = redis.call('GET', key)
	if not holder or holder == ARGV[1] then
		redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
		holder = ARGV[1]
	end
	holders[i] = holder
end
return holders`)
	releaseScript = redis.NewScript(`
for _, key in ipairs(KEYS) do
	if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
return 0`)
)

func (s *Store) leaseKeys(view string, names []string) []string {
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = s.leaseKey(view, name)
	}
	return keys
}

// Lease implements [projection.ViewStore]. Time is the server's. It is one
// round trip.
func (s *Store) Lease(ctx context.Context, view, owner string, ttl time.Duration, names ...string) ([]string, error) {
	if err := s.check(ctx, view); err != nil {
		return nil, err
	}
	if owner == "" || ttl <= 0 {
		return nil, fmt.Errorf("redisview: view %q: leases %q for owner %q and %s: both must be set", view, names, owner, ttl)
	}
	if len(names) == 0 {
		return nil, nil
	}
	holders, err := leaseScript.Run(ctx, s.rdb, s.leaseKeys(view, names), owner, milliseconds(ttl)).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("redisview: view %q: leases %q: %w", view, names, err)
	}
	return holders, nil
}

// milliseconds returns how long a span is for Redis, in which nothing that is
// above zero is as good as zero.
func milliseconds(ttl time.Duration) int64 {
	if ttl <= 0 {
		return 0
	}
	return max(ttl.Milliseconds(), 1)
}

// Release implements [projection.ViewStore]. It is one round trip.
func (s *Store) Release(ctx context.Context, view, owner string, names ...string) error {
	if err := s.check(ctx, view); err != nil {
		return err
	}
	if len(names) == 0 {
		return nil
	}
	if err := releaseScript.Run(ctx, s.rdb, s.leaseKeys(view, names), owner).Err(); err != nil {
		return fmt.Errorf("redisview: view %q: release leases %q: %w", view, names, err)
	}
	return nil
}
