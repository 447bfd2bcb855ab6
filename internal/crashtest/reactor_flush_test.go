package crashtest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

// effects counts effects by the positions of their events.
type effects struct {
	mu      sync.Mutex
	count   map[eventstore.Position]int
	replays map[eventstore.Position]bool
}

func (e *effects) take(_ context.Context, _ sold, m projection.Meta) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count[m.Position]++
	if m.Replay {
		e.replays[m.Position] = true
	}
	return nil
}

func (e *effects) done() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.count)
}

// Somebody empties Redis while a reactor works. The processes that run remember
// how far it was: nothing is lost, and what is repeated is what they have done
// since they last looked, whatever StartAt says.
func TestAReactorGoesOnThoughItsRedisIsEmptied(t *testing.T) {
	t.Parallel()
	for name, parts := range map[string][]projection.Part{
		"from the end": nil, "with history": {projection.StartAt(0)},
	} {
		for _, n := range []int{1, 2} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				t.Parallel()
				server := redistest.Start(t)
				log := newTape("")
				require.NoError(t, log.grow(history0))
				did := &effects{count: make(map[eventstore.Position]int), replays: make(map[eventstore.Position]bool)}
				for range n {
					store := redisview.New(connect(t, server.Addr()), nil)
					r := follow(t, log, projection.NewReactor(mails, events, store, append(parts, projection.React(did.take))...))
					require.NoError(t, r.WaitLevel(t.Context()))
				}
				require.NoError(t, log.grow(history0+5000))
				first := history0
				if parts != nil {
					first = 0
				}
				waitFor(t, "effects", func() bool { return did.done() >= history0+5000-first })
				stop := log.load(t, 1000)
				for range 3 {
					target := did.done() + 500
					waitFor(t, "more effects", func() bool { return did.done() >= target })
					require.NoError(t, server.Client(t).FlushAll(t.Context()).Err())
				}
				total := stop()
				waitFor(t, "all effects", func() bool { return did.done() >= total-first })
				time.Sleep(2 * time.Second) // for what should not come
				did.check(t, first, total)
			})
		}
	}
}

func (e *effects) check(t *testing.T, first, total int) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	repeats := 0
	for p, n := range e.count {
		require.Greater(t, int(p), first)
		repeats += n - 1
	}
	require.Len(t, e.count, total-first)
	require.Len(t, e.replays, history0-min(first, history0))
	for p := range e.replays {
		require.LessOrEqual(t, int(p), history0)
		require.Equal(t, 1, e.count[p], "position %d", p)
	}
	t.Logf("%d events, %d effects were repeated", total, repeats)
	require.Less(t, repeats, 3000)
}
