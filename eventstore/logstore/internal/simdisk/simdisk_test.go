package simdisk_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore/logstore/internal/disk"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/simdisk"
)

// A box is a disk with shorthands.
type box struct {
	*simdisk.Disk
	t       *testing.T
	root    string
	scratch string
}

func newBox(t *testing.T) *box {
	root := t.TempDir()
	d, err := simdisk.New(root)
	require.NoError(t, err)
	return &box{d, t, root, t.TempDir()}
}

func (b *box) path(name string) string { return filepath.Join(b.root, name) }

func (b *box) create(name string) disk.File {
	f, err := b.Open(b.path(name), os.O_RDWR|os.O_CREATE, 0o644)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { require.NoError(b.t, f.Close()) })
	return f
}

// safe returns a file that is synced with its name.
func (b *box) safe(name, content string) disk.File {
	f := b.create(name)
	b.write(f, content, 0)
	require.NoError(b.t, f.Datasync())
	require.NoError(b.t, b.SyncDir(b.root))
	return f
}

func (b *box) write(f disk.File, s string, off int64) {
	_, err := f.WriteAt([]byte(s), off)
	require.NoError(b.t, err)
}

// crash returns what is left of the files after all operations so far.
func (b *box) crash(loss simdisk.Loss) map[string]string {
	r := b.Replay()
	r.To(b.Len())
	return b.image(r, loss)
}

func (b *box) image(r *simdisk.Replay, loss simdisk.Loss) map[string]string {
	dir := filepath.Join(b.scratch, "after")
	require.NoError(b.t, r.Crash(dir, loss))
	defer func() { require.NoError(b.t, os.RemoveAll(dir)) }()
	return contents(b.t, dir)
}

func contents(t *testing.T, dir string) map[string]string {
	files := make(map[string]string)
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		c, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(c)
		return err
	}))
	return files
}

// seen returns the distinct contents that a file has after random crashes; a
// file that is not there has the content "none".
func (b *box) seen(name string, loss func(*rand.Rand) simdisk.Loss) map[string]int {
	seen := make(map[string]int)
	for seed := range uint64(100) {
		c, ok := b.crash(loss(rand.New(rand.NewPCG(seed, 0))))[name]
		if !ok {
			c = "none"
		}
		seen[strings.TrimRight(c, "\x00")]++
	}
	return seen
}

func keys(m map[string]int) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func TestWhatIsSyncedSurvivesAndTheRestMayNot(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	f := b.safe("a", "old")
	assert.Equal(t, []string{"old"}, keys(b.seen("a", simdisk.Random)))
	b.write(f, "new", 0)
	assert.Equal(t, map[string]string{"a": "old"}, b.crash(simdisk.Nothing()))
	assert.Equal(t, map[string]string{"a": "new"}, b.crash(simdisk.Everything()))
	assert.Equal(t, []string{"ned", "new", "nld", "old"}, keys(b.seen("a", simdisk.Random)), "torn at any byte too")
	require.NoError(t, f.Datasync())
	assert.Equal(t, []string{"new"}, keys(b.seen("a", simdisk.Random)))
}

func TestCrashAtAnyOperation(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	f := b.safe("a", "1")
	for n := 2; n < 6; n++ {
		b.write(f, fmt.Sprint(n), 0)
		require.NoError(t, f.Datasync())
	}
	var got []string
	r := b.Replay()
	for r.Next() {
		got = append(got, fmt.Sprintf("%d %s: %s", r.Done(), r.Op(), b.image(r, simdisk.Nothing())["a"]))
	}
	assert.Equal(t, []string{
		"1 create a: ", "2 write a [0, 1): ", "3 sync a: ", "4 sync directory .: 1",
		"5 write a [0, 1): 1", "6 sync a: 2", "7 write a [0, 1): 2", "8 sync a: 3",
		"9 write a [0, 1): 3", "10 sync a: 4", "11 write a [0, 1): 4", "12 sync a: 5",
	}, got)
	assert.Equal(t, 12, b.Len())
	assert.Len(t, b.Journal(), 12)
}

// Of two writes to different sectors any may survive without the other; within
// one the later never does without the earlier.
func TestUnsyncedSectorsSurviveInAnyOrder(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	f := b.safe("a", strings.Repeat(".", 1024))
	b.write(f, "1", 0)
	b.write(f, "2", 512)
	b.write(f, "3", 1)
	b.write(f, "", 5)
	seen := make(map[string]int)
	for seed := range uint64(200) {
		c := b.crash(simdisk.Random(rand.New(rand.NewPCG(seed, 0))))["a"]
		seen[c[:2]+c[512:513]]++
	}
	assert.Equal(t, []string{"...", "..2", "1..", "1.2", "13.", "132"}, keys(seen))
}

func TestATornWriteAtEveryByte(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	f := b.safe("a", "")
	b.write(f, "before", 0)
	data := bytes.Repeat([]byte("x"), 5000)
	_, err := f.WriteAt(data, 6)
	require.NoError(t, err)
	r := b.Replay()
	r.To(b.Len())
	for n := range int64(len(data) + 1) {
		if n%97 != 0 && n != 4090 && n != 5000 {
			continue
		}
		require.Equal(t, "before"+string(data[:n]), b.image(r, simdisk.Torn(n))["a"])
	}
}

