package logstore_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/disk"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// page is a segment size that has segments end quickly.
const page = 4096

// twin appends the same to a log store of small segments and to a memory store.
type twin struct {
	log *logstore.Store
	mem *memstore.Store
}

func newTwin(t *testing.T, dir string, opts logstore.Options) twin {
	t.Helper()
	opts.SegmentSize, opts.Sync = page, logstore.SyncNever
	w := twin{open(t, dir, &opts), memstore.New(nil)}
	for i := range 600 {
		stream := fmt.Sprintf("%s-%d", []string{"cart", "order", "stock"}[i%3], i%17)
		e := event(i)
		e.Type = fmt.Sprint("type", i/200) // the kinds come one after the other
		w.append(t, stream, e)
		switch {
		case i%97 == 96:
			_, err := w.log.SetStreamMetadata(t.Context(), stream, eventstore.Any, eventstore.StreamMetadata{MaxCount: uint64(1 + i%5)})
			require.NoError(t, err)
			_, err = w.mem.SetStreamMetadata(t.Context(), stream, eventstore.Any, eventstore.StreamMetadata{MaxCount: uint64(1 + i%5)})
			require.NoError(t, err)
		case i == 300:
			w.both(t, func(s eventstore.Store) (eventstore.Receipt, error) {
				return s.Tombstone(t.Context(), "gone-1", eventstore.NoStream)
			})
		case i == 301:
			w.both(t, func(s eventstore.Store) (eventstore.Receipt, error) {
				return s.Delete(t.Context(), stream, eventstore.StreamExists)
			})
		}
	}
	return w
}

