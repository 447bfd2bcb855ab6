package main

import (
	"context"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/memview"
)

// forgetful is a view store that commits nothing, so that what is left is the
// engine.
type forgetful struct{ projection.ViewStore }

type forgetfulSession struct {
	projection.Session
	ck projection.Checkpoint
}

func (f forgetful) Acquire(ctx context.Context, view string, version, partition int) (projection.Session, error) {
	s, err := f.ViewStore.Acquire(ctx, view, version, partition)
	if err != nil {
		return nil, err
	}
	return &forgetfulSession{s, s.Checkpoint()}, nil
}

func (s *forgetfulSession) Commit(ctx context.Context, b *projection.Batch) error {
	return s.Session.Commit(ctx, &projection.Batch{Position: b.Position})
}

// BenchmarkEngine replays a log into nothing. cpu-ns/event is the processor
// time of all threads.
func BenchmarkEngine(b *testing.B) {
	for _, skew := range []float64{0, 1.1} {
		for _, types := range []string{"generated", "plain"} {
			name := "uniform/" + types
			if skew > 0 {
				name = "zipf/" + types
			}
			b.Run(name, func(b *testing.B) {
				c := config{events: 500_000, keys: 100_000, zipf: skew}
				store, err := logstore.Open(b.TempDir(), &logstore.Options{Sync: logstore.SyncNever})
				require.NoError(b, err)
				defer func() { _ = store.Close() }()
				require.NoError(b, seed(b.Context(), store, c))
				b.ResetTimer()
				var cpu int64
				for range b.N {
					before := cpuTime(b)
					ctx, cancel := context.WithCancel(b.Context())
					r := projection.NewRunner(store, nil, kinds[types].projection(forgetful{memview.New()}))
					done := make(chan error, 1)
					go func() { done <- r.Run(ctx) }()
					require.NoError(b, r.WaitLevel(ctx))
					cancel()
					require.NoError(b, <-done)
					cpu += cpuTime(b) - before
				}
				b.ReportMetric(float64(cpu)/float64(b.N)/float64(c.events), "cpu-ns/event")
				b.ReportMetric(float64(b.N)*float64(c.events)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}

func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkEngineFour replays a log into four views at once. An event counts
// four times.
func BenchmarkEngineFour(b *testing.B) {
	c := config{events: 300_000, keys: 100_000}
	store, err := logstore.Open(b.TempDir(), &logstore.Options{Sync: logstore.SyncNever})
	require.NoError(b, err)
	defer func() { _ = store.Close() }()
	require.NoError(b, seed(b.Context(), store, c))
	events := codec.New(codec.Type[fastLineAdded](lineAddedName))
	four := func(views projection.ViewStore) []*projection.Projection {
		return []*projection.Projection{
			projection.New("a", events, projection.On(projection.NewCollection[fastSummary](views, "a", codec.Msgpack, nil), fastSummary.lineAdded)),
			projection.New("b", events, projection.On(projection.NewCollection[fastSummary](views, "b", codec.Msgpack, nil), fastSummary.lineAdded,
				projection.Key(func(e fastLineAdded, _ projection.Meta) string { return e.Customer }))),
			projection.New("c", events, projection.OnCount(projection.NewCounters(views, "c", nil), func(e fastLineAdded, _ projection.Meta) []projection.Delta {
				return []projection.Delta{{Key: e.SKU, By: e.Quantity}}
			})),
			projection.New("d", events, projection.OnIndex(projection.NewIndex(views, "d", nil), func(e fastLineAdded, m projection.Meta) []projection.Entry {
				return []projection.Entry{{Key: e.SKU, Member: m.ID, Score: float64(m.Position)}}
			})),
		}
	}
	b.ResetTimer()
	var cpu int64
	for range b.N {
		before := cpuTime(b)
		ctx, cancel := context.WithCancel(b.Context())
		r := projection.NewRunner(store, nil, four(forgetful{memview.New()})...)
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		require.NoError(b, r.WaitLevel(ctx))
		cancel()
		require.NoError(b, <-done)
		cpu += cpuTime(b) - before
	}
	n := 4 * float64(b.N) * float64(c.events)
	b.ReportMetric(float64(cpu)/n, "cpu-ns/event")
	b.ReportMetric(n/b.Elapsed().Seconds(), "events/s")
}
