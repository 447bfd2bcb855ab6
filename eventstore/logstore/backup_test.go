package logstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/simdisk"
)

func TestABackupIsTheStore(t *testing.T) {
	t.Parallel()
	for _, copied := range []bool{false, true} {
		s := opened(t, &logstore.Options{SegmentSize: small, Sync: logstore.SyncNever})
		fill(t, s)
		seal(t, s)
		seal(t, s)
		s.Sealed()
		want, stats := readAll(t, s), s.Stats()
		dir := filepath.Join(t.TempDir(), "new", "backup")
		var last logstore.Progress
		report, err := s.Backup(t.Context(), dir, &logstore.BackupOptions{Copy: copied, Progress: func(p logstore.Progress) { last = p }})
		require.NoError(t, err)
		expected := logstore.BackupReport{Events: stats.Events, Head: stats.Head, Bytes: stats.Bytes, Linked: stats.Segments - 1, Copied: 1}
		if copied {
			expected.Linked, expected.Copied = 0, stats.Segments
		}
		assert.Equal(t, expected, report)
		assert.Equal(t, logstore.Progress{Done: stats.Bytes, Total: stats.Bytes}, last)
		assert.Equal(t, stats.Segments-1, verified(t, dir).Indexes)

		// What happens to the store afterwards is nothing to the backup.
		seal(t, s)
		_, err = s.Delete(t.Context(), "filler-1", eventstore.Any)
		require.NoError(t, err)
		require.Positive(t, scavenged(t, s, all).Rewritten)

		back := open(t, dir, &logstore.Options{SegmentSize: small, Sync: logstore.SyncNever})
		assert.Equal(t, want, readAll(t, back))
		assert.Equal(t, stats, back.Stats())
		assert.Equal(t, stats.Head+1, appendTo(t, back, "filler-1", 1).Position)
		verified(t, s.Dir())
		verified(t, dir)
	}
}

func TestABackupHasEverythingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	s := opened(t, &logstore.Options{SegmentSize: small, Sync: logstore.SyncNever})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	acknowledged := eventstore.Position(0)
	for i := range 4 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				r, err := s.Append(t.Context(), fmt.Sprintf("order-%d-%d", i, n%20), eventstore.Any, events(3)...)
				if !assert.NoError(t, err) {
					return
				}
				mu.Lock()
				acknowledged = max(acknowledged, r.Position)
				mu.Unlock()
				if n%50 == 0 {
					_, err := s.SetStreamMetadata(t.Context(), fmt.Sprintf("order-%d-%d", i, n%20), eventstore.Any, eventstore.StreamMetadata{MaxCount: 2})
					assert.NoError(t, err)
				}
			}
		})
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			_, err := s.Scavenge(t.Context(), all)
			assert.NoError(t, err)
		}
	})
	linked := 0
	for i := 0; i < 8 || linked < 10; i++ {
		dir := filepath.Join(t.TempDir(), "backup")
		mu.Lock()
		want := acknowledged
		mu.Unlock()
		report, err := s.Backup(t.Context(), dir, nil)
		require.NoError(t, err)
		linked += report.Linked
		assert.GreaterOrEqual(t, report.Head, want)
		found, err := logstore.Verify(t.Context(), dir, nil)
		require.NoError(t, err, found.Damages)
		assert.Equal(t, report.Head, found.Head)
		assert.Equal(t, report.Events, found.Events)
		assert.Zero(t, found.Unfinished)
		var said bytes.Buffer
		back, err := logstore.Open(dir, &logstore.Options{SegmentSize: small, Logger: slog.New(slog.NewTextHandler(&said, nil))})
		require.NoError(t, err)
		assert.NotContains(t, said.String(), "cutting")
		assert.Equal(t, report.Head, back.Stats().Head)
		require.NoError(t, back.Close())
	}
	cancel()
	wg.Wait()
}

// Another process can back up a store that is being written to.
func TestABackupBesideAWriter(t *testing.T) {
	t.Parallel()
	s := opened(t, &logstore.Options{SegmentSize: small, Sync: logstore.SyncNever})
	for range 100 {
		appendTo(t, s, "a-1", 20)
	}
	want := readAll(t, s)
	beside, err := logstore.Open(s.Dir(), &logstore.Options{ReadOnly: true})
	require.NoError(t, err)
	appendTo(t, s, "a-1", 5)
	_, err = s.SetStreamMetadata(t.Context(), "a-1", eventstore.Any, eventstore.StreamMetadata{MaxCount: 1})
	require.NoError(t, err)
	require.Equal(t, beside.Stats().Segments-1, scavenged(t, s, all).Rewritten)
	dir := filepath.Join(t.TempDir(), "backup")
	report, err := beside.Backup(t.Context(), dir, nil)
	require.NoError(t, err)
	assert.Zero(t, report.Linked, "another file has taken its place")
	require.NoError(t, beside.Close())
	assert.Equal(t, want, readAll(t, open(t, dir, nil)))
}

