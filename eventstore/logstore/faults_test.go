package logstore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/simdisk"
)

// Each operation on the disk fails, once or for ever, in one way or another.
func TestTortureEveryOperationFails(t *testing.T) {
	t.Parallel()
	for seed := range rounds(t, 1) {
		for kind := simdisk.Create; kind <= simdisk.ReadDir; kind++ {
			step := 2 // the other half another time
			if os.Getenv(soakTime) != "" {
				step = 1
			}
			n := int(seed) & (step - 1)
			for testFault(t, kind, n, seed) {
				n += step
			}
		}
	}
}

// testFault runs the script with a fault at the operation of a kind after n of
// them, and then what a power cut or a reopening leaves. It reports whether the
// fault has hit anything.
func testFault(t *testing.T, kind simdisk.Kind, n int, seed uint64) (hit bool) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, uint64(n)<<8|uint64(kind)))
	r := newRig(t, tiny)
	defer func() { require.NoError(t, os.RemoveAll(r.base)) }()
	r.watchSyncs()
	f := simdisk.Fault{Kind: kind, After: n, Times: rnd.IntN(2), Drop: rnd.IntN(2) == 0, Done: rnd.IntN(3) == 0, Short: rnd.IntN(400)}
	r.disk.Inject(f)
	err := r.script(30)
	hit = r.disk.Hits() > 0
	if err != nil {
		require.ErrorIs(t, err, syscall.EIO, "%+v", f)
	}
	r.stopped(syscall.EIO)
	require.True(t, hit || n > 1 || kind == simdisk.Link, "no %s is ever made", kind)
	r.afterFault(rnd)
	return hit
}

// stopped demands that no append was accepted after the first that failed
// until the store was opened again, and that the errors tell why.
func (r *rig) stopped(cause error) {
	r.t.Helper()
	var failed *entry
	for _, e := range r.entries {
		if failed != nil && e.opening == failed.opening {
			require.Error(r.t, e.err, "entry %d was accepted although entry %d had failed: %v", e.n, failed.n, failed.err)
		}
		if e.err == nil || errors.Is(e.err, eventstore.ErrConflict) {
			continue
		}
		require.ErrorIs(r.t, e.err, eventstore.ErrUnavailable, "entry %d", e.n)
		require.ErrorIs(r.t, e.err, cause, "entry %d", e.n)
		if failed == nil || e.opening != failed.opening {
			failed = e
		} else {
			require.False(r.t, uncertain(e.err), "entry %d came after the failure", e.n)
		}
	}
}

// afterFault cuts the power, or opens the store again on the disk as the fault
// has left it and then cuts the power.
func (r *rig) afterFault(rnd *rand.Rand) {
	r.t.Helper()
	_ = r.close()
	loss := simdisk.Nothing()
	if rnd.IntN(2) == 0 {
		loss = simdisk.Random(rnd)
	}
	if rnd.IntN(2) == 0 {
		next := r.crash(r.now(), loss)
		next.works()
		next.discard()
		return
	}
	r.disk.Heal()
	require.NoError(r.t, r.open())
	r.check(r.t, r.s)
	_, err := r.append(r.s, "after-1", eventstore.Any, 2)
	require.NoError(r.t, err)
	r.crash(r.now(), loss).discard()
	r.works()
	r.discard()
}

// The disk fills up after any number of pages.
func TestTheDiskFillsUp(t *testing.T) {
	t.Parallel()
	for pages := int64(0); ; pages++ {
		r := newRig(t, tiny)
		r.disk.SetSpace(pages * 4096)
		err := r.script(30)
		if err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
		}
		r.stopped(syscall.ENOSPC)
		full := err != nil || slices.ContainsFunc(r.entries, func(e *entry) bool { return errors.Is(e.err, syscall.ENOSPC) })
		r.afterFault(rand.New(rand.NewPCG(uint64(pages), 0)))
		require.NoError(t, os.RemoveAll(r.base))
		if !full && pages > 10 {
			return
		}
	}
}

// Reading goes on after appending has stopped.
func TestReadingGoesOnAfterAFailure(t *testing.T) {
	t.Parallel()
	for _, kind := range []simdisk.Kind{simdisk.Write, simdisk.Sync} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, tiny)
			require.NoError(t, r.open())
			for range 30 {
				_, err := r.append(r.s, "a-1", eventstore.Any, 2)
				require.NoError(t, err)
			}
			before := checkIndex(t, r.s)
			r.disk.Inject(simdisk.Fault{Kind: kind, Path: "*.log", Times: 1, Short: 50})
			_, err := r.append(r.s, "a-1", eventstore.Exact(60), 2)
			require.True(t, uncertain(err), "%v", err)
			for _, do := range []func() (eventstore.Receipt, error){
				func() (eventstore.Receipt, error) { return r.append(r.s, "a-1", eventstore.Exact(60), 1) },
				func() (eventstore.Receipt, error) { return r.append(r.s, "new-1", eventstore.NoStream, 1) },
				func() (eventstore.Receipt, error) { return r.delete(r.s, "a-1") },
				func() (eventstore.Receipt, error) { return r.tombstone(r.s, "a-1") },
				func() (eventstore.Receipt, error) { return r.metadata(r.s, "a-1", eventstore.StreamMetadata{}) },
			} {
				_, err := do()
				require.ErrorIs(t, err, eventstore.ErrUnavailable)
				require.ErrorIs(t, err, syscall.EIO)
				require.False(t, uncertain(err))
			}
			require.Equal(t, before, checkIndex(t, r.s), "without what failed")
			r.afterFault(rand.New(rand.NewPCG(uint64(kind), 0)))
		})
	}
}

// A page of a segment that cannot be read is an error for who reads it, and
// nobody else, also while writers are at work.
func TestAPageThatCannotBeRead(t *testing.T) {
	t.Parallel()
	opts := tiny
	opts.SegmentSize = 4 * 4096
	r := newRig(t, opts)
	require.NoError(t, r.open())
	for i := range 300 {
		_, err := r.append(r.s, fmt.Sprintf("a-%d", i%40), eventstore.Any, 1)
		require.NoError(t, err)
	}
	require.NoError(t, r.close())
	require.NoError(t, r.open())
	files := segments(t, r.dir)
	require.Greater(t, len(files), 1)
	_, err := r.append(r.s, "a-0", eventstore.Any, 1) // the first one reads what was appended last
	require.NoError(t, err)
	require.NoError(t, r.disk.Break(files[0], 4096, 1))
	good, bad := 0, 0
	for r, err := range r.s.ReadAll(t.Context(), eventstore.ReadAllOptions{}) {
		if good++; err != nil {
			require.ErrorIs(t, err, eventstore.ErrCorrupt)
			require.ErrorContains(t, err, files[0])
			bad++
		}
		_ = r
	}
	require.Equal(t, 1, bad)
	require.Less(t, good, 300)
	for i := range 40 {
		for _, err := range r.s.Read(t.Context(), fmt.Sprintf("a-%d", i), eventstore.ReadOptions{Backwards: true, Limit: 1}) {
			require.NoError(t, err, "the newest are elsewhere")
		}
		_, err := r.append(r.s, fmt.Sprintf("a-%d", i), eventstore.Any, 1)
		require.NoError(t, err)
	}
	require.NoError(t, r.close())
}
