package projectiontest

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var leaseClauses = []clause{
	{"LeaseIsHeldByOneOwner", leaseOneOwner},
	{"OfManyWhoAskForALeaseOneGetsIt", leaseRace},
	{"LeaseIsProlongedByItsOwner", leaseProlonged},
	{"LeaseExpires", leaseExpires},
	{"OnlyTheOwnerReleasesALease", leaseReleased},
	{"LeasesOfDifferentNamesAndViewsAreApart", leasesApart},
	{"ManyLeasesAreAskedForAndReleasedAtOnce", leasesAtOnce},
}

// lease asks for a lease and returns its holder.
func (s *suite) lease(t *testing.T, view, name, owner string, ttl time.Duration) string {
	t.Helper()
	holders, err := s.store.Lease(t.Context(), view, owner, ttl, name)
	require.NoError(t, err)
	require.Len(t, holders, 1)
	return holders[0]
}

func leaseOneOwner(t *testing.T, s *suite) {
	require.Equal(t, "ada", s.lease(t, view, "l", "ada", time.Hour))
	require.Equal(t, "ada", s.lease(t, view, "l", "bob", time.Hour))
	require.Equal(t, "ada", s.lease(t, view, "l", "ada", time.Hour))
}

func leaseRace(t *testing.T, s *suite) {
	owners := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	holders := make([][]string, len(owners))
	errs := make([]error, len(owners))
	var wg sync.WaitGroup
	for i, owner := range owners {
		wg.Go(func() { holders[i], errs[i] = s.store.Lease(t.Context(), view, owner, time.Hour, "l", "m", "n") })
	}
	wg.Wait()
	for i := range owners {
		require.NoError(t, errs[i])
		require.Equal(t, holders[0], holders[i], "two holders")
		require.Equal(t, holders[i][0], holders[i][2], "all are taken in one step")
	}
}

// leaseProlonged lets another lease show that the first span has passed.
func leaseProlonged(t *testing.T, s *suite) {
	s.lease(t, view, "l", "ada", 20*time.Millisecond)
	s.lease(t, view, "l", "ada", time.Hour)
	s.lease(t, view, "witness", "ada", 20*time.Millisecond)
	s.awaitLease(t, "witness", "bob")
	require.Equal(t, "ada", s.lease(t, view, "l", "bob", time.Hour))
}

func leaseExpires(t *testing.T, s *suite) {
	require.Equal(t, "ada", s.lease(t, view, "l", "ada", 20*time.Millisecond))
	s.awaitLease(t, "l", "bob")
	require.Equal(t, "bob", s.lease(t, view, "l", "ada", time.Hour))
}

// awaitLease asks for a lease until owner has it.
func (s *suite) awaitLease(t *testing.T, name, owner string) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(10 * time.Second)
	for s.lease(t, view, name, owner, time.Hour) != owner {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("lease %q does not expire", name)
		}
	}
}

func leaseReleased(t *testing.T, s *suite) {
	require.NoError(t, s.store.Release(t.Context(), view, "ada", "l"))
	s.lease(t, view, "l", "ada", time.Hour)
	require.NoError(t, s.store.Release(t.Context(), view, "bob", "l"))
	require.Equal(t, "ada", s.lease(t, view, "l", "bob", time.Hour))
	require.NoError(t, s.store.Release(t.Context(), view, "ada", "l"))
	require.Equal(t, "bob", s.lease(t, view, "l", "bob", time.Hour))
}

func leasesApart(t *testing.T, s *suite) {
	require.Equal(t, "ada", s.lease(t, view, "1", "ada", time.Hour))
	require.Equal(t, "bob", s.lease(t, view, "2", "bob", time.Hour))
	require.Equal(t, "eve", s.lease(t, "another", "1", "eve", time.Hour))
}

func leasesAtOnce(t *testing.T, s *suite) {
	ask := func(owner string, names ...string) []string {
		holders, err := s.store.Lease(t.Context(), view, owner, time.Hour, names...)
		require.NoError(t, err)
		return holders
	}
	require.Empty(t, ask("ada"))
	require.Equal(t, []string{"ada", "ada"}, ask("ada", "3", "1"))
	require.Equal(t, []string{"ada", "bob", "ada", "bob", "bob"}, ask("bob", "1", "2", "3", "4", "2"))
	require.NoError(t, s.store.Release(t.Context(), view, "ada", "1", "2", "5"))
	require.NoError(t, s.store.Release(t.Context(), view, "ada"))
	require.Equal(t, []string{"eve", "bob", "ada", "bob", "eve"}, ask("eve", "1", "2", "3", "4", "5"))
	for _, owner := range []string{"", "ada"} {
		_, err := s.store.Lease(t.Context(), view, owner, 0, "1")
		require.Error(t, err)
	}
}
