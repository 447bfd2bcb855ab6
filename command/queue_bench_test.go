package command_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// One operation is a command that is enqueued and done: three appends, one
// after the other, for 64 commands at a time.
func BenchmarkQueue(b *testing.B) {
	b.Run("memory", func(b *testing.B) { benchmarkQueue(b, memstore.New(nil)) })
	b.Run("log", func(b *testing.B) {
		store, err := logstore.Open(b.TempDir(), nil)
		require.NoError(b, err)
		b.Cleanup(func() { assert.NoError(b, store.Close()) })
		benchmarkQueue(b, store)
	})
}

func benchmarkQueue(b *testing.B, store eventstore.Store) {
	done := make(chan struct{}, 64)
	r := newRig(b, store, &command.QueueOptions{Concurrency: 64, Changed: func(s command.Status) {
		if s.State == command.StateDone {
			done <- struct{}{}
		}
	}})
	r.run()
	b.ReportAllocs()
	b.ResetTimer()
	for range min(64, b.N) {
		done <- struct{}{}
	}
	for i := range b.N {
		<-done
		go r.enqueue(odd{i})
	}
	for range min(64, b.N) {
		<-done
	}
}
