package aggregate_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

var noon = time.Date(2026, 2, 3, 12, 0, 0, 0, time.UTC)

// aged gives a studio a store with an account to which 1 was added at each
// minute from noon on, so that its balance is its version.
func (s *studio) aged(n int, change func(*aggregate.Options)) *aggregate.Repository[account, event] {
	now := noon
	s.store = &reading{Store: memstore.New(&memstore.Options{Now: func() time.Time { return now }})}
	bus, accounts := s.open(change)
	for range n {
		s.deposits(bus, 1)
		now = now.Add(time.Minute)
	}
	return accounts
}

func TestAnAggregateAsItWas(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*aggregate.Options){
		"from events": func(o *aggregate.Options) { o.Snapshots = nil }, "with snapshots": nil, "with a cache": func(o *aggregate.Options) { o.Cache = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, s *studio) {
				accounts := s.aged(25, change)
				for v := range eventstore.Version(26) {
					l, err := accounts.Load(t.Context(), "1", aggregate.AtVersion(v))
					require.NoError(t, err)
					assert.Equal(t, v, l.Version)
					assert.Equal(t, eventstore.Position(v), l.Position)
					assert.EqualValues(t, v, l.State.balance)
				}
				for at, want := range map[time.Time]int{
					noon.Add(-time.Second): 0, noon: 1, noon.Add(time.Second): 1, noon.Add(9 * time.Minute): 10, noon.Add(10*time.Minute - 1): 10,
					noon.Add(21 * time.Minute): 22, noon.Add(time.Hour): 25, {}: 0,
				} {
					l, err := accounts.Load(t.Context(), "1", aggregate.AtTime(at))
					require.NoError(t, err)
					assert.EqualValues(t, want, l.State.balance, "at %v", at)
					assert.EqualValues(t, want, l.Version)
				}
				l, err := accounts.Load(t.Context(), "1", aggregate.AtVersion(5), aggregate.AtTime(noon.Add(time.Minute)))
				require.NoError(t, err)
				assert.EqualValues(t, 2, l.Version, "whichever comes first")
				assert.Empty(t, s.errors(), "a snapshot that is too new is no news")
			})
		})
	}
}

func TestAPastThatIsNotThere(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *studio) {
		accounts := s.aged(25, nil)
		var missing *aggregate.VersionError
		_, err := accounts.Load(t.Context(), "1", aggregate.AtVersion(26))
		require.ErrorAs(t, err, &missing)
		assert.Equal(t, aggregate.VersionError{Stream: "account-1", Want: 26, Last: 25}, *missing)
		require.ErrorIs(t, err, aggregate.ErrNoVersion)
		_, err = accounts.Load(t.Context(), "2", aggregate.AtVersion(1))
		require.ErrorAs(t, err, &missing)
		assert.Zero(t, missing.Last)
		for _, opt := range []aggregate.LoadOption{aggregate.AtVersion(0), aggregate.AtTime(noon)} {
			l, err := accounts.Load(t.Context(), "2", opt)
			require.NoError(t, err)
			assert.Equal(t, aggregate.Loaded[account]{Stream: "account-2"}, l)
		}
		n := 0
		for _, err = range accounts.History(t.Context(), "1", aggregate.AtVersion(26)) {
			n++
		}
		require.Equal(t, 26, n, "what there is, and the error")
		require.ErrorIs(t, err, aggregate.ErrNoVersion)

		_, err = s.store.SetStreamMetadata(t.Context(), "account-1", eventstore.Any, eventstore.StreamMetadata{TruncateBefore: 15})
		require.NoError(t, err)
		var truncated *aggregate.TruncatedError
		_, err = accounts.Load(t.Context(), "1", aggregate.AtVersion(10))
		require.ErrorAs(t, err, &truncated)
		assert.EqualValues(t, 15, truncated.First)
		_, err = accounts.Load(t.Context(), "1", aggregate.AtTime(noon))
		require.ErrorIs(t, err, aggregate.ErrTruncated)
		l, err := accounts.Load(t.Context(), "1", aggregate.AtVersion(22))
		require.NoError(t, err, "from the snapshot")
		assert.EqualValues(t, 22, l.State.balance)
		_, err = accounts.Truncate(t.Context(), "1")
		require.NoError(t, err)
		for _, err = range accounts.History(t.Context(), "1") {
			require.ErrorIs(t, err, aggregate.ErrTruncated)
		}
		require.Error(t, err)
	})
}

