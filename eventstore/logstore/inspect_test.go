package logstore_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

func TestInspect(t *testing.T) {
	t.Parallel()
	s := opened(t, &logstore.Options{SegmentSize: 16 << 10, Sync: logstore.SyncNever})
	for range 3 {
		seal(t, s)
	}
	_, err := s.SetStreamMetadata(t.Context(), "filler-1", eventstore.Any, eventstore.StreamMetadata{MaxCount: 5})
	require.NoError(t, err)
	removed := scavenged(t, s, all).Events
	got := s.Inspect()
	assert.Equal(t, s.Stats(), got.Stats)
	assert.Equal(t, removed, got.Removed)
	assert.Positive(t, got.Memory)
	require.Len(t, got.Files, 4)
	var sum logstore.SegmentStats
	for i, f := range got.Files {
		assert.Equal(t, sum.Last+1, f.First, "without a gap")
		assert.Equal(t, i < 3, f.Sealed)
		sum.Last = f.Last
		sum.Events += f.Events
		sum.Bytes += f.Bytes
		sum.IndexBytes += f.IndexBytes
		if f.Sealed {
			info, err := os.Stat(index(f.File))
			require.NoError(t, err)
			assert.Equal(t, info.Size(), f.IndexBytes)
			assert.EqualValues(t, 1, f.Generation)
			assert.Positive(t, f.Removed())
		}
	}
	assert.Equal(t, got.Head, sum.Last)
	assert.Equal(t, got.Events, sum.Events)
	assert.Equal(t, got.Bytes, sum.Bytes)
	assert.Equal(t, got.IndexBytes, sum.IndexBytes)
	assert.Zero(t, got.Files[3].Removed())

	readOnly, err := logstore.Open(s.Dir(), &logstore.Options{ReadOnly: true})
	require.NoError(t, err)
	assert.Equal(t, got.Stats, readOnly.Inspect().Stats)
	report, err := readOnly.Scavenge(t.Context(), &logstore.ScavengeOptions{DryRun: true})
	require.NoError(t, err)
	assert.Equal(t, 3, report.Segments)
	require.NoError(t, readOnly.Close())
}
