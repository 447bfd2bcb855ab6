package projection_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/projection"
)

// mailbox takes note of effects.
type mailbox struct {
	mu     sync.Mutex
	sent   []string // stream and version
	fail   func(m projection.Meta) error
	replay int
}

func (b *mailbox) send(_ context.Context, _ paid, m projection.Meta) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		if err := b.fail(m); err != nil {
			return err
		}
	}
	if m.Replay {
		b.replay++
	}
	b.sent = append(b.sent, fmt.Sprint(m.Stream, " ", m.Version))
	return nil
}

func (b *mailbox) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.sent...)
}

// of returns the effects of one stream.
func (b *mailbox) of(stream string) (versions []string) {
	for _, s := range b.all() {
		if v, ok := strings.CutPrefix(s, stream+" "); ok {
			versions = append(versions, v)
		}
	}
	return versions
}

func (b *mailbox) reactor(views projection.ViewStore, parts ...projection.Part) *projection.Projection {
	return projection.NewReactor("mails", events, views, append(parts, projection.React(b.send))...)
}

func pay(t *testing.T, store eventstore.Store, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		put(t, store, "order-"+strconv.Itoa(i), paid{1}, paid{2}, paid{3})
	}
}

func TestAReactorBeginsNowAndReactsInTheOrderOfStreams(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		pay(t, s.store, 0, 10)
		var box mailbox
		r := projection.NewRunner(s.store, nil, box.reactor(s.views), s.projection())
		stop := start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.Empty(t, box.all(), "what was there before is history")
		pay(t, s.store, 10, 20)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.Len(t, box.all(), 60)
		for i := 10; i < 30; i++ {
			require.Equal(t, []string{"1", "2", "3"}, box.of("order-"+strconv.Itoa(i)))
		}
		require.NoError(t, stop())

		pay(t, s.store, 30, 1) // while nobody runs
		r = projection.NewRunner(s.store, nil, box.reactor(s.views, projection.Definition(7)))
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.Len(t, box.all(), 63, "it goes on where it stopped, and a definition replays nothing")
		require.Zero(t, box.replay)
		_, err := r.Rebuild(t.Context(), "mails", nil)
		require.ErrorIs(t, err, projection.ErrReactor)
		require.ErrorIs(t, r.RebuildKeys(t.Context(), "mails", "1"), projection.ErrReactor)
	})
}

func TestAReactorMayBeginWithHistory(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		pay(t, s.store, 0, 10)
		var box mailbox
		r := projection.NewRunner(s.store, nil, box.reactor(s.views, projection.StartAt(0)))
		stop := start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.Len(t, box.all(), 30)
		require.Equal(t, 30, box.replay)
		pay(t, s.store, 10, 1)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.Len(t, box.all(), 33)
		require.Equal(t, 30, box.replay)
		require.NoError(t, stop())
	})
}

func TestAReactorMayBeginAtAPosition(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		pay(t, s.store, 0, 10)
		var box mailbox
		r := projection.NewRunner(s.store, nil, box.reactor(s.views, projection.StartAt(27)))
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.Equal(t, []string{"1", "2", "3"}, box.of("order-9"))
		require.Len(t, box.all(), 3)
	})
}

func TestAFailedEffectIsTriedAgainAndHoldsUpItsPartitionOnly(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		tries := 0
		box := mailbox{fail: func(m projection.Meta) error {
			if m.Stream == "order-3" && m.Version == 2 {
				if tries++; tries < 5 {
					return errNetwork
				}
			}
			return nil
		}}
		r := projection.NewRunner(s.store, nil, box.reactor(s.views))
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		pay(t, s.store, 0, 50)
		time.Sleep(10 * time.Millisecond) // less than the first pause
		assert.Equal(t, []string{"1"}, box.of("order-3"))
		assert.Greater(t, len(box.all()), 100, "other partitions go on")
		require.NoError(t, r.WaitLevel(t.Context()))
		require.Len(t, box.all(), 150, "each once")
		require.Equal(t, []string{"1", "2", "3"}, box.of("order-3"))
		st := status(t, r)
		assert.Equal(t, 4, st.Retries)
		require.ErrorIs(t, st.Err, errNetwork)
	})
}

