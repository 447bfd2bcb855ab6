package logstore_test

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

// tear is a store with acknowledged appends and one last group of three events
// to damage, which lies between from and to in the only segment.
type tear struct {
	dir      string
	file     string
	from, to int64
	whole    []byte
	acked    []eventstore.Recorded // before the last group
}

func newTear(t *testing.T, stream string) *tear {
	t.Helper()
	x := new(tear)
	x.dir = leave(t, &logstore.Options{SegmentSize: small}, func(s *logstore.Store) {
		for range 4 {
			appendTo(t, s, stream, 2)
			appendTo(t, s, "b-1", 1)
		}
		x.acked = readAll(t, s)
		x.file = segments(t, s.Dir())[0]
		x.from = used(t, x.file)
		appendTo(t, s, stream, 3)
		x.to = used(t, x.file)
	})
	var err error
	x.whole, err = os.ReadFile(x.file)
	require.NoError(t, err)
	return x
}

// check opens the damaged store: every acknowledged group is there, the last
// one whole or not at all, appends continue and survive another opening.
func (x *tear) check(t *testing.T, damaged []byte, mayBeWhole bool) {
	t.Helper()
	require.NoError(t, os.WriteFile(x.file, damaged, 0o644))
	opts := &logstore.Options{SegmentSize: small}
	s, err := logstore.Open(x.dir, opts)
	require.NoError(t, err)
	got := readAll(t, s)
	if !mayBeWhole || len(got) != len(x.acked)+3 {
		require.Equal(t, x.acked, got)
	}
	r := appendTo(t, s, "a-1", 1)
	require.EqualValues(t, len(got)+1, r.Position)
	require.NoError(t, s.Close())
	s, err = logstore.Open(x.dir, opts)
	require.NoError(t, err)
	require.Len(t, readAll(t, s), len(got)+1)
	require.NoError(t, s.Abandon()) // a clean close would say where the data ends
}

func TestTornTailAtEveryByte(t *testing.T) {
	t.Parallel()
	x := newTear(t, "a-1")
	for at := x.from; at < x.to; at++ {
		cut := bytes.Clone(x.whole)
		clear(cut[at:x.to])
		x.check(t, cut, false)
		if at%7 == 0 { // a file that ends there
			x.check(t, bytes.Clone(x.whole[:at]), false)
		}
	}
}

func TestGarbageAtTheEnd(t *testing.T) {
	t.Parallel()
	x := newTear(t, "a-1")
	rnd := rand.New(rand.NewPCG(3, 4))
	noise := func(b []byte) {
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
	}
	for range 40 {
		garbled := bytes.Clone(x.whole)
		at := x.from + rnd.Int64N(x.to-x.from)
		noise(garbled[at:min(at+1+rnd.Int64N(64), x.to)])
		x.check(t, garbled, false)

		behind := bytes.Clone(x.whole)
		noise(behind[x.to : x.to+1+rnd.Int64N(5000)])
		x.check(t, behind, true)

		flipped := bytes.Clone(x.whole)
		flipped[at] ^= 1 << rnd.IntN(8)
		x.check(t, flipped, false)
	}
}

// A group that is larger than a page may lose any of its pages.
func TestLostPagesOfTheLastWrite(t *testing.T) {
	t.Parallel()
	const page = 4096
	dir := leave(t, &logstore.Options{SegmentSize: 1 << 20}, func(s *logstore.Store) {
		appendTo(t, s, "a-1", 3)
		appendTo(t, s, "a-1", 400)
	})
	file := segments(t, dir)[0]
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	end := used(t, file)
	for p := int64(page); p < end; p += page {
		lost := bytes.Clone(whole)
		clear(lost[p:min(p+page, end)])
		require.NoError(t, os.WriteFile(file, lost, 0o644))
		s, err := logstore.Open(dir, nil)
		require.NoError(t, err)
		assert.Len(t, readAll(t, s), 3)
		require.NoError(t, s.Abandon())
	}
}

// Cutting must leave nothing that a later frame could make valid again.
func TestWhatWasCutStaysGone(t *testing.T) {
	t.Parallel()
	x := newTear(t, "a-1")
	torn := bytes.Clone(x.whole)
	torn[x.from+70] ^= 1 // in the first of the three frames
	require.NoError(t, os.WriteFile(x.file, torn, 0o644))
	s := open(t, x.dir, &logstore.Options{SegmentSize: small})
	require.Equal(t, x.acked, readAll(t, s))
	b, err := os.ReadFile(x.file)
	require.NoError(t, err)
	assert.Len(t, b, small)
	assert.Empty(t, bytes.Trim(b[x.from:], "\x00"))
}

