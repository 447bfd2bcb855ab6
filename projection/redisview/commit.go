package redisview

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/projection"
)

// Commit implements [projection.Session]. It is one round trip.
func (se *session) Commit(ctx context.Context, b *projection.Batch) error {
	err := se.commit(ctx, b)
	if err == nil {
		return nil
	}
	if se.err == nil {
		se.err = errUsed
	}
	se.store.moved(ctx, err)
	return fmt.Errorf("redisview: commit of %s at position %d: %w", se.name, b.Position, err)
}

var errUsed = errors.New("the session had an error before and must not be used again; acquire another")

func (se *session) commit(ctx context.Context, b *projection.Batch) error {
	if se.err != nil {
		return se.err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := se.writer.check(b, se.Checkpoint().Position); err != nil {
		return err
	}
	se.writer.batch(b)
	return se.execute(ctx, projection.Checkpoint{Epoch: se.epoch, Position: b.Position})
}

// check refuses a batch that cannot be applied, before anything is sent.
func (w *writer) check(b *projection.Batch, at eventstore.Position) error {
	if b.Position < at {
		return fmt.Errorf("the checkpoint is at %d already", at)
	}
	for i := range b.Documents {
		if c := &b.Documents[i]; c.TTL != 0 && (c.TTL < 0 || !w.isPerKey(c.Collection)) {
			return fmt.Errorf("documents %q cannot expire after %v: they are not stored per key in this version", c.Collection, c.TTL)
		}
	}
	for _, c := range b.Indexes {
		for i := range c.Entries {
			if e := &c.Entries[i]; !e.Remove && math.IsNaN(e.Score) {
				return fmt.Errorf("index %q: member %q of key %q has no number as its score", c.Collection, e.Member, e.Key)
			}
		}
	}
	return nil
}

// execute sends what the writer holds together with the checkpoint, if nobody
// else has written the checkpoint since it was watched last, and watches it
// again.
func (se *session) execute(ctx context.Context, ck projection.Checkpoint) error {
	value := strconv.FormatUint(ck.Epoch, 10) + ":" + strconv.FormatUint(uint64(ck.Position), 10)
	defer se.release()
	cmds := append(se.cmds, redis.NewCmd(ctx, "multi"))
	for _, args := range se.writer.cmds {
		cmds = append(cmds, redis.NewCmd(ctx, args...))
	}
	cmds = append(cmds, redis.NewCmd(ctx, "set", se.ckKey, value))
	writes := len(cmds)
	exec := redis.NewCmd(ctx, "exec")
	watch := redis.NewCmd(ctx, "watch", se.ckKey)
	get := redis.NewCmd(ctx, "get", se.ckKey)
	se.cmds = append(cmds, exec, watch, get)
	se.wire.send(ctx, se.cmds...)
	if err := outcome(se.cmds[:writes], exec); err != nil {
		return err
	}
	se.position.Store(uint64(ck.Position))
	// It is done. What follows decides about the next commit only.
	if err := watch.Err(); err != nil {
		se.err = fmt.Errorf("watch %q: %w", se.ckKey, err)
	} else if now, err := get.Text(); err != nil && !errors.Is(err, redis.Nil) {
		se.err = fmt.Errorf("get %q: %w", se.ckKey, err)
	} else if now != value {
		se.err = projection.ErrFenced
	}
	return nil
}

// release forgets a batch and keeps the buffers.
func (se *session) release() {
	clear(se.cmds)
	se.cmds = se.cmds[:0]
	se.writer.release()
}

// outcome says whether a transaction was carried out whole. writes are MULTI
// and what was queued after it.
func outcome(writes []redis.Cmder, exec *redis.Cmd) error {
	err := exec.Err()
	var refused redis.Error
	switch {
	case err == nil:
		return partial(writes, exec)
	case errors.Is(err, redis.Nil):
		return projection.ErrFenced
	case !errors.As(err, &refused):
		return fmt.Errorf("uncertain whether it was written: %w", err)
	}
	if err := writes[0].Err(); err != nil && anyWritten(writes) {
		return fmt.Errorf("%w: the server takes no transaction, part of the batch may be written, rebuild the view: %w", projection.ErrDamaged, err)
	}
	// EXEC names no reason where the refusal of a command has one.
	if first := firstError(writes); first != nil {
		err = first
	}
	return fmt.Errorf("refused, nothing was written: %w", err)
}

// anyWritten reports whether a command went through without the MULTI before
// it. A server that refuses them all, as while it loads its data, wrote nothing.
func anyWritten(writes []redis.Cmder) bool {
	return slices.ContainsFunc(writes[1:], func(c redis.Cmder) bool { return c.Err() == nil })
}

// partial looks for commands that failed inside a transaction that was carried
// out all the same, as Redis does it.
func partial(writes []redis.Cmder, exec *redis.Cmd) error {
	replies, err := exec.Slice()
	if err != nil {
		return fmt.Errorf("unexpected reply to EXEC: %w", err)
	}
	if len(replies) != len(writes)-1 {
		return fmt.Errorf("EXEC carried out %d commands of %d: something else uses this connection", len(replies), len(writes)-1)
	}
	for i, reply := range replies {
		if err, failed := reply.(error); failed {
			cmd := writes[i+1]
			return fmt.Errorf("%w: %s %v failed while the checkpoint and the rest of the batch were written: something else has written this key, rebuild the view: %w", projection.ErrDamaged, cmd.Name(), key(cmd), err)
		}
	}
	return nil
}