func TestTimeTravelReadsNoMoreThanItMust(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *studio) {
		accounts := s.aged(25, nil)
		s.store.taken()
		_, err := accounts.Load(t.Context(), "1", aggregate.AtVersion(22))
		require.NoError(t, err)
		assert.Equal(t, 4, s.store.taken(), "the snapshot's event, two, and the one after")
		_, err = accounts.Load(t.Context(), "1", aggregate.AtTime(noon.Add(21*time.Minute)))
		require.NoError(t, err)
		assert.Equal(t, 4, s.store.taken())
	})
}

func TestHistoryYieldsEachEventWithTheStateAfterIt(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *studio) {
		accounts := s.aged(12, func(o *aggregate.Options) { o.Cache = 0 })
		n := 0
		for step, err := range accounts.History(t.Context(), "1") {
			require.NoError(t, err)
			assert.Equal(t, deposited{1}, step.Event)
			assert.EqualValues(t, n+1, step.State.balance)
			assert.EqualValues(t, n+1, step.Recorded.Version)
			assert.Equal(t, noon.Add(time.Duration(n)*time.Minute), step.Recorded.Created)
			n++
		}
		assert.Equal(t, 12, n)
		for opt, want := range map[string]struct {
			opt aggregate.LoadOption
			n   int
		}{
			"version": {aggregate.AtVersion(5), 5}, "time": {aggregate.AtTime(noon.Add(3 * time.Minute)), 4}, "none": {aggregate.AtVersion(0), 0},
		} {
			n = 0
			for _, err := range accounts.History(t.Context(), "1", want.opt) {
				require.NoError(t, err)
				n++
			}
			assert.Equal(t, want.n, n, opt)
		}
		for range accounts.History(t.Context(), "1") {
			break // and no more is yielded
		}
		for range accounts.History(t.Context(), "none") {
			assert.Fail(t, "there is no history")
		}
		for _, err := range accounts.History(t.Context(), "") {
			require.ErrorIs(t, err, eventstore.ErrInvalid)
		}
	})
}

func TestHistoryOfUpcastEvents(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	accounts := aggregate.NewRepository[account](store, "account", split{events}, nil)
	_, err := accounts.Execute(t.Context(), "1", func(account) ([]event, error) {
		return []event{deposited{3}, opened{"nobody"}, deposited{1}}, nil
	})
	require.NoError(t, err)
	var all []event
	var states []int64
	for step, err := range accounts.History(t.Context(), "1") {
		require.NoError(t, err)
		all = append(all, step.Event)
		states = append(states, step.State.balance)
	}
	assert.Equal(t, []event{deposited{1}, deposited{2}, deposited{0}, deposited{1}}, all)
	assert.Equal(t, []int64{1, 3, 3, 4}, states)
}

// split is a codec that upcasts: a deposit into two, and an opening into none.
type split struct{ *codec.Codec }

func (s split) Decode(r eventstore.Recorded) (any, error) {
	v, err := s.Codec.Decode(r)
	switch e := v.(type) {
	case deposited:
		return eventstore.Several{deposited{e.Cents / 3}, deposited{e.Cents - e.Cents/3}}, err
	case opened:
		return eventstore.Several{}, err
	}
	return v, err
}

func TestTheDifferenceOfTwoVersions(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *studio) {
		accounts := s.aged(25, nil)
		changes, err := accounts.Diff(t.Context(), "1", 3, 23)
		require.NoError(t, err)
		assert.Equal(t, []string{"balance: 3 -> 23", "events: 3 -> 23"}, texts(changes))
		changes, err = accounts.Diff(t.Context(), "1", 23, 0)
		require.NoError(t, err)
		assert.Equal(t, "balance: 23 -> 0", changes[0].String())
		changes, err = accounts.Diff(t.Context(), "1", 7, 7)
		require.NoError(t, err)
		assert.Empty(t, changes)
		_, err = accounts.Diff(t.Context(), "1", 1, 99)
		require.ErrorIs(t, err, aggregate.ErrNoVersion)
		_, err = accounts.Diff(t.Context(), "", 1, 2)
		require.ErrorIs(t, err, eventstore.ErrInvalid)
	})
}