func TestSizeAndDataSurviveApart(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	f := b.safe("a", "")
	require.NoError(t, f.Truncate(10))
	b.write(f, "x", 3)
	require.NoError(t, f.Truncate(6))
	sizes := make(map[string]int)
	for seed := range uint64(200) {
		c := b.crash(simdisk.Random(rand.New(rand.NewPCG(seed, 0))))["a"]
		sizes[fmt.Sprint(len(c), strings.Contains(c, "x"))]++
	}
	assert.Equal(t, []string{"0 false", "10 false", "10 true", "6 false", "6 true"}, keys(sizes))
	require.NoError(t, f.Datasync())
	assert.Equal(t, map[string]string{"a": "\x00\x00\x00x\x00\x00"}, b.crash(simdisk.Nothing()))
}

// What lay behind the end must not come back when the file grows again.
func TestTruncateAndGrow(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	f := b.safe("a", "head"+strings.Repeat("x", 10_000))
	require.NoError(t, f.Truncate(4))
	require.NoError(t, f.Truncate(10_004))
	want := "head" + strings.Repeat("\x00", 10_000)
	assert.Equal(t, want, b.crash(simdisk.Everything())["a"])
	require.NoError(t, f.Datasync())
	assert.Equal(t, want, b.crash(simdisk.Nothing())["a"])
}

func TestNamesNeedASyncOfTheDirectory(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.safe("a", "1")
	f := b.create("b.tmp")
	b.write(f, "2", 0)
	require.NoError(t, f.Datasync())
	require.NoError(t, b.Rename(b.path("b.tmp"), b.path("b")))
	require.NoError(t, b.Link(b.path("a"), b.path("c")))
	require.NoError(t, b.Remove(b.path("a")))
	all := make(map[string]int)
	free := make(map[string]int)
	for seed := range uint64(200) {
		all[names(b.crash(simdisk.Random(rand.New(rand.NewPCG(seed, 0)))))]++
		free[names(b.crash(simdisk.Random(rand.New(rand.NewPCG(seed, 0))).AnyNames()))]++
	}
	assert.Equal(t, []string{"a=1 ", "a=1 b.tmp=2 ", "a=1 b=2 ", "a=1 b=2 c=1 ", "b=2 c=1 "}, keys(all), "in their order")
	assert.Len(t, free, 12, "a there or not, c there or not, b.tmp or b or neither: %v", keys(free))
	require.NoError(t, b.SyncDir(b.root))
	assert.Equal(t, map[string]string{"b": "2", "c": "1"}, b.crash(simdisk.Nothing()))
	assert.Equal(t, map[string]string{"b": "2", "c": "1"}, contents(t, b.root))
}

func names(files map[string]string) string {
	var s strings.Builder
	for _, name := range []string{"a", "b.tmp", "b", "c"} {
		if c, ok := files[name]; ok {
			fmt.Fprintf(&s, "%s=%s ", name, c)
		}
	}
	return s.String()
}

// After a failed sync the next one does nothing for what the first one lost.
func TestASyncAfterAFailedOneBringsNothingBack(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	f := b.safe("a", "old")
	b.Inject(simdisk.Fault{Kind: simdisk.Sync, Times: 1})
	b.write(f, "new", 0)
	require.ErrorIs(t, f.Datasync(), syscall.EIO)
	require.NoError(t, f.Datasync())
	assert.Equal(t, []string{"new", "old"}, keys(b.seen("a", simdisk.Random)))
	now := make([]byte, 3)
	_, err := f.ReadAt(now, 0)
	require.NoError(t, err)
	assert.Equal(t, "new", string(now), "the page cache still has it")
	b.write(f, "w", 2)
	require.NoError(t, f.Datasync())
	assert.Equal(t, []string{"new"}, keys(b.seen("a", simdisk.Random)), "the page was written again")
}

func TestAFailedSyncMayForget(t *testing.T) {
	t.Parallel()
	seen := make(map[string]int)
	for range 20 {
		b := newBox(t)
		f := b.safe("a", "old")
		b.write(f, "new", 0)
		b.Inject(simdisk.Fault{Kind: simdisk.Sync, Drop: true, Times: 3})
		data, err := f.Map(3)
		require.NoError(t, err)
		for range 3 {
			require.Error(t, f.Datasync())
			seen[string(data)]++
			b.write(f, "new", 0)
		}
		require.NoError(t, f.Datasync())
		require.NoError(t, f.Unmap(data))
		assert.Equal(t, "new", b.crash(simdisk.Nothing())["a"])
	}
	assert.Equal(t, []string{"new", "old"}, keys(seen))
}

// A write that comes while a sync is under way is not covered by it.
func TestASyncCoversWhatWasWrittenBeforeIt(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	f := b.safe("a", "old")
	b.Before(func(op simdisk.Op) {
		if op.Kind == simdisk.Sync {
			b.Before(nil)
			b.write(f, "new", 0)
		}
	})
	require.NoError(t, f.Datasync())
	assert.Equal(t, []string{"new", "old"}, keys(b.seen("a", simdisk.Random)))
}
