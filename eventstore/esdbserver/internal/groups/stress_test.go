package groups_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/groups"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// Consumers come and go, retry, skip and park in real time, while events are
// appended and the group is updated and restarted. Every event is acknowledged
// or parked in the end.
func TestNothingIsLostUnderStress(t *testing.T) {
	t.Parallel()
	for _, strategy := range []string{groups.RoundRobin, groups.DispatchToSingle, groups.Pinned} {
		t.Run(strategy, func(t *testing.T) {
			t.Parallel()
			stress(t, strategy)
		})
	}
}

func stress(t *testing.T, strategy string) {
	t.Helper()
	const events = 3000
	store := memstore.New(nil)
	m := groups.New(store, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { assert.NoError(t, m.Run(ctx)) })
	d := define(groups.All)
	d.Strategy, d.MinCheckpointCount, d.MaxCheckpointCount, d.HistoryBufferSize = strategy, 1, 50, 100
	d.Filter = &groups.Filter{Prefixes: []string{"s-"}}
	require.NoError(t, m.Create(ctx, d))

	done := &ledger{seen: make(map[string]bool)}
	var consumers sync.WaitGroup
	for i := range 4 {
		consumers.Go(func() { done.work(ctx, t, m, rand.New(rand.NewPCG(uint64(i), 1)), events) })
	}
	for n := range events {
		e := eventstore.Event{Type: "t", Data: []byte(strconv.Itoa(n))}
		_, err := store.Append(ctx, "s-"+strconv.Itoa(n%17), eventstore.Any, e)
		require.NoError(t, err)
		switch n {
		case events / 3:
			require.NoError(t, m.Restart(ctx))
		case events / 2:
			require.NoError(t, m.Update(ctx, groups.All, "g", d.Settings))
		}
	}
	consumers.Wait()
	require.NoError(t, ctx.Err())
	cancel()
	running.Wait()

	m = groups.New(store, slog.New(slog.DiscardHandler))
	again, stop := context.WithCancel(t.Context())
	running.Go(func() { assert.NoError(t, m.Run(again)) })
	i, err := m.Info(again, groups.All, "g")
	require.NoError(t, err)
	assert.Positive(t, i.LastCheckpoint)
	stop()
	running.Wait()
}

// A ledger knows which events were acknowledged, skipped or parked.
type ledger struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (l *ledger) add(d groups.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[string(d.Event.Data)] = true
}

func (l *ledger) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.seen)
}

// work consumes until all events are dealt with, and connects again now and
// then.
func (l *ledger) work(ctx context.Context, t *testing.T, m *groups.Manager, dice *rand.Rand, events int) {
	for ctx.Err() == nil && l.len() < events {
		c, err := m.Connect(ctx, groups.All, "g", groups.Client{Buffer: 1 + dice.IntN(20)})
		if err != nil {
			assert.ErrorIs(t, err, ctx.Err())
			return
		}
		for range 1 + dice.IntN(200) {
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			d, err := c.Next(short)
			cancel()
			if err != nil {
				break
			}
			switch dice.IntN(10) {
			case 0:
				c.Nack(groups.Retry, "", id(d))
				continue
			case 1:
				c.Nack(groups.Skip, "", id(d))
			case 2:
				c.Nack(groups.Park, "", id(d))
			case 3:
				continue // held until it leaves
			default:
				c.Ack(id(d))
			}
			l.add(d)
		}
		c.Close()
	}
}
