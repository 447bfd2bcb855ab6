package main

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// What the machine can do, by the names that the rows know.
const (
	limitSync   = "raw 4 KiB write and fdatasync, pre-zeroed file"
	limitSparse = "raw 4 KiB write and fdatasync, sparse file"
	limitWrite  = "sequential write and final sync"
	limitScan   = "mapped memory, first pass, CRC-32C"
	limitLooks  = "20 random looks into mapped memory, CRC-32C, p50"
)

const rawPage = 4 << 10

// A rawFile is one that pages are written to, each with a sync.
type rawFile struct {
	f    *os.File
	size int64
	off  int64
	page []byte
}

// rawFile makes a file of a size that was filled with zeros before, or that
// has only the size.
func (s *storeRun) rawFile(name string, size int64, sparse bool) (*rawFile, error) {
	f, err := os.Create(filepath.Join(s.dir, name))
	if err != nil {
		return nil, err
	}
	if err = f.Truncate(size); err == nil && !sparse {
		err = writeFile(f, int(size), make([]byte, 1<<20))
	}
	if err == nil {
		err = f.Sync()
	}
	return &rawFile{f: f, size: size, page: noise(rawPage)}, err
}

// syncs writes and syncs pages for d, one behind the other and from the
// beginning again at the end, and returns how many.
func (r *rawFile) syncs(ctx context.Context, d time.Duration) (float64, error) {
	n := 0
	for start := time.Now(); time.Since(start) < d && ctx.Err() == nil; n++ {
		if _, err := r.f.WriteAt(r.page, r.off); err != nil {
			return 0, err
		}
		if err := datasync(r.f); err != nil {
			return 0, err
		}
		r.off = (r.off + rawPage) % r.size
	}
	return float64(n), nil
}

func (r *rawFile) close() error { return errors.Join(r.f.Close(), os.Remove(r.f.Name())) }

// rawWrite returns how many bytes a second can be written, the sync of them
// included.
func (s *storeRun) rawWrite(context.Context) (perSecond float64, err error) {
	size := min(512<<20, s.events*(s.payload+150))
	name := filepath.Join(s.dir, "sequential")
	f, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(name)) }()
	buf := noise(1 << 20)
	start := time.Now()
	if err := writeFile(f, size, buf); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	return float64(size) / time.Since(start).Seconds(), nil
}

func writeFile(f *os.File, size int, buf []byte) error {
	for off := 0; off < size; off += len(buf) {
		if _, err := f.WriteAt(buf[:min(len(buf), size-off)], int64(off)); err != nil {
			return err
		}
	}
	return nil
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // never fails
	return b
}

// rawScan returns how many bytes a second of the log's own segments can be
// mapped and summed. Their pages are in the page cache, as for a replay.
func rawScan(dir string) func(context.Context) (float64, error) {
	return func(ctx context.Context) (float64, error) {
		paths, err := filepath.Glob(filepath.Join(dir, "*.log"))
		if err != nil {
			return 0, err
		}
		start, total := time.Now(), int64(0)
		for _, p := range paths {
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			n, err := scanFile(p)
			if err != nil {
				return 0, err
			}
			total += n
		}
		return float64(total) / time.Since(start).Seconds(), nil
	}
}

// scanSum keeps the sums from being left out as unused.
var scanSum uint32

// scanFile sums a file up to where only its hole is left.
func scanFile(path string) (n int64, err error) {
	data, err := mapFile(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, unix.Munmap(data)) }()
	const chunk = 64 << 10
	for off := 0; off < len(data); off += chunk {
		scanSum = crc32.Update(scanSum, castagnoli, data[off:min(off+chunk, len(data))])
	}
	return int64(len(data)), nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// mapFile maps a file up to where only its hole is left.
func mapFile(path string) (data []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_HOLE)
	if err != nil {
		if size, err = f.Seek(0, io.SeekEnd); err != nil {
			return nil, err
		}
	}
	if data, err = unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return data, nil
}

// rawLooks maps the log's segments anew, and returns the median of the
// microseconds that it takes to sum as many bytes as an event has at twenty
// random places, each of which depends on the sum of the one before.
func (b *bigLog) rawLooks(context.Context) (p50 float64, err error) {
	paths, err := filepath.Glob(filepath.Join(b.dir, "*.log"))
	if err != nil {
		return 0, err
	}
	size := b.payload + 150
	var maps [][]byte
	defer func() {
		for _, m := range maps {
			err = errors.Join(err, unix.Munmap(m))
		}
	}()
	for _, p := range paths {
		m, err := mapFile(p)
		if err != nil {
			return 0, err
		}
		if maps = append(maps, m); len(m) <= size { // nothing is in it yet
			maps = maps[:len(maps)-1]
			if err := unix.Munmap(m); err != nil {
				return 0, err
			}
		}
	}
	rnd := rand.New(rand.NewPCG(9, uint64(time.Now().UnixNano())))
	took := make([]float64, b.reads20)
	for i := range took {
		start := time.Now()
		for range shortStream {
			m := maps[(rnd.Uint64()^uint64(scanSum))%uint64(len(maps))]
			at := (rnd.Uint64() ^ uint64(scanSum)) % uint64(len(m)-size)
			scanSum = crc32.Update(scanSum, castagnoli, m[at:int(at)+size])
		}
		took[i] = float64(time.Since(start).Nanoseconds()) / 1e3
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
