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
}

// lease asks for a lease and returns its holder.
func (s *suite) lease(t *testing.T, view, name, owner string, ttl time.Duration) string {
	t.Helper()
	holder, err := s.store.Lease(t.Context(), view, name, owner, ttl)
	require.NoError(t, err)
	return holder
}

func leaseOneOwner(t *testing.T, s *suite) {
	require.Equal(t, "ada", s.lease(t, view, "l", "ada", time.Hour))
	require.Equal(t, "ada", s.lease(t, view, "l", "bob", time.Hour))
	require.Equal(t, "ada", s.lease(t, view, "l", "ada", time.Hour))
}

func leaseRace(t *testing.T, s *suite) {
	owners := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	holders := make([]string, len(owners))
	errs := make([]error, len(owners))
	var wg sync.WaitGroup
	for i, owner := range owners {
		wg.Go(func() { holders[i], errs[i] = s.store.Lease(t.Context(), view, "l", owner, time.Hour) })
	}
	wg.Wait()
	for i := range owners {
		require.NoError(t, errs[i])
		require.Equal(t, holders[0], holders[i], "two holders")
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
	require.NoError(t, s.store.Release(t.Context(), view, "l", "ada"))
	s.lease(t, view, "l", "ada", time.Hour)
	require.NoError(t, s.store.Release(t.Context(), view, "l", "bob"))
	require.Equal(t, "ada", s.lease(t, view, "l", "bob", time.Hour))
	require.NoError(t, s.store.Release(t.Context(), view, "l", "ada"))
	require.Equal(t, "bob", s.lease(t, view, "l", "bob", time.Hour))
}

func leasesApart(t *testing.T, s *suite) {
	require.Equal(t, "ada", s.lease(t, view, "1", "ada", time.Hour))
	require.Equal(t, "bob", s.lease(t, view, "2", "bob", time.Hour))
	require.Equal(t, "eve", s.lease(t, "another", "1", "eve", time.Hour))
}
