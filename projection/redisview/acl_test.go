package redisview_test

import (
	"context"
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

// documentedRights returns the rules of the user in the guide, and those that
// a cluster needs besides.
func documentedRights(t *testing.T) (rights, cluster []string) {
	t.Helper()
	return documentedRules(t, "ACL SETUSER foldstream on >secret ", "```"), documentedRules(t, "A Redis Cluster needs `", "`")
}

// documentedRules returns the words in the guide between two texts.
func documentedRules(t *testing.T, begin, end string) []string {
	t.Helper()
	guide, err := os.ReadFile("../../docs/projections.md")
	require.NoError(t, err)
	_, rules, found := strings.Cut(string(guide), begin)
	require.True(t, found)
	rules, _, _ = strings.Cut(rules, end)
	return strings.Fields(rules)
}

// What the guide says is enough, and without any one of the commands something
// would not work.
func TestConformanceOverTLSWithTheDocumentedRights(t *testing.T) {
	t.Parallel()
	srv := redistest.StartTLS(t)
	admin := srv.Client(t)
	rights, _ := documentedRights(t)
	rdb := srv.User(t, "foldstream", "secret", rights...)
	t.Cleanup(func() { // when all has been tried
		stats, err := admin.Info(context.Background(), "commandstats").Result()
		require.NoError(t, err)
		for _, rule := range rights {
			if name, ok := strings.CutPrefix(rule, "+"); ok {
				require.Contains(t, stats, "cmdstat_"+name+":", "nothing uses it")
			}
		}
	})
	var used atomic.Int64
	projectiontest.RunViewStore(t, func(*testing.T) projection.ViewStore {
		return redisview.New(rdb, &redisview.Options{Prefix: fmt.Sprint("shop:t", used.Add(1), ":")})
	})
}
