package redisview

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/projection"
)

// A session writes one partition over a connection of its own, on which the
// partition's checkpoint is watched between calls. It reads over the store's
// client, so that a read need not wait for a commit.
type session struct {
	store    *Store
	name     string // of the partition, for errors
	base     string // what its keys begin with
	ckKey    string
	epoch    uint64        // set once, by takeOver
	position atomic.Uint64 // of the last commit that is known to be done
	closed   atomic.Bool

	// What follows is for commits only.
	wire   *wire
	err    error // why it must not be used again
	writer writer
	cmds   []redis.Cmder // of the commit under way; a buffer
}

// acquireTries bounds how often other workers may take over while this one
// does.
const acquireTries = 100

// Acquire implements [projection.ViewStore]. The session holds one connection
// until it is closed.
func (s *Store) Acquire(ctx context.Context, view string, version, partition int) (projection.Session, error) {
	if err := s.check(ctx, view); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("view %q version %d partition %d", view, version, partition)
	if partition < 0 {
		return nil, fmt.Errorf("redisview: acquire %s: no such partition", name)
	}
	base := s.base(view, version, partition)
	se := &session{store: s, name: name, base: base, ckKey: base + checkpointSuffix}
	se.writer.init(base)
	var err error
	if se.wire, err = s.dial(ctx, se.ckKey); err != nil {
		return nil, fmt.Errorf("redisview: acquire %s: %w", name, err)
	}
	if err = se.takeOver(ctx); err == nil {
		err = se.confirm(ctx, view, version, partition)
	}
	if err != nil {
		s.moved(ctx, err)
		_ = se.wire.close() // the first error says more
		return nil, fmt.Errorf("redisview: acquire %s: %w", name, err)
	}
	return se, nil
}

// takeOver raises the epoch.
func (se *session) takeOver(ctx context.Context) error {
	for range acquireTries {
		watch := redis.NewCmd(ctx, "watch", se.ckKey)
		get := redis.NewCmd(ctx, "get", se.ckKey)
		se.wire.send(ctx, watch, get)
		if err := watch.Err(); err != nil {
			return err
		}
		value, err := get.Text()
		ck, err := checkpointOf(se.ckKey, value, err)
		if err != nil {
			return err
		}
		ck.Epoch++
		se.epoch = ck.Epoch
		err = se.execute(ctx, ck)
		if !errors.Is(err, projection.ErrFenced) {
			return err
		}
		// Another worker took over in between, so one of them got on.
	}
	return projection.ErrFenced
}

// confirm looks whether the version is there after the take-over: a version
// that is dropped from now on is dropped with this checkpoint, and one that was
// dropped before must not leave it behind.
func (se *session) confirm(ctx context.Context, view string, version, partition int) error {
	r, _, err := se.store.getRecord(ctx, view, version)
	switch {
	case err == nil && r.Dropping:
		err = projection.ErrNoVersion
	case err == nil && partition >= r.Partitions:
		err = fmt.Errorf("no such partition: there are %d", r.Partitions)
	case err == nil:
		se.writer.perKey = r.PerKey
		return nil
	case !errors.Is(err, projection.ErrNoVersion):
		return err // it may well be there
	}
	se.wire.send(ctx, redis.NewCmd(ctx, "multi"), redis.NewCmd(ctx, "unlink", se.ckKey), redis.NewCmd(ctx, "exec"))
	return err
}

// Checkpoint implements [projection.Session].
func (se *session) Checkpoint() projection.Checkpoint {
	return projection.Checkpoint{Epoch: se.epoch, Position: eventstore.Position(se.position.Load())}
}

// fail wraps an error of a call.
func (se *session) fail(doing string, err error) error {
	return fmt.Errorf("redisview: %s of %s: %w", doing, se.name, err)
}

// Close implements [projection.Session].
func (se *session) Close() error {
	se.closed.Store(true)
	if err := se.wire.close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return se.fail("closing the session", err)
	}
	return nil
}
