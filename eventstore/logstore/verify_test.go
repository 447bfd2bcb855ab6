package logstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

// threeSegments makes a closed store of three full segments and one that is
// not, and returns its directory.
func threeSegments(t *testing.T) string {
	t.Helper()
	now := func() time.Time { return time.Unix(1_800_000_000, 0) } // so that all have the same sizes
	dir := write(t, &logstore.Options{SegmentSize: small, Sync: logstore.SyncNever, Now: now}, func(s *logstore.Store) {
		for i := 0; s.Stats().Segments < 4; i++ {
			appendTo(t, s, fmt.Sprintf("order-%d", i%7), 10)
		}
		appendTo(t, s, "order-0", 20)
	})
	require.Len(t, segments(t, dir), 4)
	return dir
}

func verified(t *testing.T, dir string) logstore.VerifyReport {
	t.Helper()
	report, err := logstore.Verify(t.Context(), dir, nil)
	require.NoError(t, err)
	return report
}

func TestVerifyFindsNothingWrongWithWhatWasWritten(t *testing.T) {
	t.Parallel()
	dir := threeSegments(t)
	before := contents(t, dir)
	var last logstore.Progress
	report, err := logstore.Verify(t.Context(), dir, &logstore.VerifyOptions{Progress: func(p logstore.Progress) { last = p }})
	require.NoError(t, err)
	assert.Equal(t, before, contents(t, dir))
	assert.Positive(t, last.Done)
	assert.LessOrEqual(t, last.Done, last.Total)

	s, err := logstore.Open(dir, &logstore.Options{SegmentSize: small, Sync: logstore.SyncNever})
	require.NoError(t, err)
	stats := s.Stats()
	require.NoError(t, s.Close())
	assert.Equal(t, logstore.VerifyReport{
		Segments: 4, Indexes: 4, Streams: stats.Streams, Events: stats.Events, Bytes: report.Bytes, Head: stats.Head,
	}, report)
	assert.InDelta(t, stats.Bytes, report.Bytes+4*64, 1)

	s, err = logstore.Open(dir, &logstore.Options{SegmentSize: 4096}) // the last segment is long enough now
	require.NoError(t, err)
	require.NoError(t, s.Close())
	assert.Equal(t, 5, verified(t, dir).Indexes, "the last one is empty")
	empty := write(t, nil, func(*logstore.Store) {})
	assert.Zero(t, verified(t, empty).Events)
	_, err = logstore.Verify(t.Context(), t.TempDir(), nil)
	assert.ErrorIs(t, err, eventstore.ErrInvalid)
}

// contents returns all files of a directory.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		all[e.Name()] = string(b)
	}
	return all
}

// flip changes a byte of a file.
func flip(t *testing.T, file string, off int64) {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	patch(t, file, off, []byte{b[off] ^ 0x40})
}

