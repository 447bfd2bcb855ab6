package logstore_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

func TestSegmentsRollOver(t *testing.T) {
	t.Parallel()
	opts := &logstore.Options{SegmentSize: 4096}
	var want []eventstore.Recorded
	dir := write(t, opts, func(s *logstore.Store) {
		big := event(1)
		big.Data = make([]byte, 20_000)
		_, err := s.Append(t.Context(), "big-1", eventstore.NoStream, big)
		require.NoError(t, err, "larger than the empty first segment")
		for range 100 {
			appendTo(t, s, "a-1", 2)
		}
		big.ID = eventstore.NewID()
		_, err = s.Append(t.Context(), "big-1", eventstore.Exact(1), big, event(2))
		require.NoError(t, err, "larger than a segment")
		appendTo(t, s, "a-1", 2)
		want = readAll(t, s)
		require.Len(t, want, 205)
	})
	assert.Greater(t, len(segments(t, dir)), 4)
	s := open(t, dir, opts)
	assert.Equal(t, want, readAll(t, s))
	assert.EqualValues(t, 206, appendTo(t, s, "a-1", 1).Position)
}

func TestLargerSegmentsFromNowOn(t *testing.T) {
	t.Parallel()
	dir := write(t, &logstore.Options{SegmentSize: 4096}, func(s *logstore.Store) { appendTo(t, s, "a-1", 5) })
	s := open(t, dir, &logstore.Options{SegmentSize: small})
	appendTo(t, s, "a-1", 100)
	assert.Equal(t, 1, s.Stats().Segments)
	assert.Len(t, readAll(t, s), 105)
}

func TestStats(t *testing.T) {
	t.Parallel()
	opts := &logstore.Options{SegmentSize: 4096}
	var want logstore.Stats
	dir := write(t, opts, func(s *logstore.Store) {
		assert.Equal(t, logstore.Stats{Segments: 1, Bytes: 64}, s.Stats())
		for range 100 {
			appendTo(t, s, "a-1", 1)
		}
		_, err := s.SetStreamMetadata(t.Context(), "a-1", eventstore.NoStream, eventstore.StreamMetadata{MaxCount: 3})
		require.NoError(t, err)
		want = s.Stats()
		assert.EqualValues(t, 101, want.Events)
		assert.EqualValues(t, 101, want.Head)
		assert.Equal(t, 2, want.Streams)
		assert.Greater(t, want.Segments, 1)
	})
	total := int64(0)
	for _, f := range segments(t, dir) {
		total += used(t, f)
	}
	assert.Equal(t, want.Bytes, total)
	got := open(t, dir, &logstore.Options{SegmentSize: small}).Stats()
	assert.Equal(t, want, got)
}

func TestOneStoreAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, nil)
	_, err := logstore.Open(dir, nil)
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	require.ErrorContains(t, err, dir)
	require.ErrorContains(t, err, "open already")
	require.NoError(t, s.Close())
	open(t, dir, nil)
}

func TestSomebodyElsesDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "thesis.txt"), []byte("mine"), 0o644))
	_, err := logstore.Open(dir, nil)
	require.ErrorIs(t, err, eventstore.ErrInvalid)
	require.ErrorContains(t, err, "thesis.txt")
	assert.NoFileExists(t, filepath.Join(dir, "lock"))
}

func TestDirectoryThatCannotBeMade(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err := logstore.Open(filepath.Join(file, "dir"), nil)
	require.ErrorContains(t, err, file)
}

// A file that shrinks under the mapping is a fault of the processor.
func TestFaultIsAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, &logstore.Options{SegmentSize: 1 << 20})
	appendTo(t, s, "a-1", 500)
	file := segments(t, dir)[0]
	require.NoError(t, os.Truncate(file, 8192))
	var got int
	var last error
	for _, err := range s.ReadAll(t.Context(), eventstore.ReadAllOptions{}) {
		if last = err; err == nil {
			got++
		}
	}
	require.ErrorIs(t, last, eventstore.ErrCorrupt)
	require.ErrorContains(t, last, file)
	assert.Less(t, got, 500)
	for _, err := range s.Read(t.Context(), "a-1", eventstore.ReadOptions{Backwards: true}) {
		require.ErrorIs(t, err, eventstore.ErrCorrupt)
	}
}

// What changes on the disk after Open is found when it is read.
func TestDamageIsFoundWhenRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, &logstore.Options{SegmentSize: small})
	appendTo(t, s, "a-1", 20)
	file := segments(t, dir)[0]
	patch(t, file, 64+400, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	var corrupt *eventstore.CorruptError
	for _, err := range s.ReadAll(t.Context(), eventstore.ReadAllOptions{Filter: eventstore.Filter{Types: []string{"nothing"}}}) {
		require.ErrorAs(t, err, &corrupt, "also in what the filter leaves out")
	}
	require.NotNil(t, corrupt)
	assert.Equal(t, file, corrupt.File)
	assert.Positive(t, corrupt.Offset)
}

func TestClosingUnderReaders(t *testing.T) {
	t.Parallel()
	for range 20 {
		s, err := logstore.Open(t.TempDir(), &logstore.Options{SegmentSize: small, Sync: logstore.SyncNever})
		require.NoError(t, err)
		appendTo(t, s, "a-1", 200)
		var wg sync.WaitGroup
		started := make(chan struct{}, 4)
		for range 4 {
			wg.Go(func() {
				for first := true; ; first = false {
					for _, err := range s.ReadAll(context.Background(), eventstore.ReadAllOptions{}) {
						if err != nil {
							assert.ErrorIs(t, err, eventstore.ErrClosed)
							return
						}
						if first {
							first = false
							started <- struct{}{}
						}
					}
				}
			})
		}
		<-started
		require.NoError(t, s.Close())
		wg.Wait()
	}
}

func TestSyncPolicies(t *testing.T) {
	t.Parallel()
	for policy, want := range map[logstore.SyncPolicy]int{logstore.SyncAlways: 10, logstore.SyncInterval: 0, logstore.SyncNever: 0} {
		syncs := 0
		opts := &logstore.Options{SegmentSize: small, Sync: policy, SyncEvery: 1 << 40}
		logstore.SetHooks(opts, nil, func(logstore.File) error { syncs++; return nil })
		s, err := logstore.Open(t.TempDir(), opts)
		require.NoError(t, err)
		for range 10 {
			appendTo(t, s, "a-1", 1)
		}
		assert.Equal(t, want, syncs)
		require.NoError(t, s.Close())
		assert.Equal(t, max(want, 1), syncs, "closing syncs")
	}
	syncs := 0
	opts := &logstore.Options{SegmentSize: small, Sync: logstore.SyncInterval, SyncEvery: 1}
	logstore.SetHooks(opts, nil, func(logstore.File) error { syncs++; return nil })
	appendTo(t, open(t, t.TempDir(), opts), "a-1", 1)
	assert.Equal(t, 1, syncs)
}
