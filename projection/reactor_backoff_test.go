package projection_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/projection"
)

// failing returns a runner whose reactor fails for ever at an event of order-1,
// and has waited long enough for its pauses to be of the longest.
func failing(t *testing.T, s *shop, box *mailbox) (r *projection.Runner, stop func() error) {
	t.Helper()
	box.fail = func(m projection.Meta) error {
		switch {
		case m.Stream == "order-1" && m.Version == 2:
			return errNetwork
		case m.Stream == "order-2" && m.Version == 1:
			return projection.Poison(errBroken)
		}
		return nil
	}
	r = projection.NewRunner(s.store, &projection.Options{Partitions: 1}, box.reactor(s.views, projection.MaxAttempts(1000)))
	stop = start(t, r)
	require.NoError(t, r.WaitLevel(t.Context()))
	put(t, s.store, "order-2", paid{1}, paid{2})
	put(t, s.store, "order-1", paid{1}, paid{2}, paid{3})
	time.Sleep(time.Minute)
	return r, stop
}

// A lane that waits before it tries an effect again looks up meanwhile.
func TestALaneLooksUpBetweenTwoTriesOfAnEffect(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(t *testing.T, s *shop, box *mailbox, r *projection.Runner, stop func() error){
		"stop": func(t *testing.T, _ *shop, _ *mailbox, _ *projection.Runner, stop func() error) {
			require.NoError(t, stop())
		},
		"pause": func(t *testing.T, _ *shop, _ *mailbox, r *projection.Runner, _ func() error) {
			require.NoError(t, r.Pause(t.Context(), "mails"))
		},
		"skip": func(t *testing.T, s *shop, _ *mailbox, r *projection.Runner, _ func() error) {
			head, err := s.store.Head(t.Context())
			require.NoError(t, err)
			require.NoError(t, r.SkipTo(t.Context(), "mails", head))
		},
		"drop": func(t *testing.T, _ *shop, box *mailbox, r *projection.Runner, _ func() error) {
			require.NoError(t, r.DropParked(t.Context(), "mails", "order-2"))
			require.Equal(t, []string{"2"}, box.of("order-2"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *shop) {
				var box mailbox
				r, stop := failing(t, s, &box)
				began := time.Now()
				do(t, s, &box, r, stop)
				assert.LessOrEqual(t, time.Since(began), 100*time.Millisecond)
				require.Equal(t, []string{"1"}, box.of("order-1"), "what was done is not done again")
			})
		})
	}
}

// A partition that went to another writer is let go of within a look, and not
// at the end of a pause or an effect.
func TestALaneThatIsFencedBreaksItsEffectOff(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		var begun, broken atomic.Int64
		r := projection.NewRunner(s.store, nil, projection.NewReactor("mails", events, s.views, projection.React(func(ctx context.Context, _ paid, m projection.Meta) error {
			if m.Version > 1 || begun.Add(1) > 1 {
				return nil
			}
			<-ctx.Done()
			broken.Add(1)
			return ctx.Err()
		})))
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		put(t, s.store, "order-1", paid{1}, paid{2})
		time.Sleep(time.Second)
		for i := range 16 {
			_, err := s.views.Acquire(t.Context(), "mails", 1, i)
			require.NoError(t, err)
		}
		time.Sleep(3 * time.Second)
		require.EqualValues(t, 1, broken.Load())
		require.EqualValues(t, 2, begun.Load(), "it was taken back and done again")
	})
}

func TestAParkedEventSaysHowOftenItWasTried(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		box := mailbox{fail: func(projection.Meta) error { return errBroken }}
		r := projection.NewRunner(s.store, nil, box.reactor(s.views, projection.MaxAttempts(4)))
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		put(t, s.store, "order-1", paid{1}, paid{2})
		require.NoError(t, r.WaitLevel(t.Context()))
		parked, err := r.Parked(t.Context(), "mails")
		require.NoError(t, err)
		require.Equal(t, 4, parked[0].Attempts)
		require.ErrorIs(t, r.RetryParked(t.Context(), "mails", "order-1"), errBroken)
		require.ErrorIs(t, r.DropParked(t.Context(), "mails", "order-1"), errBroken)
		parked, err = r.Parked(t.Context(), "mails")
		require.NoError(t, err)
		require.Equal(t, 1, parked[0].Attempts, "of the one that is first now")
	})
}

// parkMany has n events of a stream parked, whose effects take a while once
// they are let.
func parkMany(t *testing.T, s *shop, n int, effect time.Duration, done *atomic.Int64) *projection.Runner {
	t.Helper()
	mended := make(chan struct{})
	r := projection.NewRunner(s.store, &projection.Options{Partitions: 1}, projection.NewReactor("mails", events, s.views,
		projection.React(func(ctx context.Context, _ paid, _ projection.Meta) error {
			select {
			case <-mended:
			default:
				return projection.Poison(errBroken)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(effect):
			}
			done.Add(1)
			return nil
		})))
	start(t, r)
	require.NoError(t, r.WaitLevel(t.Context()))
	many := make([]any, n)
	for i := range many {
		many[i] = paid{Cents: 1}
	}
	put(t, s.store, "order-1", many...)
	require.NoError(t, r.WaitLevel(t.Context()))
	close(mended)
	return r
}