func (w twin) both(t *testing.T, do func(s eventstore.Store) (eventstore.Receipt, error)) {
	t.Helper()
	want, err := do(w.mem)
	require.NoError(t, err)
	got, err := do(w.log)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func (w twin) append(t *testing.T, stream string, es ...eventstore.Event) {
	t.Helper()
	w.both(t, func(s eventstore.Store) (eventstore.Receipt, error) {
		return s.Append(t.Context(), stream, eventstore.Any, es...)
	})
}

// line is what must be the same in both stores.
func line(r eventstore.Recorded) string {
	id := r.ID.String()
	if strings.HasPrefix(r.Type, "$") {
		id = "made by the store"
	}
	return fmt.Sprint(r.Stream, r.Version, r.Position, id, r.Type, r.ContentType, string(r.Data))
}

func lines(s eventstore.Store, t *testing.T, opts eventstore.ReadAllOptions) []string {
	t.Helper()
	var all []string
	for r, err := range s.ReadAll(t.Context(), opts) {
		require.NoError(t, err)
		all = append(all, line(r))
	}
	return all
}

func (w twin) same(t *testing.T) {
	t.Helper()
	for _, f := range []eventstore.Filter{
		{},
		{Types: []string{"type1"}},
		{Types: []string{"no such type"}},
		{Categories: []string{"stock"}, TypePrefixes: []string{"type2"}},
		{StreamPrefixes: []string{"order-1"}},
		{ExcludeSystem: true},
	} {
		for _, backwards := range []bool{false, true} {
			for _, limit := range []int{0, 7} {
				for _, from := range []eventstore.Position{0, 65, 555} {
					opts := eventstore.ReadAllOptions{Filter: f, Backwards: backwards, Limit: limit, From: from}
					want := lines(w.mem, t, opts)
					require.Equal(t, want, lines(w.log, t, opts), "%+v", opts)
					if backwards {
						continue
					}
					var scanned []string
					require.NoError(t, w.log.Scan(t.Context(), opts, func(e *eventstore.Recorded) error {
						scanned = append(scanned, strings.Clone(line(*e)))
						return nil
					}))
					require.Equal(t, want, scanned, "%+v", opts)
				}
			}
		}
	}
	for i := 0; i < 20; i += 3 {
		for _, category := range []string{"cart", "order", "stock", "$$cart", "$$order", "$$stock", "gone", "none"} {
			stream := fmt.Sprintf("%s-%d", category, i)
			for _, opts := range []eventstore.ReadOptions{{}, {Backwards: true}, {Limit: 3}, {Backwards: true, Limit: 2}, {From: 5}, {From: 9, Backwards: true, Limit: 4}} {
				want, wantErr := streamLines(w.mem, t, stream, opts)
				got, err := streamLines(w.log, t, stream, opts)
				require.Equal(t, want, got, "%s %+v", stream, opts)
				require.Equal(t, wantErr, err)
			}
			if strings.HasPrefix(category, "$") {
				continue
			}
			wantMeta, wantVersion, wantErr := w.mem.StreamMetadata(t.Context(), stream)
			meta, version, err := w.log.StreamMetadata(t.Context(), stream)
			require.Equal(t, []any{wantMeta, wantVersion, wantErr}, []any{meta, version, err})
		}
	}
}

func streamLines(s eventstore.Store, t *testing.T, stream string, opts eventstore.ReadOptions) (all []string, err error) {
	t.Helper()
	for r, err := range s.Read(t.Context(), stream, opts) {
		if err != nil {
			return all, err
		}
		all = append(all, line(r))
	}
	return all, nil
}

// Whatever is in memory, in an index file or forgotten, the store is the same.
func TestSealedSegmentsReadAsMemoryDoes(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]logstore.Options{"Default": {}, "ForgetsStreams": {StreamCache: 4}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			w := newTwin(t, dir, opts)
			w.same(t)
			w.log.Sealed()
			require.Greater(t, w.log.Stats().Segments, 8)
			w.same(t)
			reopen := func(leave func() error) {
				require.NoError(t, leave())
				opts.SegmentSize = page
				w.log = open(t, dir, &opts)
				w.same(t)
				w.append(t, "cart-3", event(1), event(2))
				w.append(t, "new-1", event(3))
				w.same(t)
			}
			reopen(w.log.Close)
			reopen(w.log.Abandon)
			for _, f := range indexes(t, dir) {
				require.NoError(t, os.Remove(f))
			}
			reopen(w.log.Abandon)
			assert.Len(t, indexes(t, dir), len(segments(t, dir))-1)
			stats := w.log.Stats()
			require.NoError(t, w.log.Close())
			w.log = open(t, dir, &logstore.Options{ReadOnly: true})
			w.same(t)
			assert.Equal(t, stats, w.log.Stats())
		})
	}
}

func indexes(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	for _, f := range segments(t, dir) {
		f = strings.TrimSuffix(f, ".log") + ".idx"
		if _, err := os.Stat(f); err == nil {
			names = append(names, f)
		}
	}
	return names
}

// An index file that is not that of its segment is made again.
func TestDamagedIndexFilesAreMadeAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newTwin(t, dir, logstore.Options{})
	require.NoError(t, w.log.Close())
	files := indexes(t, dir)
	require.Greater(t, len(files), 5)
	other, err := os.ReadFile(files[4])
	require.NoError(t, err)
	for i, damage := range []func(b []byte) []byte{
		func(b []byte) []byte { b[200] ^= 1; return b },
		func(b []byte) []byte { b[70] ^= 1; return b },
		func(b []byte) []byte { return b[:100] },
		func([]byte) []byte { return nil },
		func([]byte) []byte { return other },
	} {
		whole, err := os.ReadFile(files[i])
		require.NoError(t, err)
		damaged := damage(slices.Clone(whole))
		require.NoError(t, os.WriteFile(files[i], damaged, 0o644))
		w.log = open(t, dir, &logstore.Options{SegmentSize: page, ReadOnly: true})
		assert.Len(t, readAll(t, w.log), int(w.log.Stats().Events))
		require.NoError(t, w.log.Close())
		after, err := os.ReadFile(files[i])
		require.NoError(t, err)
		require.Len(t, after, len(damaged), "ReadOnly changes nothing")
		w.log = open(t, dir, &logstore.Options{SegmentSize: page})
		w.same(t)
		require.NoError(t, w.log.Close())
		after, err = os.ReadFile(files[i])
		require.NoError(t, err)
		require.Len(t, after, len(whole))
	}
}

