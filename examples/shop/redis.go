package main

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// pingTime is how long a Redis may take to answer at start.
const pingTime = 5 * time.Second

// redis connects to the Redis of the views, or starts one in this process.
// Views of a temporary folder are removed with it.
func (a *app) redis(ctx context.Context, c config, prefix string, temporary bool) (*redis.Client, error) {
	opts := &redis.Options{}
	where := "miniredis in this process"
	if c.redisURL != "" {
		var err error
		if opts, err = redis.ParseURL(c.redisURL); err != nil {
			return nil, fmt.Errorf("REDIS_URL is not valid: %w; use redis://host:6379/0", err)
		}
		where = "REDIS_URL, " + opts.Addr
	} else {
		embedded := miniredis.NewMiniRedis()
		if err := embedded.Start(); err != nil {
			return nil, fmt.Errorf("start miniredis: %w", err)
		}
		a.onClose(func() error { embedded.Close(); return nil })
		opts.Addr = embedded.Addr()
		a.inMemory = true
	}
	rdb := redis.NewClient(opts)
	a.onClose(rdb.Close)
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	if err := rdb.Ping(ctx).Err(); err != nil {
		return nil, fmt.Errorf("cannot reach Redis (%s): %w; start it, or unset REDIS_URL to do without", where, err)
	}
	if temporary && !a.inMemory {
		a.onClose(func() error { return unlink(rdb, prefix) })
	}
	return rdb, nil
}

// redisSilence drops what the Redis client prints of its own accord: its
// errors come back from the calls as well.
type redisSilence struct{}

// Printf prints nothing.
func (redisSilence) Printf(context.Context, string, ...any) {}

// unlink removes every key with a prefix.
func unlink(rdb *redis.Client, prefix string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	keys := rdb.Scan(ctx, 0, prefix+"*", 1000).Iterator()
	for keys.Next(ctx) {
		if err := rdb.Unlink(ctx, keys.Val()).Err(); err != nil {
			return fmt.Errorf("remove the views of this run: %w", err)
		}
	}
	if err := keys.Err(); err != nil {
		return fmt.Errorf("remove the views of this run: %w", err)
	}
	return nil
}