func parkedEvents(t *testing.T, r *projection.Runner) int {
	t.Helper()
	parked, err := r.Parked(t.Context(), "mails")
	require.NoError(t, err)
	n := 0
	for _, ps := range parked {
		n += len(ps.Events)
	}
	return n
}

// What a crash in the middle of a retry would repeat is bounded as in any other
// work of a reactor.
func TestACrashOfARetryWouldRepeatFewEffects(t *testing.T) {
	t.Parallel()
	for _, effect := range []time.Duration{time.Millisecond, 10 * time.Millisecond, time.Second} {
		t.Run(fmt.Sprint(effect), func(t *testing.T) {
			bubble(t, func(t *testing.T, s *shop) {
				const total = 150
				var done atomic.Int64
				r := parkMany(t, s, total, effect, &done)
				ended := make(chan error, 1)
				go func() { ended <- r.RetryParked(t.Context(), "mails", "order-1") }()
				most := 0
				for done.Load() < total {
					time.Sleep(effect / 2)
					most = max(most, parkedEvents(t, r)-(total-int(done.Load())))
				}
				require.NoError(t, <-ended)
				require.EqualValues(t, total, done.Load())
				require.Zero(t, parkedEvents(t, r))
				t.Logf("at most %d effects were not stored", most)
				assert.LessOrEqual(t, most, int(100*time.Millisecond/effect)+2)
			})
		})
	}
}

// A retry that a stop breaks off leaves the rest parked as it was.
func TestAStopBreaksARetryOff(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		var done atomic.Int64
		r := parkMany(t, s, 20, time.Second, &done)
		ended := make(chan error, 1)
		go func() { ended <- r.RetryParked(t.Context(), "mails", "order-1") }()
		time.Sleep(5500 * time.Millisecond)
		require.NoError(t, r.Pause(t.Context(), "mails"))
		require.ErrorIs(t, <-ended, projection.ErrFenced)
		require.EqualValues(t, 5, done.Load())
		parked, err := r.Parked(t.Context(), "mails")
		require.NoError(t, err)
		require.Len(t, parked[0].Events, 15)
		require.Equal(t, errBroken.Error(), parked[0].Error)
		require.NoError(t, r.Resume(t.Context(), "mails"))
		time.Sleep(2 * time.Second)
		require.NoError(t, r.RetryParked(t.Context(), "mails", "order-1"))
		require.EqualValues(t, 20, done.Load())
	})
}

// An effect that ignores its context holds up what waits for it, and nothing
// else: calls end with their context, the other partitions stay here.
func TestAnEffectThatIgnoresItsContextHoldsUpItsPartitionOnly(t *testing.T) {
	bubble(t, func(t *testing.T, s *shop) {
		hung, done := make(chan struct{}), new(mailbox)
		id := ""
		for i := 200; projection.PartitionOf(id, 16) != 15; i++ { // one that would be handed over
			id = strconv.Itoa(i)
		}
		reactor := func() *projection.Projection {
			return projection.NewReactor("mails", events, s.views, projection.React(func(ctx context.Context, e paid, m projection.Meta) error {
				if m.Stream == "order-"+id && m.Version == 1 {
					<-hung
				}
				return done.send(ctx, e, m)
			}))
		}
		one := projection.NewRunner(s.store, &projection.Options{Owner: "one"}, reactor())
		stop := start(t, one)
		require.NoError(t, one.WaitLevel(t.Context()))
		put(t, s.store, "order-"+id, paid{1}, paid{2})
		time.Sleep(time.Second)

		// Another process comes: it gets its share, but for the partition that hangs.
		two := projection.NewRunner(s.store, &projection.Options{Owner: "two"}, reactor())
		start(t, two)
		time.Sleep(30 * time.Second)
		here, there := status(t, one).Partitions, status(t, two).Partitions
		require.NotContains(t, there, 15)
		require.Contains(t, here, 15)
		require.Len(t, there, 8)
		require.Len(t, here, 8)
		pay(t, s.store, 100, 50)
		time.Sleep(time.Second)
		require.GreaterOrEqual(t, len(done.all()), 130, "others go on")
		require.Empty(t, done.of("order-"+id))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := one.Pause(ctx, "mails")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		ended := make(chan error, 1)
		go func() { ended <- stop() }()
		time.Sleep(time.Minute)
		select {
		case <-ended:
			require.Fail(t, "Run leaves nothing behind, so it waits for the effect")
		default:
		}
		close(hung)
		require.NoError(t, errors.Join(<-ended))
		require.NoError(t, two.Resume(t.Context(), "mails"))
		time.Sleep(time.Minute)
		require.Len(t, done.all(), 152)
	})
}
