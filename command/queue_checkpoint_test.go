package command_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// A counted store counts the events that are read of all streams, and of single
// ones.
type counted struct {
	eventstore.Store
	all, single atomic.Int64
}

func (c *counted) SubscribeAll(ctx context.Context, opts eventstore.SubscribeAllOptions) iter.Seq2[eventstore.Message, error] {
	return func(yield func(eventstore.Message, error) bool) {
		for m, err := range c.Store.SubscribeAll(ctx, opts) {
			if m.Kind == eventstore.MessageEvent {
				c.all.Add(1)
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

func (c *counted) Read(ctx context.Context, stream string, opts eventstore.ReadOptions) iter.Seq2[eventstore.Recorded, error] {
	return func(yield func(eventstore.Recorded, error) bool) {
		for r, err := range c.Store.Read(ctx, stream, opts) {
			c.single.Add(1)
			if !yield(r, err) {
				return
			}
		}
	}
}

func TestAWorkerThatBeginsReadsLittle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(nil)
		r := newRig(t, store, &command.QueueOptions{CheckpointEvery: 100, MaxFaults: 1, Concurrency: 4})
		r.onOdd = func(_ context.Context, n int) (eventstore.Receipt, error) {
			if n%100 == 0 {
				return eventstore.Receipt{}, errors.New("no idea")
			}
			return eventstore.Receipt{}, nil
		}
		stop := r.run()
		for i := range 1000 {
			r.enqueue(odd{i})
		}
		for i := range 20 {
			r.enqueue(odd{2000 + i}, command.Delay(time.Hour), command.WithKey("k"))
		}
		synctest.Wait()
		before := must(r.queue.Stats(t.Context()))
		assert.Equal(t, 20, before.Scheduled)
		assert.Equal(t, 10, before.DeadLettered)
		stop()

		read := &counted{Store: store}
		next := newRig(t, read, &command.QueueOptions{CheckpointEvery: 100, Concurrency: 1})
		looked := must(next.queue.Stats(t.Context()))
		assert.Zero(t, read.all.Load(), "there is nothing after the checkpoint")
		assert.Less(t, read.single.Load(), int64(60), "only those that are open")
		for _, s := range []*command.QueueStats{&before, &looked} {
			*s = command.QueueStats{Pending: s.Pending, Scheduled: s.Scheduled, DeadLettered: s.DeadLettered}
		}
		assert.Equal(t, before, looked)
		next.run()
		time.Sleep(2 * time.Hour)
		var want []int
		for i := range 20 {
			want = append(want, 2000+i)
		}
		assert.Equal(t, want, next.begun())
	})
}

func TestACheckpointOfManyCommandsHasParts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(nil)
		r := newRig(t, store, &command.QueueOptions{MaxHeld: 100_000, Retention: -1})
		long := strings.Repeat("x", 490)
		const n = 1200
		stop := r.run()
		for i := range n {
			r.enqueue(odd{i}, command.WithID(fmt.Sprint(long, i)), command.Delay(time.Hour))
		}
		synctest.Wait()
		stop()
		parts := 0
		for rec, err := range store.Read(t.Context(), "jobs_checkpoint", eventstore.ReadOptions{}) {
			require.NoError(t, err)
			assert.Less(t, len(rec.Data), 300_000)
			parts++
		}
		assert.Equal(t, 3, parts)

		// One that was broken off, as by a crash, does not count.
		_, err := store.Append(t.Context(), "jobs_checkpoint", eventstore.Any, eventstore.Event{
			Type: "command.checkpoint", ContentType: "application/json", Data: []byte(`{"position":5000,"part":1,"parts":2}`),
		})
		require.NoError(t, err)
		read := &counted{Store: store}
		next := newRig(t, read, &command.QueueOptions{Retention: -1})
		stop = next.run()
		synctest.Wait()
		assert.Zero(t, read.all.Load())
		assert.Equal(t, n, must(next.queue.Stats(t.Context())).Scheduled)
		time.Sleep(2 * time.Hour)
		assert.Equal(t, uint64(n), must(next.queue.Stats(t.Context())).Done)
		stop()
		parts = 0
		for _, err := range store.Read(t.Context(), "jobs_checkpoint", eventstore.ReadOptions{}) {
			require.NoError(t, err)
			parts++
		}
		assert.Equal(t, 1, parts, "what was before is out of the way")
	})
}

func TestFinishedCommandsAreKeptForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(nil)
		opts := &command.QueueOptions{Retention: time.Hour, MaxFaults: 1}
		r, other := newRig(t, store, opts), newRig(t, store, opts)
		fail := func(_ context.Context, n int) (eventstore.Receipt, error) {
			switch n {
			case 1:
				return eventstore.Receipt{}, errors.New("no idea")
			case 2:
				return eventstore.Receipt{}, errNegative
			}
			return eventstore.Receipt{}, nil
		}
		r.onOdd, other.onOdd = fail, fail
		r.run()
		stop := other.run()
		var ids []string
		for i := range 600 {
			ids = append(ids, r.enqueue(odd{i}))
		}
		synctest.Wait()
		time.Sleep(58 * time.Minute)
		for _, id := range ids {
			r.get(id)
		}
		young := r.enqueue(odd{700})
		time.Sleep(10 * time.Minute)
		stop()
		for i, id := range ids {
			_, err := r.queue.Get(t.Context(), id)
			if i == 1 {
				require.NoError(t, err, "a dead letter waits for an operator")
				continue
			}
			require.ErrorIs(t, err, command.ErrNotQueued)
		}
		assert.Equal(t, []string{ids[1], young}, r.ids(command.ListFilter{}))
		_, err := r.queue.Await(t.Context(), ids[0])
		require.ErrorIs(t, err, command.ErrNotQueued)
		require.ErrorIs(t, r.queue.Retry(t.Context(), ids[2]), command.ErrNotQueued)
		r.enqueue(odd{0}, command.WithID(ids[0]))
		synctest.Wait()
		assert.Equal(t, uint64(601), uint64(len(r.begun())+len(other.begun())), "it was recognized all the same")

		// Who begins now has nothing to do with what is gone.
		read := &counted{Store: store}
		last := newRig(t, read, opts)
		assert.Len(t, last.ids(command.ListFilter{}), 2)
		assert.Less(t, read.all.Load(), int64(20))
	})
}

func TestACommandIsReadWhenItWasNotKeptInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstore.New(nil), &command.QueueOptions{MaxHeld: 1})
		r.run()
		var last string
		for i := range 5 {
			last = r.enqueue(put{"a", i})
		}
		r.await(last)
		assert.Equal(t, []int{0, 1, 2, 3, 4}, r.numbers("a"))
	})
}

func TestAQuietQueueMovesItsCheckpointOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(nil)
		r := newRig(t, store, nil)
		r.run()
		last := func() (n int) {
			for rec, err := range store.Read(t.Context(), "jobs_checkpoint", eventstore.ReadOptions{Backwards: true}) {
				if errors.Is(err, eventstore.ErrStreamNotFound) {
					return 0
				}
				require.NoError(t, err)
				return int(rec.Version)
			}
			return 0
		}
		time.Sleep(time.Hour)
		assert.Zero(t, last(), "nothing happened")
		r.enqueue(odd{1})
		time.Sleep(time.Hour)
		assert.Equal(t, 1, last())
		for i := range 2000 {
			e := eventstore.Event{Type: "other", ID: eventstore.NewID()}
			_, err := store.Append(t.Context(), fmt.Sprint("other-", i), eventstore.Any, e, e, e, e, e, e)
			require.NoError(t, err)
		}
		time.Sleep(time.Hour)
		assert.Equal(t, 2, last(), "others have filled the log")
	})
}

// A checkpoint is no event of which another checkpoint has to tell.
func TestAnIdleQueueWritesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstore.New(nil), nil)
		defer r.run()()
		quiet := func() {
			t.Helper()
			time.Sleep(2 * time.Hour)
			before := must(r.store.Head(t.Context()))
			time.Sleep(12 * time.Hour)
			assert.Equal(t, before, must(r.store.Head(t.Context())))
		}
		quiet()
		r.await(r.enqueue(put{"1", 1}))
		quiet()
		time.Sleep(24 * time.Hour) // what is finished is removed meanwhile
		quiet()
	})
}