func TestVerifyNamesEachDamage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		harm   func(t *testing.T, segs []string)
		file   int // of the segments, or of their indexes
		index  bool
		offset int64 // 0 for any
		want   string
		lost   uint64 // events, at most so many
	}{
		{"a bit of an event", func(t *testing.T, segs []string) { flip(t, segs[1], 64+40) }, 1, false, 64, "the checksum of a frame does not match; ", 1},
		{"the length of an event", func(t *testing.T, segs []string) { flip(t, segs[1], 64) }, 1, false, 64, " up to the event at position ", 2},
		{"the first byte of an event", func(t *testing.T, segs []string) { patch(t, segs[1], 64, []byte{0}) }, 1, false, 64, "zeros where an event was due; ", 1},
		{"a page of zeros", func(t *testing.T, segs []string) { patch(t, segs[1], 4096, make([]byte, 4096)) }, 1, false, 0, " up to the event at position ", 80},
		{"a page of noise", func(t *testing.T, segs []string) { patch(t, segs[1], 4096, slices.Repeat([]byte{0x81, 0x02, 7}, 1300)) }, 1, false, 0, " up to the event at position ", 80},
		{"the end of a segment", func(t *testing.T, segs []string) { patch(t, segs[1], 32<<10, make([]byte, 32<<10)) }, 1, false, 0, "; no event behind it can be read", 800},
		{"a segment that is too short", func(t *testing.T, segs []string) { require.NoError(t, os.Truncate(segs[1], 32<<10)) }, 1, false, 0, "less than a frame is left; no event behind it can be read", 800},
		{"the header of a segment", func(t *testing.T, segs []string) { flip(t, segs[1], 20) }, 1, false, 0, "the checksum of the segment header does not match; none of its events can be read", 2000},
		{"an empty segment", func(t *testing.T, segs []string) { require.NoError(t, os.Truncate(segs[1], 0)) }, 1, false, 0, "shorter than a segment header", 2000},
		{"a segment that is gone", func(t *testing.T, segs []string) { require.NoError(t, os.Remove(segs[1])) }, 0, false, 0, "and the next segment begins at", 2000},
		{"the middle of the last segment", func(t *testing.T, segs []string) { flip(t, segs[3], 64+40) }, 3, false, 64, "the checksum of a frame does not match; ", 1},
		{"an index", func(t *testing.T, segs []string) { flip(t, index(segs[1]), 300) }, 1, true, 0, "its checksum does not match; it is made again when the store is opened", 0},
		{"the header of an index", func(t *testing.T, segs []string) { flip(t, index(segs[1]), 60) }, 1, true, 0, "the checksum of its header does not match; it is made again", 0},
		{"a segment of another store", func(t *testing.T, segs []string) {
			other := segments(t, threeSegments(t))
			require.NoError(t, os.Rename(other[1], segs[1]))
			require.NoError(t, os.Rename(index(other[1]), index(segs[1])))
		}, 1, false, 16, "it belongs to another store than the first segment", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := threeSegments(t)
			whole := verified(t, dir).Events
			segs := segments(t, dir)
			c.harm(t, segs)
			harmed := contents(t, dir)
			report, err := logstore.Verify(t.Context(), dir, nil)
			require.ErrorIs(t, err, eventstore.ErrCorrupt)
			assert.Equal(t, harmed, contents(t, dir), "it changes nothing")
			require.NotEmpty(t, report.Damages)
			d := report.Damages[0]
			want := segs[c.file]
			if c.index {
				want = index(want)
			}
			assert.Equal(t, want, d.File)
			assert.Equal(t, c.index, d.Index)
			assert.Contains(t, d.Reason, c.want)
			if c.offset > 0 {
				assert.Equal(t, c.offset, d.Offset)
			}
			assert.GreaterOrEqual(t, report.Events, whole-min(c.lost, whole), "it goes on: %v", report.Damages)
			if c.lost > 0 {
				assert.Less(t, report.Events, whole)
			}
		})
	}
}

func index(segment string) string { return strings.TrimSuffix(segment, ".log") + ".idx" }

func TestVerifyListsAllDamages(t *testing.T) {
	t.Parallel()
	dir := threeSegments(t)
	segs := segments(t, dir)
	flip(t, segs[0], 1000)
	flip(t, segs[0], 9000)
	flip(t, segs[2], 1000)
	flip(t, index(segs[1]), 200)
	report, err := logstore.Verify(t.Context(), dir, nil)
	require.ErrorContains(t, err, "stored data is damaged: 4 times, the first: ")
	var files []string
	for _, d := range report.Damages {
		files = append(files, d.File)
	}
	assert.Equal(t, []string{segs[0], segs[0], index(segs[1]), segs[2]}, files)

	report, err = logstore.Verify(t.Context(), dir, &logstore.VerifyOptions{Limit: 1})
	require.ErrorContains(t, err, "stored data is damaged: 4 times, the first: ")
	assert.Len(t, report.Damages, 1)
	assert.Equal(t, 3, report.More)
}

// An index file can have the right checksums and say the wrong thing.
func TestVerifyComparesAnIndexWithItsSegment(t *testing.T) {
	t.Parallel()
	dir := threeSegments(t)
	idx := index(segments(t, dir)[1])
	logstore.Forge(t, idx)
	report, err := logstore.Verify(t.Context(), dir, nil)
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	require.Len(t, report.Damages, 1)
	assert.Equal(t, idx, report.Damages[0].File)
	assert.Contains(t, report.Damages[0].Reason, "it is not what its segment says")
}

// A clean close says where the data ended: nothing can be missing unnoticed.
func TestVerifyMissesTheEndOfAClosedStore(t *testing.T) {
	t.Parallel()
	var end int64
	dir := write(t, &logstore.Options{SegmentSize: small}, func(s *logstore.Store) {
		appendTo(t, s, "a-1", 2)
		end = used(t, segments(t, s.Dir())[0])
		appendTo(t, s, "a-1", 1)
	})
	file := segments(t, dir)[0]
	patch(t, file, end, make([]byte, 1000))
	report, err := logstore.Verify(t.Context(), dir, nil)
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	require.Len(t, report.Damages, 1)
	assert.Equal(t, file, report.Damages[0].File)
	assert.Equal(t, end, report.Damages[0].Offset)
	assert.Contains(t, report.Damages[0].Reason, "the data ends here, and the store was closed with data up to offset")
}

