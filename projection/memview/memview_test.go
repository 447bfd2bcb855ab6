package memview_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/memview"
	"github.com/foldstream/foldstream/projection/projectiontest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	projectiontest.RunViewStore(t, func(*testing.T) projection.ViewStore { return memview.New() })
}

func TestLeasesFollowSyntheticTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memview.New()
		take := func(owner string) string {
			holders, err := s.Lease(t.Context(), "view", owner, time.Minute, "lease")
			require.NoError(t, err)
			return holders[0]
		}
		require.Equal(t, "ada", take("ada"))
		time.Sleep(time.Minute - time.Nanosecond)
		require.Equal(t, "ada", take("bob"))
		time.Sleep(time.Nanosecond)
		require.Equal(t, "bob", take("bob"))
	})
}
