package memstore_test

import (
	"testing"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/eventstoretest"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	eventstoretest.Suite{
		Open:           func(*testing.T) eventstore.Store { return memstore.New(nil) },
		DensePositions: true,
		ContentTypes:   true,
	}.Run(t)
}

func BenchmarkStore(b *testing.B) {
	eventstoretest.Benchmark(b, func(*testing.B) eventstore.Store { return memstore.New(nil) })
}
