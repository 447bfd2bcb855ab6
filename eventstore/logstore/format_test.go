package logstore

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

// Data may hold a copy of a frame; it must not be taken for one.
func TestAFrameIsValidInItsPlaceOnly(t *testing.T) {
	t.Parallel()
	h := header{eventstore.NewID(), 1}
	p := place{position: 1, version: 1, id: eventstore.NewID(), flags: flagCommit | flagSynced, seed: h.seed(), off: 640}
	b := appendFrame(nil, &p, "s-1", &eventstore.Event{Type: "t", Data: []byte("data")})
	_, reason := decodeFrame(b, h.seed(), 640)
	require.Empty(t, reason)
	_, reason = decodeFrame(b, h.seed(), 648)
	assert.NotEmpty(t, reason, "another offset")
	for _, other := range []header{{h.storeID, 2}, {eventstore.NewID(), 1}} {
		_, reason = decodeFrame(b, other.seed(), 640)
		assert.NotEmpty(t, reason, "another segment or store")
	}
}

// After a failed sync the last write may be in the page cache only, where the
// system calls it clean: only writing it again brings it to the disk.
func TestOpenWritesTheLastWriteAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(dir, nil)
	require.NoError(t, err)
	var end [3]int64
	for i := range end {
		_, err = s.Append(t.Context(), "s-1", eventstore.Any, eventstore.Event{Type: "t"}, eventstore.Event{Type: "t"})
		require.NoError(t, err)
		end[i] = s.current().end
	}
	require.NoError(t, s.Close())
	var calls []int64
	opts := new(Options)
	SetHooks(opts, func(f *os.File, b []byte, off int64) (int, error) {
		calls = append(calls, off, off+int64(len(b)))
		return f.WriteAt(b, off)
	}, func(*os.File) error {
		calls = append(calls, -1)
		return nil
	})
	s, err = Open(dir, opts)
	require.NoError(t, err)
	assert.Equal(t, []int64{end[1], end[2], -1}, calls)
	require.NoError(t, s.Close())
}
