package logstore_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

// A victim is a closed store of several segments, to be damaged.
type victim struct {
	files map[string][]byte
	all   []eventstore.Recorded
}

func newVictim(t testing.TB) *victim {
	t.Helper()
	r := newRig(t, tiny)
	require.NoError(t, r.script(45))
	require.NoError(t, r.open())
	v := &victim{files: make(map[string][]byte), all: checkIndex(t, r.s)}
	require.NoError(t, r.close())
	entries, err := os.ReadDir(r.dir)
	require.NoError(t, err)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(r.dir, e.Name()))
		require.NoError(t, err)
		v.files[e.Name()] = b
	}
	return v
}

// with makes a directory with the files, of which name is patched at an offset
// and cut behind another.
func (v *victim) with(t testing.TB, name string, patch []byte, off, size uint16) string {
	t.Helper()
	dir := t.TempDir()
	for n, b := range v.files {
		if n == name {
			b = append([]byte(nil), b...)
			if int(off) < len(b) {
				copy(b[off:], patch)
			}
			b = b[:min(len(b), int(size))]
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, n), b, 0o644))
	}
	return dir
}

// A store with a damaged segment opens with what was there before the damage,
// or not at all, or says that it is damaged when it is read. It never shows
// anything else.
func FuzzDamagedSegment(f *testing.F) {
	v := newVictim(f)
	f.Add(false, []byte{0xff}, uint16(100), uint16(4096))
	f.Add(true, []byte{0}, uint16(500), uint16(4096))
	f.Add(true, []byte{}, uint16(0), uint16(700))
	f.Add(false, []byte{}, uint16(0), uint16(700)) // shorter than its index says
	f.Add(false, []byte{}, uint16(0), uint16(0))
	f.Fuzz(func(t *testing.T, last bool, patch []byte, off, size uint16) {
		name := segmentsOf(v)[0]
		if last {
			name = segmentsOf(v)[len(segmentsOf(v))-1]
		}
		dir := v.with(t, name, patch, off, size)
		for _, readOnly := range []bool{true, false} {
			opts := tiny
			opts.ReadOnly = readOnly
			s, err := logstore.Open(dir, &opts)
			if err != nil {
				continue // how is for other tests
			}
			n := 0
			for r, err := range s.ReadAll(t.Context(), eventstore.ReadAllOptions{}) {
				if err != nil {
					require.ErrorIs(t, err, eventstore.ErrCorrupt)
					break
				}
				require.Less(t, n, len(v.all))
				require.Equal(t, v.all[n], r)
				n++
			}
			for _, name := range []string{"a-1", "b-1", "$$c"} {
				for r, err := range s.Read(t.Context(), name, eventstore.ReadOptions{}) {
					if err != nil {
						break
					}
					require.Equal(t, v.all[r.Position-1], r)
				}
			}
			_ = s.Close()
		}
	})
}

// A store with a damaged index file is as good as new, or says that it is
// damaged; it shows nothing wrong and leaves nothing out.
func FuzzDamagedIndexFile(f *testing.F) {
	v := newVictim(f)
	f.Add(false, []byte{0xff}, uint16(100), uint16(4096))
	f.Add(true, []byte{1, 2, 3}, uint16(48), uint16(4096))
	f.Add(true, []byte{}, uint16(0), uint16(100))
	f.Fuzz(func(t *testing.T, last bool, patch []byte, off, size uint16) {
		segments := segmentsOf(v)
		name := segments[0]
		if last {
			name = segments[len(segments)-1]
		}
		name = name[:len(name)-len(".log")] + ".idx"
		require.Contains(t, v.files, name)
		dir := v.with(t, name, patch, off, size)
		for range 2 {
			s, err := logstore.Open(dir, &tiny)
			require.NoError(t, err)
			require.Equal(t, v.all, checkIndex(t, s))
			require.NoError(t, s.Close())
		}
	})
}

// Whichever byte of an index file is wrong, it is made again.
func TestADamagedByteInAnIndexFile(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	for _, log := range segmentsOf(v)[:2] {
		name := log[:len(log)-len(".log")] + ".idx"
		was := v.files[name]
		require.NotEmpty(t, was)
		for off := rand.IntN(11); off < len(was); off += 11 {
			dir := v.with(t, name, []byte{was[off] ^ 1<<rand.IntN(8)}, uint16(off), math.MaxUint16)
			s, err := logstore.Open(dir, &tiny)
			require.NoError(t, err, "offset %d", off)
			sameEvents(t, v.all, checkIndex(t, s), fmt.Sprintf("offset %d", off))
			require.NoError(t, s.Close())
			again, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			require.True(t, bytes.Equal(was, again), "offset %d", off)
			require.NoError(t, os.RemoveAll(dir))
		}
	}
}

// segmentsOf returns the names of the segments in order.
func segmentsOf(v *victim) []string {
	return slices.Sorted(func(yield func(string) bool) {
		for name := range v.files {
			if filepath.Ext(name) == ".log" && !yield(name) {
				return
			}
		}
	})
}
