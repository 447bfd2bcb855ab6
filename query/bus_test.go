package query_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/memview"
	"github.com/foldstream/foldstream/query"
)

type (
	double struct{ N int }
	other  struct{}
	added  struct{ N int }
	total  struct{ Sum int }
	sumOf  struct{ ID string }
)

func TestAQueryHasOneHandlerAndOneAnswerType(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]*query.Options{
		"bare":       nil,
		"middleware": {Middleware: []query.Middleware{func(_ string, next query.Handler) query.Handler { return next }}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := query.NewBus(opts)
			query.Register(bus, func(_ context.Context, q double) (int, error) { return 2 * q.N, nil })
			n, err := query.Ask[int](t.Context(), bus, double{21})
			require.NoError(t, err)
			assert.Equal(t, 42, n)
			_, err = query.Ask[string](t.Context(), bus, double{21})
			var wrong *query.AnswerTypeError
			require.ErrorAs(t, err, &wrong)
			assert.EqualError(t, err, "query: query_test.double answers with int, not with string")
			_, err = query.Ask[int](t.Context(), bus, other{})
			require.ErrorIs(t, err, query.ErrNoHandler)
			require.ErrorIs(t, bus.Check(double{}, other{}), query.ErrNoHandler)
			require.NoError(t, bus.Check(double{}))
			assert.Panics(t, func() {
				query.Register(bus, func(_ context.Context, q double) (string, error) { return "", nil })
			})
			assert.Equal(t, []string{"query_test.double"}, bus.Queries())
		})
	}
}

func TestMiddlewareMayAnswerAndFail(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	bus := query.NewBus(&query.Options{Middleware: []query.Middleware{func(_ string, next query.Handler) query.Handler {
		return func(ctx context.Context, q any) (any, error) {
			if q.(double).N == 0 {
				return nil, broken
			}
			if q.(double).N == 1 {
				return "not an int", nil
			}
			return next(ctx, q)
		}
	}}})
	query.Register(bus, func(_ context.Context, q double) (int, error) { return 2 * q.N, nil })
	_, err := query.Ask[int](t.Context(), bus, double{0})
	require.ErrorIs(t, err, broken)
	_, err = query.Ask[int](t.Context(), bus, double{1})
	var wrong *query.AnswerTypeError
	require.ErrorAs(t, err, &wrong)
}

// view is a sum by id, followed from a store.
func view(t *testing.T) (add func(n int) eventstore.Receipt, bus *query.Bus, stop func()) {
	t.Helper()
	events := codec.New(codec.Type[added]("sum.added"))
	store := memstore.New(nil)
	sums := memview.NewCollection[total](memview.New(), "sums", nil)
	p := projection.New("sums", events, projection.On(sums, func(s total, e added, _ projection.Meta) (total, error) {
		return total{s.Sum + e.N}, nil
	}))
	bus = query.NewBus(&query.Options{MaxWait: time.Second})
	query.Register(bus, func(ctx context.Context, q sumOf) (total, error) { return sums.Get(ctx, q.ID) })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- projection.NewRunner(store, nil, p).Run(ctx) }()
	stop = func() {
		cancel()
		assert.NoError(t, <-done)
	}
	return func(n int) eventstore.Receipt {
		e, err := events.Encode(added{n})
		require.NoError(t, err)
		r, err := store.Append(context.Background(), "sum-1", eventstore.Any, e)
		require.NoError(t, err)
		return r
	}, bus, stop
}

func TestAfterReadsOnesOwnWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		add, bus, stop := view(t)
		for i := range 20 {
			receipt := add(1)
			got, err := query.Ask[total](t.Context(), bus, sumOf{"1"}, query.After(receipt))
			require.NoError(t, err)
			require.Equal(t, total{i + 1}, got)
		}
		stop()
		receipt := add(1)
		begin := time.Now()
		_, err := query.Ask[total](t.Context(), bus, sumOf{"1"}, query.After(receipt))
		require.ErrorIs(t, err, eventstore.ErrNotCaughtUp)
		assert.ErrorContains(t, err, "committed")
		assert.Equal(t, time.Second, time.Since(begin), "MaxWait bounds the wait")
		got, err := query.Ask[total](t.Context(), bus, sumOf{"1"})
		require.NoError(t, err, "without After the query answers from what is there")
		assert.Equal(t, total{20}, got)
	})
}

func TestWatchAnswersAgainWhenItsViewChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		add, bus, stop := view(t)
		first := add(1)
		var got []int
		for answer, err := range query.Watch[total](t.Context(), bus, sumOf{"1"}, query.After(first)) {
			require.NoError(t, err)
			if len(got) > 0 && answer.Sum == got[len(got)-1] {
				continue // the view moved, this answer did not
			}
			got = append(got, answer.Sum)
			if answer.Sum == 4 {
				break
			}
			add(1)
		}
		assert.Equal(t, []int{1, 2, 3, 4}, got)

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		synctest.Wait()
		time.Sleep(2 * time.Second) // the last checkpoint is stored
		n := 0
		for _, err := range query.Watch[total](ctx, bus, sumOf{"1"}) {
			require.NoError(t, err)
			n++
		}
		assert.Equal(t, 1, n, "without changes there is one answer, and the context ends it")
		stop()

		query.Register(bus, func(context.Context, double) (int, error) { return 7, nil })
		for answer, err := range query.Watch[int](t.Context(), bus, double{}) {
			require.NoError(t, err)
			assert.Equal(t, 7, answer, "a query that reads no view is answered once")
		}
	})
}

func BenchmarkAsk(b *testing.B) {
	bus := query.NewBus(nil)
	query.Register(bus, func(_ context.Context, q double) (int, error) { return q.N, nil })
	b.ReportAllocs()
	for b.Loop() {
		if _, err := query.Ask[int](context.Background(), bus, double{1}); err != nil {
			b.Fatal(err)
		}
	}
}