// A filter by type does not touch blocks without that type.
func TestFiltersSkipWhatTheyDoNotWant(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, &logstore.Options{SegmentSize: page, Sync: logstore.SyncNever})
	for i := range 300 {
		e := event(i)
		if i == 290 {
			e.Type = "rare"
		}
		_, err := s.Append(t.Context(), "a-1", eventstore.Any, e)
		require.NoError(t, err)
	}
	s.Sealed()
	file := segments(t, dir)[0]
	patch(t, file, 500, []byte("damage"))
	var got []eventstore.Position
	for r, err := range s.ReadAll(t.Context(), eventstore.ReadAllOptions{Filter: eventstore.Filter{Types: []string{"rare"}}}) {
		require.NoError(t, err)
		got = append(got, r.Position)
	}
	assert.Equal(t, []eventstore.Position{291}, got)
	_, err := tryAll(s)
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
}

func TestScanStopsWhenTold(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	appendTo(t, s, "a-1", 10)
	enough, n := errors.New("enough"), 0
	err := s.Scan(t.Context(), eventstore.ReadAllOptions{}, func(*eventstore.Recorded) error {
		if n++; n == 3 {
			return enough
		}
		return nil
	})
	require.ErrorIs(t, err, enough)
	assert.Equal(t, 3, n)
	require.PanicsWithValue(t, "mine", func() {
		_ = s.Scan(t.Context(), eventstore.ReadAllOptions{}, func(*eventstore.Recorded) error { panic("mine") })
	})
	require.ErrorIs(t, s.Scan(t.Context(), eventstore.ReadAllOptions{Backwards: true}, nil), eventstore.ErrInvalid)
	require.NoError(t, s.Scan(t.Context(), eventstore.ReadAllOptions{From: 11}, nil))
}

// A reader beside a writer sees what was there when it came, and writes nothing.
func TestReadOnlyBesideAWriter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := logstore.Open(dir, &logstore.Options{ReadOnly: true})
	require.ErrorIs(t, err, eventstore.ErrInvalid)
	w := open(t, dir, &logstore.Options{SegmentSize: page})
	for n := range 200 {
		appendTo(t, w, "a-1", 1)
		if n%40 != 0 {
			continue
		}
		r, err := logstore.Open(dir, &logstore.Options{ReadOnly: true, SegmentSize: page})
		require.NoError(t, err)
		assert.Len(t, readAll(t, r), n+1)
		_, err = r.Append(t.Context(), "a-1", eventstore.Any, event(1))
		require.ErrorIs(t, err, eventstore.ErrUnavailable)
		require.ErrorContains(t, err, "ReadOnly")
		require.NoError(t, r.Close())
	}
	assert.Len(t, readAll(t, w), 200)
}

// noIndex is a file system on which index files cannot be written.
type noIndex struct {
	disk.OS
	broken atomic.Bool
}

func (n *noIndex) Open(path string, flag int, perm fs.FileMode) (disk.File, error) {
	if n.broken.Load() && strings.HasSuffix(path, ".idx.tmp") {
		return nil, errDisk
	}
	return n.OS.Open(path, flag, perm)
}

// Without its index file a segment is as good, and the file comes later.
func TestAnIndexFileThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	fsys := new(noIndex)
	fsys.broken.Store(true)
	dir := t.TempDir()
	w := newTwin(t, dir, logstore.WithFS(logstore.Options{}, fsys))
	w.log.Sealed()
	w.same(t)
	assert.Empty(t, indexes(t, dir))
	fsys.broken.Store(false)
	for i := range 200 { // until the next segment ends
		w.append(t, "cart-1", event(i))
	}
	w.log.Sealed()
	w.same(t)
	assert.Greater(t, len(indexes(t, dir)), 8)
}
