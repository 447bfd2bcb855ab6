package simdisk_test

import (
	"errors"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore/logstore/internal/disk"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/simdisk"
)

var errTest = errors.New("made up")

func TestFaultsHitWhatTheyNameAndNoMore(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	a, c := b.safe("a.log", "1"), b.safe("c.idx", "1")
	b.Inject(simdisk.Fault{Kind: simdisk.Write, Path: "*.log", After: 1, Times: 2, Err: errTest})
	for _, want := range []error{nil, errTest, errTest, nil} {
		_, err := a.WriteAt([]byte("x"), 0)
		require.ErrorIs(t, err, want)
		b.write(c, "x", 0)
		require.NoError(t, a.Datasync())
	}
	assert.Equal(t, 2, b.Hits())
	b.Inject(simdisk.Fault{Kind: simdisk.Sync, Err: errTest})
	for range 3 {
		require.ErrorIs(t, c.Datasync(), errTest, "for ever")
	}
	b.Heal()
	require.NoError(t, c.Datasync())
}

func TestEveryKindFails(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	f := b.safe("a", "1")
	for kind, do := range map[simdisk.Kind]func() error{
		simdisk.Create:   func() error { return closed(b.Open(b.path("new"), os.O_CREATE|os.O_RDWR, 0o644)) },
		simdisk.Open:     func() error { return closed(b.Open(b.path("a"), os.O_RDWR, 0)) },
		simdisk.Write:    func() error { _, err := f.WriteAt([]byte("2"), 0); return err },
		simdisk.Truncate: func() error { return f.Truncate(0) },
		simdisk.Sync:     f.Datasync,
		simdisk.Rename:   func() error { return b.Rename(b.path("a"), b.path("b")) },
		simdisk.Link:     func() error { return b.Link(b.path("a"), b.path("b")) },
		simdisk.Remove:   func() error { return b.Remove(b.path("a")) },
		simdisk.SyncDir:  func() error { return b.SyncDir(b.root) },
		simdisk.MkdirAll: func() error { return b.MkdirAll(b.path("dir")) },
		simdisk.Read:     func() error { _, err := f.ReadAt(make([]byte, 1), 0); return err },
		simdisk.Map:      func() error { _, err := f.Map(1); return err },
		simdisk.ReadDir:  func() error { _, err := b.ReadDir(b.root); return err },
	} {
		b.Inject(simdisk.Fault{Kind: kind})
		require.ErrorIs(t, do(), syscall.EIO, kind.String())
		b.Heal()
		assert.Equal(t, map[string]string{"a": "1"}, contents(t, b.root), kind.String())
	}
}

// A process that dies changes nothing any more.
func TestEverythingStops(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	f := b.safe("a", "1")
	before := b.Len()
	b.Inject(simdisk.Fault{After: 1})
	b.write(f, "2", 0)
	_, err := f.WriteAt([]byte("3"), 0)
	require.ErrorIs(t, err, syscall.EIO)
	require.Error(t, b.Remove(b.path("a")))
	_, err = f.ReadAt(make([]byte, 1), 0)
	require.NoError(t, err)
	assert.Equal(t, before+1, b.Len())
	assert.Equal(t, map[string]string{"a": "2"}, contents(t, b.root))
}

func closed(f disk.File, err error) error {
	if err == nil {
		_ = f.Close()
	}
	return err
}

func TestShortWritesAndDoneOnes(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	f := b.safe("a", "....")
	b.Inject(simdisk.Fault{Kind: simdisk.Write, Short: 2, Times: 1})
	n, err := f.WriteAt([]byte("1234"), 0)
	require.Error(t, err)
	assert.Equal(t, 2, n)
	assert.Equal(t, "12..", contents(t, b.root)["a"])
	b.Inject(simdisk.Fault{Kind: simdisk.Write, Done: true, Times: 1})
	_, err = f.WriteAt([]byte("5678"), 0)
	require.Error(t, err)
	b.Inject(simdisk.Fault{Kind: simdisk.Sync, Done: true, Times: 1})
	require.Error(t, f.Datasync())
	b.Inject(simdisk.Fault{Kind: simdisk.Rename, Done: true})
	require.Error(t, b.Rename(b.path("a"), b.path("b")))
	require.NoError(t, b.SyncDir(b.root))
	assert.Equal(t, map[string]string{"b": "5678"}, b.crash(simdisk.Nothing()))
}

