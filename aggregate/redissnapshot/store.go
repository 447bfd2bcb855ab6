// Package redissnapshot keeps the snapshots of aggregates in Redis.
//
//	snapshots := redissnapshot.New(rdb, nil)
//	orders := aggregate.NewRepository[order.Order](store, "order", events, &aggregate.Options{
//		Snapshots: &aggregate.SnapshotOptions{Store: snapshots},
//	})
//
// Each snapshot is a hash of its own, so that a single Redis, one with Sentinel
// and a Redis Cluster will do. Redis may lose them, expire them or be away:
// aggregates are then read from their events.
package redissnapshot

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/eventstore"
)

// ErrPaused is returned while Redis is left alone after a failure.
var ErrPaused = errors.New("redissnapshot: Redis did not answer a moment ago and is not asked for now")

// Options configure a [Store]. The zero value is ready to use.
type Options struct {
	// Prefix comes before every key. Event stores that share a Redis need
	// prefixes of their own.
	Prefix string
	// TTL is how long a snapshot is kept after it was saved; 0 means for as
	// long as Redis likes.
	TTL time.Duration
	// Timeout is how long Redis may take for an answer; default 250 ms. A
	// command that finds its aggregate in no cache waits for that at most.
	Timeout time.Duration
	// Pause is how long Redis is left alone once it did not answer; default 1 s.
	// Then one call tries it, and the others go on without.
	Pause time.Duration
}

// A Store is an [aggregate.SnapshotStore] in Redis. It is safe for concurrent
// use.
type Store struct {
	rdb   redis.UniversalClient
	opts  Options
	began time.Time
	until atomic.Int64 // after began: not to be asked before; 0 when it answers
}

var _ aggregate.SnapshotStore = (*Store)(nil)

// New returns a store in Redis. A nil opts means the defaults. The caller
// closes rdb.
func New(rdb redis.UniversalClient, opts *Options) *Store {
	s := &Store{rdb: rdb, began: time.Now()}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Timeout <= 0 {
		s.opts.Timeout = 250 * time.Millisecond
	}
	if s.opts.Pause <= 0 {
		s.opts.Pause = time.Second
	}
	return s
}

// Fields of the hash of a snapshot.
const (
	fieldVersion     = "version"
	fieldPosition    = "position" // 20 digits, so that texts compare as numbers
	fieldCreated     = "created"
	fieldSchema      = "schema"
	fieldContentType = "content_type"
	fieldData        = "data"
)

func (s *Store) key(stream string) string { return s.opts.Prefix + "snapshot:" + stream }

// LoadSnapshot implements [aggregate.SnapshotStore].
func (s *Store) LoadSnapshot(ctx context.Context, stream string) (aggregate.Snapshot, bool, error) {
	fields, err := ask(ctx, s, func(ctx context.Context) (map[string]string, error) {
		return s.rdb.HGetAll(ctx, s.key(stream)).Result()
	})
	if err != nil {
		return aggregate.Snapshot{}, false, fmt.Errorf("redissnapshot: load %s: %w", stream, err)
	}
	if len(fields) == 0 {
		return aggregate.Snapshot{}, false, nil
	}
	version, _ := strconv.ParseUint(fields[fieldVersion], 10, 64) // what somebody else wrote fails the checksum
	position, _ := strconv.ParseUint(fields[fieldPosition], 10, 64)
	created, _ := time.Parse(time.RFC3339Nano, fields[fieldCreated])
	return aggregate.Snapshot{
		Stream: stream, Version: eventstore.Version(version), Position: eventstore.Position(position), Created: created,
		Schema: fields[fieldSchema], ContentType: fields[fieldContentType], Data: []byte(fields[fieldData]),
	}, true, nil
}

// saveScript replaces a snapshot unless the one there has a higher position.
var saveScript = redis.NewScript(`
local there = redis.call('HGET', KEYS[1], 'position')
if there and there > ARGV[2] then
	return 0
end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'position', ARGV[2], 'created', ARGV[3],
	'schema', ARGV[4], 'content_type', ARGV[5], 'data', ARGV[6])
if ARGV[7] ~= '0' then
	redis.call('PEXPIRE', KEYS[1], ARGV[7])
end
return 1
`)

// SaveSnapshot implements [aggregate.SnapshotStore].
func (s *Store) SaveSnapshot(ctx context.Context, snap aggregate.Snapshot) error {
	data := append([]byte(nil), snap.Data...) // may be sent after this has returned
	_, err := ask(ctx, s, func(ctx context.Context) (any, error) {
		return saveScript.Run(ctx, s.rdb, []string{s.key(snap.Stream)},
			uint64(snap.Version), fmt.Sprintf("%020d", snap.Position), snap.Created.UTC().Format(time.RFC3339Nano),
			snap.Schema, snap.ContentType, data, s.opts.TTL.Milliseconds()).Result()
	})
	if err != nil {
		return fmt.Errorf("redissnapshot: save %s: %w", snap.Stream, err)
	}
	return nil
}

// DeleteSnapshot implements [aggregate.SnapshotStore].
func (s *Store) DeleteSnapshot(ctx context.Context, stream string) error {
	_, err := ask(ctx, s, func(ctx context.Context) (int64, error) {
		return s.rdb.Del(ctx, s.key(stream)).Result()
	})
	if err != nil {
		return fmt.Errorf("redissnapshot: delete %s: %w", stream, err)
	}
	return nil
}
