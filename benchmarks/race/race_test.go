package race_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/benchmarks/race"
)

// forgetful is a system whose every nth command does nothing.
type forgetful struct {
	mu     sync.Mutex
	orders map[string][]race.Event
	nth, n int
}

func (f *forgetful) store(id race.ID, e race.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n++; f.nth == 0 || f.n%f.nth != 0 {
		f.orders[id.Text] = append(f.orders[id.Text], e)
	}
	return nil
}

func (f *forgetful) Place(_ context.Context, id race.ID, e race.Placed) error {
	return f.store(id, e)
}

func (f *forgetful) AddLine(_ context.Context, id race.ID, e race.LineAdded) error {
	return f.store(id, e)
}

func (f *forgetful) Load(_ context.Context, id race.ID) (race.Order, int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return race.Fold(f.orders[id.Text]), len(f.orders[id.Text]), nil
}

func (f *forgetful) Close() error { return nil }

func forgets(nth int) race.Contestant {
	return race.Contestant{Name: "forgetful", Open: func(_ context.Context, _ string, ids []race.ID, history []race.Event) (race.System, error) {
		f := &forgetful{orders: map[string][]race.Event{}, nth: nth}
		for _, id := range ids {
			f.orders[id.Text] = append(f.orders[id.Text], history...)
		}
		return f, nil
	}}
}

func compete(t *testing.T, rows ...race.Row) ([]race.Result, error) {
	return race.Run(t.Context(), rows, race.Options{Reps: 2, Span: time.Millisecond, Dir: t.TempDir(), Tell: func(string, ...any) {}})
}

func TestALostEventIsNoticed(t *testing.T) {
	t.Parallel()
	for name, entry := range map[string]func(race.Contestant) race.Entry{
		"fresh":    func(c race.Contestant) race.Entry { return race.Fresh(c, 2) },
		"existing": func(c race.Contestant) race.Entry { return race.Existing(c, 2, 4, 10) },
	} {
		_, err := compete(t, race.Row{Name: name, Entries: []race.Entry{entry(forgets(0))}})
		require.NoError(t, err)
		_, err = compete(t, race.Row{Name: name, Entries: []race.Entry{entry(forgets(3))}})
		require.ErrorContains(t, err, "is not exact: order")
	}
}

func TestRehydrateCountsEvents(t *testing.T) {
	t.Parallel()
	lap, err := race.Rehydrate(forgets(0), 2, 30).Open(t.Context(), t.TempDir())
	require.NoError(t, err)
	assert.Equal(t, 30, lap.Each)
	require.NoError(t, lap.Do(t.Context(), 0, 1))
	require.NoError(t, lap.Close())
}

func TestBarsAreJudged(t *testing.T) {
	t.Parallel()
	results := []race.Result{{
		Row: race.Row{Name: "row", Unit: "commands", Entries: []race.Entry{
			{Name: "ours", Kind: race.Ours, Types: race.Plain}, {Name: "slow peer", Types: race.Plain}, {Name: "peer", Tuned: true}, {Name: "fast", Kind: race.Pointers}, {Name: "limit", Kind: race.Limit},
		}},
		Samples: [][]race.Sample{
			{{PerSecond: 300, Nanos: 50, CPU: 20, Allocs: 8, Conflicts: 0.001}, {PerSecond: 30, Nanos: 50, CPU: 20, Allocs: 8}, {PerSecond: 350, Nanos: 51, CPU: 20, Allocs: 9}},
			{{PerSecond: 10}, {PerSecond: 10}, {PerSecond: 10}},
			{{PerSecond: 100, CPU: 100}, {PerSecond: 10, CPU: 100}, {PerSecond: 100, CPU: 100}},
			{{PerSecond: 900}, {PerSecond: 900}, {PerSecond: 900}},
			{{PerSecond: 600}, {PerSecond: 60}, {PerSecond: 600}},
		},
	}}
	for _, c := range []struct {
		bar    race.Bar
		passed bool
	}{
		{race.Bar{Entry: "ours", Times: 3}, true}, // the same repetitions are compared: 3, 3, 3.5
		{race.Bar{Entry: "ours", Times: 3.1}, false},
		{race.Bar{Entry: "ours", Of: "limit", Times: 0.5}, true},
		{race.Bar{Entry: "ours", Of: "limit", Times: 0.51}, false},
		{race.Bar{Entry: "ours", Nanos: 50, Allocs: 8, Conflicts: 0.001}, true},
		{race.Bar{Entry: "ours", Nanos: 49}, false},
		{race.Bar{Entry: "ours", Nanos: 60, Allocs: 7}, false},
	} {
		v := results[0].Judge(c.bar)
		assert.True(t, v.Judged, c)
		assert.Equal(t, c.passed, v.Passed, c)
	}
	assert.False(t, results[0].Judge(race.Bar{Entry: "nobody", Times: 1}).Judged)
	assert.False(t, results[0].Judge(race.Bar{Entry: "ours"}).Judged)

	results[0].Row.Bars = []race.Bar{{Entry: "ours", Times: 4}}
	var out strings.Builder
	require.NoError(t, race.Print(&out, results, true))
	assert.Contains(t, out.String(), "fast (no encoding)")
	assert.Contains(t, out.String(), "ours: 3.00 times peer (bar 4), 5.00 by processor time, 30.00 times the best with such types, 30.00 times the best as it ships: MISSED")
	assert.Contains(t, out.String(), "raw [300 30 350]")
}

// What is not encoded in the same way, or not to about 200 bytes, is not
// compared fairly.
func TestBothTypesStoreTheSame(t *testing.T) {
	t.Parallel()
	for _, e := range race.History(20, true) {
		fast, err := race.Codec(race.Generated).Encode(e)
		require.NoError(t, err)
		slow, err := race.Codec(race.Plain).Encode(race.PlainOf(e))
		require.NoError(t, err)
		assert.Equal(t, fast, slow)
		assert.InDelta(t, 200, len(fast.Data), 30, "%T", e)
	}
}