func TestAPoisonEffectIsParkedAndRetriedInOrder(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func() error{
		"marked":    func() error { return projection.Poison(errBroken) },
		"panic":     func() error { panic("broken") },
		"exhausted": func() error { return errBroken },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *shop) {
				mended := false
				box := mailbox{fail: func(m projection.Meta) error {
					if m.Stream == "order-3" && m.Version == 2 && !mended {
						return fail()
					}
					return nil
				}}
				r := projection.NewRunner(s.store, nil, box.reactor(s.views, projection.MaxAttempts(3)))
				start(t, r)
				require.NoError(t, r.WaitLevel(t.Context()))
				pay(t, s.store, 0, 10)
				require.NoError(t, r.WaitLevel(t.Context()))
				require.Len(t, box.all(), 28)
				require.Equal(t, []string{"1"}, box.of("order-3"))
				parked, err := r.Parked(t.Context(), "mails")
				require.NoError(t, err)
				require.Len(t, parked, 1)
				require.Len(t, parked[0].Events, 2)
				box.mu.Lock()
				mended = true
				box.mu.Unlock()
				require.NoError(t, r.RetryParked(t.Context(), "mails", "order-3"))
				require.Equal(t, []string{"1", "2", "3"}, box.of("order-3"))
			})
		})
	}
}

// A slow effect is broken off by a stop, counts as not done, and is done again.
func TestAStopBreaksAnEffectOff(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		var done, broken atomic.Int64
		slow := projection.NewReactor("mails", events, s.views, projection.React(func(ctx context.Context, _ paid, m projection.Meta) error {
			if m.Version < 3 {
				done.Add(1)
				return nil
			}
			select {
			case <-ctx.Done():
				broken.Add(1)
				return ctx.Err()
			case <-time.After(time.Minute):
				done.Add(1)
				return nil
			}
		}))
		r := projection.NewRunner(s.store, nil, slow)
		stop := start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		put(t, s.store, "order-1", paid{1}, paid{2}, paid{3}, paid{4})
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Equal(t, int64(2), done.Load())
		require.Equal(t, int64(1), broken.Load())
		r = projection.NewRunner(s.store, nil, slow)
		start(t, r)
		time.Sleep(3 * time.Minute)
		require.Equal(t, int64(4), done.Load(), "the first two are not done again")
	})
}

// Two runners share a reactor, and none reacts to what the other has.
func TestRunnersShareAReactor(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		var box mailbox
		one := projection.NewRunner(s.store, nil, box.reactor(s.views))
		two := projection.NewRunner(s.store, nil, box.reactor(s.views))
		start(t, one)
		stop := start(t, two)
		require.NoError(t, one.WaitLevel(t.Context()))
		time.Sleep(5 * time.Second)
		pay(t, s.store, 0, 50)
		time.Sleep(5 * time.Second)
		require.Len(t, box.all(), 150)
		require.NotEmpty(t, status(t, two).Partitions)
		require.NoError(t, stop())
		time.Sleep(10 * time.Second)
		pay(t, s.store, 50, 50)
		time.Sleep(10 * time.Second)
		require.Len(t, box.all(), 300)
	})
}

func TestErrorsAreClassified(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		errDown := errors.New("down")
		tries := 0
		fold := projection.On(s.summaries, func(sum summary, e paid, _ projection.Meta) (summary, error) {
			if e.Cents == 13 {
				if tries++; tries < 3 {
					return sum, errDown
				}
			}
			return sum, nil
		})
		box := mailbox{fail: func(m projection.Meta) error {
			if m.Version == 2 {
				return errBroken
			}
			return nil
		}}
		classify := func(err error) projection.ErrorClass {
			switch {
			case errors.Is(err, errDown):
				return projection.ClassTransient
			case errors.Is(err, errBroken):
				return projection.ClassPoison
			}
			return projection.ClassDefault
		}
		r := projection.NewRunner(s.store, &projection.Options{Classify: classify}, s.projection(fold), box.reactor(s.views))
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		put(t, s.store, "order-a", placed{Customer: "ada"}, paid{Cents: 13})
		require.NoError(t, r.WaitLevel(t.Context()))
		parked, err := r.Parked(t.Context(), "shop")
		require.NoError(t, err)
		assert.Empty(t, parked)
		assert.Equal(t, 3, tries)
		parked, err = r.Parked(t.Context(), "mails")
		require.NoError(t, err)
		assert.Len(t, parked, 1)
	})
}

func TestPartsOfReactorsAreForReactors(t *testing.T) {
	t.Parallel()
	var box mailbox
	for _, parts := range [][]projection.Part{
		{projection.React(box.send)}, {projection.StartAt(1)}, {projection.MaxAttempts(1)},
	} {
		require.Panics(t, func() { projection.New("view", events, parts...) })
	}
	require.Panics(t, func() {
		projection.NewReactor("mails", events, nil, projection.MaxAttempts(0), projection.React(box.send))
	})
}
