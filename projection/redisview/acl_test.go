package redisview_test

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/projectiontest"
	"github.com/foldstream/foldstream/projection/redisview"
)

// documentedRights returns the rules of the user in the guide.
func documentedRights(t *testing.T) []string {
	t.Helper()
	guide, err := os.ReadFile("../../docs/projections.md")
	require.NoError(t, err)
	_, rules, found := strings.Cut(string(guide), "ACL SETUSER foldstream on >secret ")
	require.True(t, found)
	rules, _, _ = strings.Cut(rules, "```")
	return strings.Fields(rules)
}

func TestConformanceOverTLSWithTheDocumentedRights(t *testing.T) {
	t.Parallel()
	rdb := redistest.StartTLS(t).User(t, "foldstream", "secret", documentedRights(t)...)
	var used atomic.Int64
	projectiontest.RunViewStore(t, func(*testing.T) projection.ViewStore {
		return redisview.New(rdb, &redisview.Options{Prefix: fmt.Sprint("shop:t", used.Add(1), ":")})
	})
}

// Without any one of the documented commands something does not work, so that
// the list stays the least.
func TestNoDocumentedRightIsToSpare(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	rdb := srv.Client(t)
	var used atomic.Int64
	t.Run("Run", func(t *testing.T) {
		projectiontest.RunViewStore(t, func(*testing.T) projection.ViewStore {
			return redisview.New(rdb, &redisview.Options{Prefix: fmt.Sprint("shop:t", used.Add(1), ":")})
		})
	})
	stats, err := rdb.Info(t.Context(), "commandstats").Result()
	require.NoError(t, err)
	for _, rule := range documentedRights(t) {
		if name, ok := strings.CutPrefix(rule, "+"); ok {
			require.Contains(t, stats, "cmdstat_"+name+":", "nothing uses it")
		}
	}
}