func TestWhatACrashTearsIsNoDamage(t *testing.T) {
	t.Parallel()
	dir := threeSegments(t)
	last := segments(t, dir)[3]
	require.NoError(t, os.Remove(index(last))) // it was not closed
	end := used(t, last)
	whole := verified(t, dir)
	patch(t, last, end, []byte{0x90, 1, 2, 3, 4, 5, 6})
	torn := verified(t, dir)
	assert.EqualValues(t, 7, torn.Unfinished)
	torn.Unfinished = 0
	assert.Equal(t, whole, torn)
}

// A crash in the middle of a scavenge leaves an index of an earlier generation.
func TestAStaleIndexIsNoDamage(t *testing.T) {
	t.Parallel()
	dir := threeSegments(t)
	segs := segments(t, dir)
	require.NoError(t, os.Rename(index(segs[2]), index(segs[1])))
	report := verified(t, dir)
	assert.Equal(t, 1, report.Stale)
	assert.Equal(t, 2, report.Indexes)
}

func TestACancelledVerifyEnds(t *testing.T) {
	t.Parallel()
	dir := threeSegments(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := logstore.Verify(ctx, dir, &logstore.VerifyOptions{Progress: func(logstore.Progress) { cancel() }})
	require.ErrorIs(t, err, context.Canceled)
}

func TestVerifyBesideWritersAndScavenges(t *testing.T) {
	t.Parallel()
	s := opened(t, &logstore.Options{SegmentSize: small, Sync: logstore.SyncNever})
	ctx, cancel := context.WithCancel(t.Context())
	var writers, scavenger sync.WaitGroup
	for i := range 3 {
		writers.Go(func() {
			for n := range 1000 {
				stream := fmt.Sprintf("order-%d-%d", i, n%50)
				_, err := s.Append(t.Context(), stream, eventstore.Any, events(3)...)
				if !assert.NoError(t, err) {
					return
				}
				if n%20 == 0 {
					_, err := s.SetStreamMetadata(t.Context(), stream, eventstore.Any, eventstore.StreamMetadata{MaxCount: uint64(n%5) + 1})
					assert.NoError(t, err)
				}
			}
		})
	}
	scavenger.Go(func() {
		for ctx.Err() == nil {
			_, err := s.Scavenge(t.Context(), &logstore.ScavengeOptions{All: true})
			if !assert.NoError(t, err) {
				return
			}
		}
	})
	done := make(chan struct{})
	go func() {
		writers.Wait()
		close(done)
	}()
	for writing := true; writing && !t.Failed(); {
		select {
		case <-done:
			writing = false
		default:
		}
		report, err := logstore.Verify(t.Context(), s.Dir(), nil)
		assert.NoError(t, err, report.Damages)
	}
	cancel()
	writers.Wait()
	scavenger.Wait()
	_, err := s.Scavenge(t.Context(), &logstore.ScavengeOptions{All: true})
	require.NoError(t, err)
	report := verified(t, s.Dir())
	assert.Equal(t, s.Stats().Head, report.Head)
	assert.Equal(t, s.Stats().Events, report.Events)
	assert.Positive(t, report.Removed)
}

// Whatever happens to the bytes of a store, Verify either names it, or the
// store says what it said before.
func FuzzVerify(f *testing.F) {
	f.Add([]byte{1, 0, 10, 0xff})
	f.Add([]byte{3, 1, 0, 1, 0, 0, 70, 2})
	want, err := os.ReadFile(tagged + ".jsonl")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, changes []byte) {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS(tagged)))
		files, err := filepath.Glob(filepath.Join(dir, "0*"))
		require.NoError(t, err)
		for ; len(changes) >= 4; changes = changes[4:] { // of a file, an offset and what to add
			b, err := os.ReadFile(files[int(changes[0])%len(files)])
			require.NoError(t, err)
			b[(int(changes[1])<<8|int(changes[2]))%len(b)] += changes[3]
			require.NoError(t, os.WriteFile(files[int(changes[0])%len(files)], b, 0o600))
		}
		if _, err := logstore.Verify(t.Context(), dir, nil); err != nil {
			return
		}
		s, err := logstore.Open(dir, &logstore.Options{ReadOnly: true})
		require.NoError(t, err)
		defer func() { require.NoError(t, s.Close()) }()
		require.Equal(t, string(want), exported(t, s, nil))
	})
}
