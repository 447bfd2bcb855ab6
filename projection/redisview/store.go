package redisview

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/projection"
)

// Options configure a [Store]. The zero value is ready to use.
type Options struct {
	// Prefix comes before every key. Stores with the same prefix share their
	// views.
	Prefix string
}

// A Store is a [projection.ViewStore] in Redis. It is safe for concurrent use.
type Store struct {
	rdb    redis.UniversalClient
	prefix string
	err    error    // why the client cannot be used
	active sync.Map // view -> *pointer, as last seen
	cache  *ClientCache
}

var _ projection.ViewStore = (*Store)(nil)

// New returns a store that reads with rdb, a *[redis.Client] (also one from
// redis.NewFailoverClient) or a *[redis.ClusterClient]. A session opens one
// connection of its own with the options of rdb, and closes it. A nil opts
// means the defaults. The caller closes rdb.
func New(rdb redis.UniversalClient, opts *Options) *Store {
	s := &Store{rdb: rdb}
	if opts != nil {
		s.prefix = opts.Prefix
	}
	switch c := rdb.(type) {
	case *redis.Client:
		if c == nil {
			s.err = errNoClient
		}
	case *redis.ClusterClient:
		if c == nil {
			s.err = errNoClient
		}
	default:
		s.err = fmt.Errorf("redisview: cannot use a client of type %T: pass a *redis.Client or a *redis.ClusterClient", rdb)
	}
	return s
}

var errNoClient = errors.New("redisview: the client is nil")

// check begins every call about a view.
func (s *Store) check(ctx context.Context, view string) error {
	if view == "" {
		return errors.New("redisview: the name of a view is empty")
	}
	return s.checkClient(ctx)
}

// checkClient begins every call.
func (s *Store) checkClient(ctx context.Context) error {
	if s.err != nil {
		return s.err
	}
	return ctx.Err()
}

// A malformedError describes a value that this package did not write.
type malformedError struct{ key, value, want string }

func (e *malformedError) Error() string {
	return fmt.Sprintf("key %q holds %q instead of %s; something else has written it: put it right or rebuild the view", e.key, e.value, e.want)
}

func parseCheckpoint(key, value string) (projection.Checkpoint, error) {
	ns, err := numbers(value, 2)
	if err != nil {
		return projection.Checkpoint{}, &malformedError{key, value, "a checkpoint (epoch:position)"}
	}
	return projection.Checkpoint{Epoch: ns[0], Position: eventstore.Position(ns[1])}, nil
}

// checkpointOf returns what a GET of key says; the zero checkpoint when there
// is none.
func checkpointOf(key, value string, err error) (projection.Checkpoint, error) {
	switch {
	case errors.Is(err, redis.Nil):
		return projection.Checkpoint{}, nil
	case err != nil:
		return projection.Checkpoint{}, fmt.Errorf("read %q: %w", key, err)
	}
	return parseCheckpoint(key, value)
}

// firstError returns the first error of cmds; that something is missing is
// none.
func firstError(cmds []redis.Cmder) error {
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return fmt.Errorf("%s %v: %w", cmd.Name(), key(cmd), err)
		}
	}
	return nil
}

// key returns the key of a command, for errors.
func key(cmd redis.Cmder) any {
	if args := cmd.Args(); len(args) > 1 {
		return args[1]
	}
	return ""
}
