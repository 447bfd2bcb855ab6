package logstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/eventstoretest"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

func open(t testing.TB, dir string, opts *logstore.Options) *logstore.Store {
	t.Helper()
	s, err := logstore.Open(dir, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]*logstore.Options{
		"Default":       nil,
		"SmallSegments": {SegmentSize: 4096, Sync: logstore.SyncNever},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dirs := make(chan map[eventstore.Store]string, 1)
			dirs <- make(map[eventstore.Store]string)
			openIn := func(t *testing.T, dir string) eventstore.Store {
				s := open(t, dir, opts)
				m := <-dirs
				m[s] = dir
				dirs <- m
				return s
			}
			eventstoretest.Suite{
				Open: func(t *testing.T) eventstore.Store { return openIn(t, t.TempDir()) },
				Reopen: func(t *testing.T, s eventstore.Store) eventstore.Store {
					require.NoError(t, s.Close())
					m := <-dirs
					dir := m[s]
					dirs <- m
					return openIn(t, dir)
				},
				DensePositions: true,
				Conditional:    true,
				ContentTypes:   true,
			}.Run(t)
		})
	}
}

func BenchmarkStore(b *testing.B) {
	eventstoretest.Benchmark(b, func(b *testing.B) eventstore.Store { return open(b, b.TempDir(), nil) })
}

// What the store itself costs.
func BenchmarkStoreWithoutSync(b *testing.B) {
	eventstoretest.Benchmark(b, func(b *testing.B) eventstore.Store {
		return open(b, b.TempDir(), &logstore.Options{Sync: logstore.SyncNever})
	})
}
