package logstore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/simdisk"
)

// A rig is a store on a simulated disk, and what its callers remember.
type rig struct {
	t     testing.TB
	base  string // for directories of crashes
	dir   string
	opts  logstore.Options
	disk  *simdisk.Disk
	s     *logstore.Store // nil while it is closed
	start int             // the moment when the disk was new
	seen  *atomic.Pointer[logstore.Store]
	*ledger
}

// tiny segments roll over after some dozen events.
var tiny = logstore.Options{SegmentSize: 4096}

// newRig returns a rig whose store is not open yet.
func newRig(t testing.TB, opts logstore.Options) *rig {
	t.Helper()
	base := t.TempDir()
	dir := filepath.Join(base, "store")
	require.NoError(t, os.Mkdir(dir, 0o755))
	return newRigIn(t, base, dir, opts)
}

func newRigIn(t testing.TB, base, dir string, opts logstore.Options) *rig {
	t.Helper()
	d, err := simdisk.New(dir)
	require.NoError(t, err)
	r := &rig{t: t, base: base, dir: dir, opts: opts, disk: d, seen: new(atomic.Pointer[logstore.Store]), ledger: newLedger(d.Len)}
	r.opts = logstore.WithFS(opts, d)
	return r
}

func (r *rig) open() error {
	r.opening++
	s, err := logstore.Open(r.dir, &r.opts)
	if err == nil {
		r.s = s
		r.seen.Store(s)
	}
	return err
}

// close closes the store, if it is open.
func (r *rig) close() error {
	if r.s == nil {
		return nil
	}
	s := r.s
	r.s = nil
	return s.Close()
}

// watchSyncs looks at the head before every sync: what is shown then must be on
// the disk already.
func (r *rig) watchSyncs() {
	r.disk.Before(func(op simdisk.Op) {
		if s := r.seen.Load(); s != nil && op.Kind == simdisk.Sync {
			_ = r.see(s) // fails once the store is closed
		}
	})
}

// script does a little of everything, through some roll-overs and clean
// closes. It goes on after errors, and returns those of opening and closing.
func (r *rig) script(appends int) error {
	streams := []string{"a-1", "b-1", "b-2", "c"}
	rnd := rand.New(rand.NewPCG(7, 7))
	if err := r.open(); err != nil {
		return err
	}
	for i := range appends {
		stream := streams[rnd.IntN(len(streams))]
		switch i % 20 {
		case 5:
			_, _ = r.metadata(r.s, stream, eventstore.StreamMetadata{MaxCount: 3})
		case 9:
			_, _ = r.delete(r.s, stream)
		case 7, 11, 17:
			_, _ = r.claimed(r.s, stream, fmt.Sprint("claim:", rnd.IntN(3)), 1+rnd.IntN(2))
		case 13:
			_, _ = r.tombstone(r.s, fmt.Sprintf("gone-%d", i))
		default:
			_, _ = r.append(r.s, stream, eventstore.Any, 1+rnd.IntN(3))
		}
		if i%20 == 3 || i%40 == 25 { // with little and with much in the last segment
			err := r.close()
			if err = errors.Join(err, r.open()); err != nil {
				return err
			}
		}
	}
	return r.close()
}

// crash opens what a crash at the end of a replay of this rig has left, on a
// disk of its own, and holds it against what was remembered at that moment.
// Who gets the new rig closes it.
func (r *rig) crash(replay *simdisk.Replay, loss simdisk.Loss) *rig {
	r.t.Helper()
	dir, err := os.MkdirTemp(r.base, "crash")
	require.NoError(r.t, err)
	require.NoError(r.t, replay.Crash(dir, loss))
	next := newRigIn(r.t, r.base, dir, r.opts)
	next.start = r.start + replay.Done()
	next.ledger = r.cut(next.start, func() int { return next.start + next.disk.Len() })
	require.NoError(r.t, next.open())
	next.check(r.t, next.s)
	return next
}

// now returns a replay of all that has happened to the disk, at its end.
func (r *rig) now() *simdisk.Replay {
	replay := r.disk.Replay()
	replay.To(r.disk.Len())
	return replay
}

// discard closes the rig, in which nothing may be wrong, and removes its
// directory.
func (r *rig) discard() {
	r.t.Helper()
	require.NoError(r.t, r.close())
	_, err := logstore.Verify(r.t.Context(), r.dir, nil)
	require.NoError(r.t, err)
	require.NoError(r.t, os.RemoveAll(r.dir))
}

// works demands that the store takes appends and finds them after a clean
// close.
func (r *rig) works() {
	r.t.Helper()
	for _, n := range []int{1, 3} {
		_, err := r.append(r.s, "after-1", eventstore.Any, n)
		require.NoError(r.t, err)
	}
	all := r.check(r.t, r.s)
	require.NoError(r.t, r.close())
	require.NoError(r.t, r.open())
	sameEvents(r.t, all, r.check(r.t, r.s), "after a clean close")
}
