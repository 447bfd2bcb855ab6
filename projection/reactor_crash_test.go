package projection_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/memview"
)

// slowView is a view store that takes a while to commit.
type slowView struct {
	projection.ViewStore
	delay atomic.Int64 // nanoseconds
}

type slowSession struct {
	projection.Session
	v *slowView
}

func (v *slowView) Acquire(ctx context.Context, view string, version, partition int) (projection.Session, error) {
	s, err := v.ViewStore.Acquire(ctx, view, version, partition)
	return slowSession{s, v}, err
}

func (s slowSession) Commit(ctx context.Context, b *projection.Batch) error {
	time.Sleep(time.Duration(s.v.delay.Load()))
	return s.Session.Commit(ctx, b)
}

// What a crash at any moment would repeat is what is done and not stored: the
// stretch at hand, of 100 ms, and the one whose commit is under way.
func TestACrashOfAReactorWouldRepeatFewEffects(t *testing.T) {
	t.Parallel()
	for _, commit := range []time.Duration{0, 20 * time.Millisecond, 3 * time.Second} {
		t.Run(fmt.Sprint(commit), func(t *testing.T) {
			bubble(t, func(t *testing.T, s *shop) {
				const effect, total = 10 * time.Millisecond, 600
				views := &slowView{ViewStore: s.views}
				var done atomic.Uint64
				mails := projection.NewReactor("mails", events, views, projection.React(func(_ context.Context, _ paid, m projection.Meta) error {
					time.Sleep(effect)
					done.Store(uint64(m.Position))
					return nil
				}))
				r := projection.NewRunner(s.store, &projection.Options{Partitions: 1}, mails)
				start(t, r)
				require.NoError(t, r.WaitLevel(t.Context()))
				views.delay.Store(int64(commit))
				many := make([]any, total)
				for i := range many {
					many[i] = paid{Cents: 1}
				}
				last := put(t, s.store, "order-1", many...)
				most := uint64(0)
				for done.Load() < uint64(last.Position) {
					time.Sleep(time.Millisecond)
					stored, err := s.views.Checkpoints(t.Context(), "mails", 1)
					require.NoError(t, err)
					if at := uint64(stored[0].Position); done.Load() > at {
						most = max(most, done.Load()-at)
					}
				}
				t.Logf("at most %d effects were not stored", most)
				assert.LessOrEqual(t, most, uint64(2*(100*time.Millisecond/effect+1)))
			})
		})
	}
}

func ExampleNewReactor() {
	ctx, stop := context.WithCancel(context.Background())
	store, sent := memstore.New(nil), make(chan string)
	mails := projection.NewReactor("receipt-mails", events, memview.New(),
		projection.StartAt(0), // there may be orders that were paid before
		projection.React(func(_ context.Context, e paid, m projection.Meta) error {
			sent <- fmt.Sprintf("order %s: %d cents received", m.ID, e.Cents) // with m.EventID as idempotency key
			return nil
		}))
	runner, ended := projection.NewRunner(store, nil, mails), make(chan error)
	go func() { ended <- runner.Run(ctx) }()

	event, _ := events.Encode(paid{Cents: 1250})
	if _, err := store.Append(ctx, "order-42", eventstore.NoStream, event); err != nil {
		fmt.Println(err)
	}
	fmt.Println(<-sent)
	stop()
	fmt.Println(<-ended)
	// Output:
	// order 42: 1250 cents received
	// <nil>
}
