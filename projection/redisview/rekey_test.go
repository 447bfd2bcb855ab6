package redisview_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

// vandal damages what is stored, behind the back of the runner, which has it
// in memory as it was.
func vandal(t *testing.T, rdb redis.UniversalClient, prefix string) {
	t.Helper()
	ctx := t.Context()
	keys, err := rdb.Keys(ctx, prefix+"{depot:p*").Result()
	require.NoError(t, err)
	for _, key := range keys {
		_, suffix, _ := strings.Cut(key, ":v1:")
		switch {
		case strings.HasPrefix(suffix, "d:"):
			fields, err := rdb.HKeys(ctx, key).Result()
			require.NoError(t, err)
			for i, field := range fields {
				if i%2 == 0 {
					require.NoError(t, rdb.HSet(ctx, key, field, "damaged").Err())
				} else {
					require.NoError(t, rdb.HDel(ctx, key, field).Err())
				}
			}
		case strings.HasPrefix(suffix, "c:"):
			for field := range rdb.HGetAll(ctx, key).Val() {
				require.NoError(t, rdb.HIncrBy(ctx, key, field, 3).Err())
			}
		case strings.HasPrefix(suffix, "i:weights"):
			require.NoError(t, rdb.ZAdd(ctx, key, redis.Z{Score: 1, Member: "ghost"}).Err())
			require.NoError(t, rdb.ZPopMin(ctx, key).Err())
		case strings.HasPrefix(suffix, "i:"): // a lookup
			for _, m := range rdb.ZRange(ctx, key, 0, -1).Val() {
				require.NoError(t, rdb.ZIncrBy(ctx, key, 2, m).Err())
			}
		case strings.HasPrefix(suffix, "s:"):
			require.NoError(t, rdb.SAdd(ctx, key, "ghost").Err())
		}
	}
}

func TestDamagedKeysArePutRightUnderTraffic(t *testing.T) {
	t.Parallel()
	rdb, prefix := redistest.Shared(t)
	d := newDepot(redisview.New(rdb, &redisview.Options{Prefix: prefix}))
	tr := &traffic{rand: rand.New(rand.NewPCG(5, 6)), store: memstore.New(nil), parcels: map[string]parcel{}, moves: map[string]int64{}}
	r := projection.NewRunner(tr.store, &projection.Options{Partitions: 5, Backoff: time.Millisecond}, d.projection())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	keys := append([]string{"nowhere"}, append(places, labels...)...)
	for i := range 40 {
		keys = append(keys, strconv.Itoa(i))
	}
	for range 300 {
		tr.step(t)
	}
	require.NoError(t, r.WaitLevel(t.Context()))
	tr.check(t, d)
	sound := d.digest(t)
	vandal(t, rdb, prefix)
	require.NotEqual(t, sound, d.digest(t))
	require.NoError(t, r.RebuildKeys(t.Context(), "depot", keys...))
	require.Equal(t, sound, d.digest(t))

	vandal(t, rdb, prefix)
	rekeyed := make(chan error, 1)
	go func() { rekeyed <- r.RebuildKeys(t.Context(), "depot", keys...) }()
	for range 500 {
		tr.step(t)
	}
	require.NoError(t, <-rekeyed)
	require.NoError(t, r.RebuildKeys(t.Context(), "depot", keys...)) // what was folded onto damage before the first came
	require.NoError(t, r.WaitLevel(t.Context()))
	tr.check(t, d)
	live := d.digest(t)
	_, err := r.Rebuild(t.Context(), "depot", nil)
	require.NoError(t, err)
	require.Equal(t, live, d.digest(t))
	cancel()
	require.NoError(t, <-done)
}