func TestCutIsLogged(t *testing.T) {
	t.Parallel()
	x := newTear(t, "a-1")
	torn := bytes.Clone(x.whole)
	clear(torn[x.to-30 : x.to])
	require.NoError(t, os.WriteFile(x.file, torn, 0o644))
	var log strings.Builder
	open(t, x.dir, &logstore.Options{SegmentSize: small, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	assert.Contains(t, log.String(), "level=WARN")
	assert.Contains(t, log.String(), "position=13")
	assert.Regexp(t, `bytes=\d+`, log.String())
}

func TestDamagedMiddleIsReportedAndLeftAlone(t *testing.T) {
	t.Parallel()
	x := newTear(t, "a-1")
	for _, off := range []int64{64, 64 + 2, 64 + 100, x.from - 20} {
		damaged := bytes.Clone(x.whole)
		damaged[off] ^= 0x10
		refuses(t, x.dir, x.file, damaged)
	}
	zeroed := bytes.Clone(x.whole)
	clear(zeroed[64:200])
	refuses(t, x.dir, x.file, zeroed)
}

func refuses(t *testing.T, dir, file string, damaged []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, damaged, 0o644))
	_, err := logstore.Open(dir, nil)
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	var corrupt *eventstore.CorruptError
	require.ErrorAs(t, err, &corrupt)
	assert.Equal(t, file, corrupt.File)
	after, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(damaged, after), "the file must not change")
}

// After a clean close nothing can be missing, not even at the very end.
func TestDamageAfterACleanCloseIsReported(t *testing.T) {
	t.Parallel()
	dir := write(t, &logstore.Options{SegmentSize: small}, func(s *logstore.Store) { appendTo(t, s, "a-1", 5) })
	file := segments(t, dir)[0]
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	end := used(t, file)
	for name, change := range map[string]func(b []byte){
		"first": func(b []byte) { b[70] ^= 1 },
		"last":  func(b []byte) { b[end-1] ^= 1 },
		"gone":  func(b []byte) { clear(b[end-100:]) },
		"all":   func(b []byte) { clear(b[64:]) },
		"more":  func(b []byte) { b[end+100] = 1 },
	} {
		damaged := bytes.Clone(whole)
		change(damaged)
		refuses(t, dir, file, damaged)
		assert.FileExists(t, strings.TrimSuffix(file, ".log")+".idx", name)
	}
	require.NoError(t, os.WriteFile(file, whole, 0o644))
	assert.Len(t, readAll(t, open(t, dir, nil)), 5)
}

func TestDamagedSealedSegmentIsReported(t *testing.T) {
	t.Parallel()
	dir := write(t, &logstore.Options{SegmentSize: 4096}, func(s *logstore.Store) {
		for range 150 {
			appendTo(t, s, "a-1", 2)
		}
	})
	files := segments(t, dir)
	require.Greater(t, len(files), 2)
	first, err := os.ReadFile(files[0])
	require.NoError(t, err)
	end := used(t, files[0])
	index := strings.TrimSuffix(files[0], ".log") + ".idx"
	for name, change := range map[string]func(b []byte){
		"frame": func(b []byte) { b[300] ^= 1 },
		"tail":  func(b []byte) { clear(b[end-40 : end]) },
		"group": func(b []byte) { clear(b[end-200:]) },
	} {
		damaged := bytes.Clone(first)
		change(damaged)
		require.NoError(t, os.WriteFile(files[0], damaged, 0o644))
		s, err := logstore.Open(dir, &logstore.Options{ReadOnly: true})
		require.NoError(t, err, "its index need not be made")
		_, err = tryAll(s)
		require.ErrorIs(t, err, eventstore.ErrCorrupt, name)
		require.NoError(t, s.Close())
		require.NoError(t, os.Rename(index, index+".away"))
		_, err = logstore.Open(dir, nil)
		require.ErrorIs(t, err, eventstore.ErrCorrupt, name)
		require.NoError(t, os.Rename(index+".away", index))
	}
	for name, change := range map[string]func(b []byte){
		"header": func(b []byte) { b[33] ^= 1 },
		"magic":  func(b []byte) { b[0] = 'x' },
	} {
		damaged := bytes.Clone(first)
		change(damaged)
		require.NoError(t, os.WriteFile(files[0], damaged, 0o644))
		_, err := logstore.Open(dir, nil)
		require.ErrorIs(t, err, eventstore.ErrCorrupt, name)
	}
	require.NoError(t, os.WriteFile(files[0], first, 0o644))
	require.NoError(t, os.Rename(files[1], files[1]+".away"))
	_, err = logstore.Open(dir, &logstore.Options{ReadOnly: true})
	require.ErrorIs(t, err, eventstore.ErrCorrupt, "a segment is missing")
	require.NoError(t, os.Rename(files[1]+".away", files[1]))
	assert.Len(t, readAll(t, open(t, dir, nil)), 300)
}

func tryAll(s eventstore.Store) (n int, err error) {
	for _, err := range s.ReadAll(context.Background(), eventstore.ReadAllOptions{}) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func TestNewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	dir := write(t, &logstore.Options{SegmentSize: small}, func(s *logstore.Store) { appendTo(t, s, "a-1", 1) })
	patch(t, segments(t, dir)[0], 8, []byte{3})
	_, err := logstore.Open(dir, nil)
	require.ErrorContains(t, err, "use a newer foldstream")
	require.NotErrorIs(t, err, eventstore.ErrCorrupt)
}

// A crash while a segment is made leaves a .tmp file, which Open removes.
func TestUnfinishedSegmentIsRemoved(t *testing.T) {
	t.Parallel()
	dir := write(t, nil, func(s *logstore.Store) { appendTo(t, s, "a-1", 1) })
	left := segments(t, dir)[0] + ".tmp"
	require.NoError(t, os.WriteFile(left, []byte("half"), 0o644))
	open(t, dir, nil)
	assert.NoFileExists(t, left)
}