func TestABackupTouchesNothingThatIsThere(t *testing.T) {
	t.Parallel()
	s := opened(t, &logstore.Options{SegmentSize: small, Sync: logstore.SyncNever})
	appendTo(t, s, "a-1", 5)
	other := write(t, &logstore.Options{SegmentSize: small, Sync: logstore.SyncNever}, func(s *logstore.Store) { appendTo(t, s, "a-1", 3) })
	before := contents(t, other)
	_, err := s.Backup(t.Context(), other, nil)
	require.ErrorIs(t, err, eventstore.ErrInvalid)
	assert.Equal(t, before, contents(t, other))
	_, err = s.Backup(t.Context(), s.Dir(), nil)
	require.ErrorIs(t, err, eventstore.ErrInvalid)

	require.NoError(t, s.Close())
	_, err = s.Backup(t.Context(), filepath.Join(t.TempDir(), "new"), nil)
	require.ErrorIs(t, err, eventstore.ErrClosed)
}

// Whatever goes wrong, there is a whole backup or none.
func TestABackupOrAnImportThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	s := opened(t, &logstore.Options{SegmentSize: 4096})
	appendTo(t, s, "a-1", 100)
	seal(t, s)
	s.Sealed()
	lines := exported(t, s, nil)
	for name, do := range map[string]func(ctx context.Context, dir string, d *simdisk.Disk) error{
		"backup": func(ctx context.Context, dir string, d *simdisk.Disk) error {
			_, err := s.Backup(ctx, dir, logstore.BackupWithFS(logstore.BackupOptions{Copy: true}, d))
			return err
		},
		"import": func(ctx context.Context, dir string, d *simdisk.Disk) error {
			_, err := logstore.Import(ctx, dir, bytes.NewBufferString(lines), logstore.ImportWithFS(logstore.ImportOptions{SegmentSize: 4096}, d))
			return err
		},
	} {
		for _, kind := range []simdisk.Kind{simdisk.Create, simdisk.Write, simdisk.Sync, simdisk.Rename, simdisk.SyncDir} {
			t.Run(name+" "+kind.String(), func(t *testing.T) {
				t.Parallel()
				for after := 0; ; after++ {
					root := t.TempDir()
					disk, err := simdisk.New(root)
					require.NoError(t, err)
					disk.Inject(simdisk.Fault{Kind: kind, After: after, Times: 1})
					err = do(t.Context(), filepath.Join(root, "new"), disk)
					hit := disk.Hits() > 0
					require.Equal(t, hit, err != nil)
					if !hit {
						assert.Positive(t, after)
						verified(t, filepath.Join(root, "new"))
						return
					}
					entries, err := os.ReadDir(root)
					require.NoError(t, err)
					assert.Empty(t, entries, "%v %d", kind, after)
				}
			})
		}
		t.Run(name+" crash", func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			disk, err := simdisk.New(root)
			require.NoError(t, err)
			require.NoError(t, do(t.Context(), filepath.Join(root, "new"), disk))
			whole := 0
			for replay := disk.Replay(); replay.Next(); {
				for _, loss := range []simdisk.Loss{simdisk.Nothing(), simdisk.Everything()} {
					dir := filepath.Join(t.TempDir(), "crash")
					require.NoError(t, replay.Crash(dir, loss))
					back, err := logstore.Open(filepath.Join(dir, "new"), nil)
					if err != nil {
						require.ErrorIs(t, err, eventstore.ErrCorrupt, "its first segment is missing")
						continue
					}
					if n := back.Stats().Events; n > 0 {
						assert.Equal(t, lines, exported(t, back, nil))
						whole++
					}
					require.NoError(t, back.Close())
				}
			}
			assert.Positive(t, whole)
		})
	}
}

func TestACancelledBackupLeavesNothing(t *testing.T) {
	t.Parallel()
	s := opened(t, &logstore.Options{SegmentSize: small, Sync: logstore.SyncNever})
	for range 3 {
		seal(t, s)
	}
	s.Sealed()
	ctx, cancel := context.WithCancelCause(t.Context())
	dir := filepath.Join(t.TempDir(), "backup")
	_, err := s.Backup(ctx, dir, &logstore.BackupOptions{Progress: func(logstore.Progress) { cancel(errors.New("enough")) }})
	require.ErrorIs(t, err, context.Canceled)
	assert.NoDirExists(t, dir)
}
