package redisview_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/projectiontest"
	"github.com/foldstream/foldstream/projection/redisview"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// open returns a store of its own on the package's Redis.
func open(t *testing.T) projection.ViewStore {
	rdb, prefix := redistest.Shared(t)
	return redisview.New(rdb, &redisview.Options{Prefix: prefix})
}

func TestConformance(t *testing.T) {
	t.Parallel()
	projectiontest.RunViewStore(t, open)
}

// The examples run on miniredis where no Redis is given. Its clock, by which
// leases expire, stands still unless it is pushed.
func TestConformanceOnMiniredis(t *testing.T) {
	t.Parallel()
	projectiontest.RunViewStore(t, func(t *testing.T) projection.ViewStore {
		srv := miniredis.RunT(t)
		push(t, srv, 5*time.Millisecond)
		rdb := redis.NewClient(&redis.Options{Addr: srv.Addr()})
		t.Cleanup(func() { _ = rdb.Close() })
		return redisview.New(rdb, nil)
	})
}

// push lets the server's clock go on until the test ends.
func push(t *testing.T, srv *miniredis.Miniredis, every time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				srv.FastForward(every)
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}
