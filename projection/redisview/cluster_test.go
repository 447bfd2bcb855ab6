package redisview_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/projectiontest"
	"github.com/foldstream/foldstream/projection/redisview"
)

func TestConformanceOnAClusterWithTheDocumentedRights(t *testing.T) {
	t.Parallel()
	rights, more := documentedRights(t)
	rdb := redistest.StartClusterNodes(t, 3).User(t, "foldstream", "secret", append(rights, more...)...)
	var used atomic.Int64
	projectiontest.RunViewStore(t, func(*testing.T) projection.ViewStore {
		return redisview.New(rdb, &redisview.Options{Prefix: fmt.Sprint("shop:t", used.Add(1), ":")})
	})
}

func TestPartitionsAreSpreadOverACluster(t *testing.T) {
	t.Parallel()
	rdb := redistest.StartCluster(t, 3)
	store := redisview.New(rdb, nil)
	const partitions = 16
	require.NoError(t, store.CreateVersion(t.Context(), view, projection.VersionInfo{Number: 1, Partitions: partitions}))
	for p := range partitions {
		session, err := store.Acquire(t.Context(), view, 1, p)
		require.NoError(t, err)
		require.NoError(t, session.Commit(t.Context(), sized(1, 10)))
		require.NoError(t, session.Close())
	}
	var used atomic.Int64
	require.NoError(t, rdb.ForEachMaster(t.Context(), func(ctx context.Context, node *redis.Client) error {
		if node.DBSize(ctx).Val() > 0 {
			used.Add(1)
		}
		return nil
	}))
	require.EqualValues(t, 3, used.Load())
	require.NoError(t, store.DropVersion(t.Context(), view, 1))
	require.NoError(t, rdb.ForEachMaster(t.Context(), func(ctx context.Context, node *redis.Client) error {
		keys, err := node.Keys(ctx, "*").Result()
		if left := slices.DeleteFunc(keys, func(key string) bool { return key == "views" }); len(left) > 0 {
			return fmt.Errorf("keys are left: %q", left)
		}
		return err
	}))
}
