package redisview

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/projection"
)

var errClosed = errors.New("the session is closed")

// read sends the commands that queue adds in one round trip with a look at the
// checkpoint. The checkpoint comes first: what is read after it is not older.
//
// It may go to another server than the session's connection, if one has taken
// over; what that one has lost shows in the checkpoint.
func (se *session) read(ctx context.Context, queue func(redis.Pipeliner)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if se.closed.Load() {
		return errClosed
	}
	least := eventstore.Position(se.position.Load())
	rdb, err := se.store.master(ctx, se.ckKey)
	if err != nil {
		return err
	}
	pipe := rdb.Pipeline()
	get := pipe.Get(ctx, se.ckKey)
	queue(pipe)
	cmds, _ := pipe.Exec(ctx) // the commands have the errors
	if err := firstError(cmds); err != nil {
		se.store.moved(ctx, err)
		return err
	}
	value, err := get.Result()
	ck, err := checkpointOf(se.ckKey, value, err)
	if err != nil {
		return err
	}
	if ck.Epoch != se.epoch || ck.Position < least {
		return fmt.Errorf("%w: the session has epoch %d and has committed position %d, the server has %d and %d", projection.ErrFenced, se.epoch, least, ck.Epoch, ck.Position)
	}
	return nil
}

// master returns a client of the server that writes key.
func (s *Store) master(ctx context.Context, key string) (redis.UniversalClient, error) {
	if c, ok := s.rdb.(*redis.ClusterClient); ok {
		return c.MasterForKey(ctx, key)
	}
	return s.rdb, nil
}

// Parked implements [projection.Session].
func (se *session) Parked(ctx context.Context) (map[string][]byte, error) {
	var all *redis.MapStringStringCmd
	err := se.read(ctx, func(pipe redis.Pipeliner) { all = pipe.HGetAll(ctx, se.base+parkedSuffix) })
	if err != nil {
		return nil, se.fail("parked events", err)
	}
	return allBytes(all.Val()), nil
}

func allBytes(all map[string]string) map[string][]byte {
	m := make(map[string][]byte, len(all))
	for k, v := range all {
		m[k] = []byte(v)
	}
	return m
}

// Documents implements [projection.Session].
func (se *session) Documents(ctx context.Context, collection string, keys []string) ([][]byte, error) {
	docs := make([][]byte, len(keys))
	get := func(pipe redis.Pipeliner) *redis.SliceCmd {
		return getDocuments(ctx, pipe, se.base, collection, se.writer.isPerKey(collection), keys)
	}
	err := se.lookup(ctx, keys, get, func(i int, v string) error {
		docs[i] = []byte(v)
		return nil
	})
	if err != nil {
		return nil, se.fail(fmt.Sprintf("documents %q", collection), err)
	}
	return docs, nil
}

// Counts implements [projection.Session].
func (se *session) Counts(ctx context.Context, collection string, keys []string) ([]int64, error) {
	counts := make([]int64, len(keys))
	get := func(pipe redis.Pipeliner) *redis.SliceCmd {
		return pipe.HMGet(ctx, se.base+counterPrefix+escape(collection), keys...)
	}
	err := se.lookup(ctx, keys, get, func(i int, v string) (err error) {
		counts[i], err = parseCount(keys[i], v)
		return err
	})
	if err != nil {
		return nil, se.fail(fmt.Sprintf("counters %q", collection), err)
	}
	return counts, nil
}

func (se *session) lookup(ctx context.Context, keys []string, get func(redis.Pipeliner) *redis.SliceCmd, found func(int, string) error) error {
	var values *redis.SliceCmd
	err := se.read(ctx, func(pipe redis.Pipeliner) {
		if len(keys) > 0 {
			values = get(pipe)
		}
	})
	if err != nil || values == nil {
		return err
	}
	for i, v := range values.Val() {
		if text, ok := v.(string); ok {
			if err := found(i, text); err != nil {
				return err
			}
		}
	}
	return nil
}

func parseCount(key, value string) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, &malformedError{key, value, "a counter"}
	}
	return n, nil
}
