package crashtest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
)

// Two views that one reader feeds are in two servers. While one server is away,
// or hangs, the other view goes on.
func TestAnOutageOfOneRedisDoesNotHoldUpAViewInAnother(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lose, back func(*redistest.Server)
	}{
		"Killed": {(*redistest.Server).Kill, (*redistest.Server).Restart},
		"Hangs":  {(*redistest.Server).Pause, (*redistest.Server).Resume},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const rounds = 2
			a, b := redistest.Start(t, redistest.AOFEverySecond()), redistest.Start(t)
			inA, inB := newViews(connect(t, a.Addr()), ""), newViews(connect(t, b.Addr()), "")
			log := newTape("")
			require.NoError(t, log.grow(1000))
			follow(t, log, inA.all[0], inB.all[1])
			wa, wb := watch(t, connect(t, a.Addr()), "", nil), watch(t, b.Client(t), "", nil)
			wa.reaches(1000 * partitions)
			wb.reaches(1000 * partitions)
			stop := log.load(t, 500)
			for range rounds {
				wa.reaches(wa.progress() + 80*partitions)
				c.lose(a)
				was := wa.end()
				wb.reaches(wb.progress() + 600*partitions)
				c.back(a)
				now := make(checkpoints)
				for h, cks := range was {
					if name == "Hangs" { // nothing may be lost
						now[h] = cks
					}
				}
				wa = watch(t, connect(t, a.Addr()), "", now)
			}
			total := uint64(stop()) * partitions
			wa.reaches(total)
			wb.reaches(total)
			inA.whole(t, log, view)
			inB.whole(t, log, tally)
		})
	}
}

// follow runs projections until the test ends.
func follow(t *testing.T, log *tape, all ...*projection.Projection) *projection.Runner {
	t.Helper()
	o := options()
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	r := projection.NewRunner(log, o, all...)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
	})
	return r
}