func TestTheDiskFillsUp(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	f := b.safe("a", strings.Repeat("x", 4096))
	require.NoError(t, f.Truncate(1<<20), "holes take no space")
	b.SetSpace(2 * 4096)
	b.write(f, "there already", 100)
	n, err := f.WriteAt(make([]byte, 10_000), 5000)
	require.ErrorIs(t, err, syscall.ENOSPC)
	assert.Equal(t, 3*4096-5000, n)
	_, err = b.Open(b.path("b"), os.O_CREATE|os.O_RDWR, 0o644)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, f.Truncate(4096))
	_, err = f.WriteAt(make([]byte, 4096), 8192)
	require.NoError(t, err, "space was given back")
	b.Heal()
	b.write(f, strings.Repeat("x", 100_000), 0)
}

// What cannot be read is EIO for ReadAt and a fault in a mapping.
func TestBrokenPages(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	f := b.safe("a", strings.Repeat("x", 3*4096))
	before, err := f.Map(3 * 4096)
	require.NoError(t, err)
	require.NoError(t, b.Break(b.path("a"), 5000, 1))
	after, err := f.Map(3 * 4096)
	require.NoError(t, err)
	for _, data := range [][]byte{before, after} {
		assert.NoError(t, touch(data, 4095))
		for _, at := range []int{4096, 8191} {
			assert.Error(t, touch(data, at))
		}
		assert.NoError(t, touch(data, 8192))
		require.NoError(t, f.Unmap(data))
	}
	_, err = f.ReadAt(make([]byte, 10), 4090)
	require.ErrorIs(t, err, syscall.EIO)
	_, err = f.ReadAt(make([]byte, 6), 4090)
	require.NoError(t, err)
	require.Error(t, b.Break(b.path("none"), 0, 1))
}

var sum atomic.Uint32 // so that no read is optimized away

func touch(data []byte, at int) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = p.(error)
		}
	}()
	sum.Add(uint32(data[at]))
	return nil
}

func TestANewDiskTakesWhatIsThereForSynced(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	content := "a" + strings.Repeat("\x00", 10_000) + "b"
	require.NoError(t, os.Mkdir(root+"/sub", 0o755))
	require.NoError(t, os.WriteFile(root+"/sub/a", []byte(content), 0o644))
	d, err := simdisk.New(root)
	require.NoError(t, err)
	b := &box{d, t, root, t.TempDir()}
	f := b.create("sub/a")
	require.NoError(t, b.MkdirAll(b.path("x/y")))
	b.write(f, "x", 0)
	r := b.Replay()
	assert.Equal(t, content, b.image(r, simdisk.Everything())["sub/a"], "before the first operation")
	assert.Equal(t, content, b.crash(simdisk.Nothing())["sub/a"])
	assert.Equal(t, "x"+content[1:], b.crash(simdisk.Everything())["sub/a"])
	_, err = d.Open("/elsewhere", os.O_RDWR, 0)
	require.Error(t, err)
}

// The journal is in the order in which the files changed, also when many
// change them at once.
func TestJournalAgreesWithTheFiles(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	f := b.safe("a", strings.Repeat(".", 9000))
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := range 200 {
				_, err := f.WriteAt([]byte{byte('a' + w), byte('a' + n%26)}, int64(n*37%8999))
				assert.NoError(t, err)
				if n%20 == 0 {
					assert.NoError(t, f.Datasync())
				}
			}
		})
	}
	wg.Wait()
	assert.Equal(t, contents(t, b.root), b.crash(simdisk.Everything()))
	require.NoError(t, f.Datasync())
	assert.Equal(t, contents(t, b.root), b.crash(simdisk.Nothing()))
}
