package redisview

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// A wire is one connection that is never replaced: what it watches, it goes on
// watching until it breaks.
type wire struct {
	*redis.Conn
	client *redis.Client // the connection's own
}

// dial prepares a connection to the server that holds key. The first command
// opens it.
func (s *Store) dial(ctx context.Context, key string) (*wire, error) {
	var opts *redis.Options
	switch c := s.rdb.(type) {
	case *redis.Client:
		opts = c.Options()
	case *redis.ClusterClient:
		master, err := c.MasterForKey(ctx, key)
		if err != nil {
			return nil, err
		}
		opts = master.Options()
	}
	client := redis.NewClient(wireOptions(opts))
	return &wire{client.Conn(), client}, nil
}

// wireOptions returns options for a client of one connection that sends
// nothing twice.
//
// A connection of the user's pool will not do: go-redis gives it back while it
// still watches, and replaces it without a word when it is lost, and with it
// the WATCH that fences.
func wireOptions(user *redis.Options) *redis.Options {
	o := *user
	o.MaxRetries = -1 // a batch whose reply was lost may have been carried out
	o.ContextTimeoutEnabled = true

	o.MaxActiveConns = 1
	o.PoolSize = 2 // when PoolSize dials have failed, the pool goes on dialing behind our back
	o.MinIdleConns, o.MaxIdleConns, o.MaxConcurrentDials = 0, 0, 0
	o.PipelinePoolSize = -1 // a pipeline must not go over another connection
	o.ConnMaxIdleTime, o.ConnMaxLifetime, o.ConnMaxLifetimeJitter = -1, 0, 0
	o.WriteBufferSize = max(o.WriteBufferSize, o.PipelineWriteBufferSize, writeBuffer)

	// A hand-over to another server keeps the connection's name, not its WATCH.
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.PushNotificationProcessor = nil // belongs to the user's client
	o.ClientSideCache, o.ClientSideCacheConfig = nil, nil
	o.AutoPipelineOptions = nil

	// The options were normalized once and will be again, where no timeout is
	// written as another number.
	if o.ReadTimeout <= 0 {
		o.ReadTimeout--
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout--
	}
	return &o
}

const writeBuffer = 64 << 10 // bytes; a batch is written in few calls

// send sends commands in one round trip. Each command has its own error.
func (w *wire) send(ctx context.Context, cmds ...redis.Cmder) {
	pipe := w.Pipeline()
	_ = pipe.BatchProcess(ctx, cmds...) // only adds to a list
	_, _ = pipe.Exec(ctx)
}

// close ends the connection, also while a command uses it. Closing the
// redis.Conn instead, or as well, would race with that command.
func (w *wire) close() error { return w.client.Close() }

// moved tells a cluster client that a slot has moved, so that the next session
// finds its server.
func (s *Store) moved(ctx context.Context, err error) {
	var rerr redis.Error
	if !errors.As(err, &rerr) || !strings.HasPrefix(rerr.Error(), "MOVED ") {
		return
	}
	if c, ok := s.rdb.(*redis.ClusterClient); ok {
		c.ReloadState(ctx)
	}
}
