package logstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/simdisk"
)

// The power goes after every operation on the disk.
func TestPowerCutAnywhere(t *testing.T) {
	t.Parallel()
	r := newRig(t, tiny)
	r.watchSyncs()
	require.NoError(t, r.script(45))
	replay := r.disk.Replay()
	for replay.Next() {
		rnd := rand.New(rand.NewPCG(uint64(replay.Done()), 0))
		for i, loss := range []simdisk.Loss{simdisk.Nothing(), simdisk.Random(rnd), simdisk.Random(rnd).AnyNames()} {
			if i > 0 && replay.Done()%2 != i-1 {
				continue // one of these two
			}
			r.run(fmt.Sprintf("%d %s, %d", replay.Done(), replay.Op(), i), func(r *rig) {
				next := r.crash(replay, loss)
				if (replay.Done()+i)%5 == 0 {
					next.works()
				}
				next.discard()
			})
		}
	}
	assert.Greater(t, replay.Done(), 100)
}

// run runs do as a subtest, and ends the test when it fails.
func (r *rig) run(name string, do func(r *rig)) {
	t := r.t.(*testing.T)
	if !t.Run(name, func(t *testing.T) {
		c := *r
		c.t = t
		do(&c)
	}) {
		t.FailNow()
	}
}

// A write is torn at every byte.
func TestWriteTornAtEveryByte(t *testing.T) {
	t.Parallel()
	r := newRig(t, tiny)
	require.NoError(t, r.open())
	for range 3 {
		_, err := r.append(r.s, "a-1", eventstore.Any, 2)
		require.NoError(t, err)
	}
	before := r.disk.Len()
	_, err := r.append(r.s, "a-1", eventstore.Any, 3)
	require.NoError(t, err)
	require.NoError(t, r.close())
	replay := r.disk.Replay()
	replay.To(before + 1)
	require.Equal(t, simdisk.Write, replay.Op().Kind)
	for n := range replay.Op().Len {
		r.run(fmt.Sprint(n), func(r *rig) {
			next := r.crash(replay, simdisk.Torn(n))
			head, err := next.s.Head(t.Context())
			require.NoError(r.t, err)
			require.EqualValues(r.t, 6, head, "a part of a group is none")
			if n%8 == 0 {
				next.works()
			}
			next.discard()
		})
	}
}

// The power goes again and again, also while what it left is being recovered,
// in the midst of several writers.
func TestTorturePowerCuts(t *testing.T) {
	t.Parallel()
	for seed := range rounds(t, 2) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		opts := tiny
		opts.SegmentSize = 4096 << rnd.IntN(3)
		r := newRig(t, opts)
		r.gaps = rnd.IntN(2) == 0
		require.NoError(t, r.open())
		for range 12 {
			if rnd.IntN(3) == 0 { // the process dies, the system goes on
				r.disk.Inject(simdisk.Fault{After: rnd.IntN(60), Done: rnd.IntN(2) == 0, Short: rnd.IntN(500)})
				r.live(rnd, 20)
				_ = r.close()
				r.disk.Heal()
				require.NoError(t, r.open())
				r.check(t, r.s)
			}
			r.live(rnd, 20)
			r = r.powerCut(rnd)
		}
		r.works()
		r.discard()
	}
}

// live lets some writers and a reader work for a while.
func (r *rig) live(rnd *rand.Rand, each int) {
	r.watchSyncs()
	var wg sync.WaitGroup
	for w := range 1 + rnd.IntN(4) {
		rnd := rand.New(rand.NewPCG(rnd.Uint64(), uint64(w)))
		wg.Go(func() {
			for range rnd.IntN(each) {
				r.change(r.s, rnd)
			}
		})
	}
	wg.Go(func() {
		for range each {
			_ = r.see(r.s)
		}
	})
	wg.Wait()
}

// change makes one random change. Errors are in the ledger.
func (l *ledger) change(s *logstore.Store, rnd *rand.Rand) {
	stream := []string{"a-1", "a-2", "b-1", "b-2", "c"}[rnd.IntN(5)]
	switch rnd.IntN(18) {
	case 6, 7:
		_, _ = l.claimed(s, stream, fmt.Sprint("claim:", rnd.IntN(100)), 1+rnd.IntN(3))
	case 5:
		if l.gaps {
			_, _ = s.Scavenge(context.Background(), &logstore.ScavengeOptions{All: true}) // its errors change nothing
		}
	case 0:
		_, _ = l.metadata(s, stream, eventstore.StreamMetadata{MaxCount: rnd.Uint64N(4), TruncateBefore: eventstore.Version(rnd.Uint64N(9))})
	case 1:
		_, _ = l.delete(s, stream)
	case 2:
		_, _ = l.tombstone(s, fmt.Sprintf("gone-%d", rnd.IntN(20)))
	case 3:
		_, _ = l.append(s, stream, eventstore.Exact(eventstore.Version(rnd.IntN(30))), 1+rnd.IntN(3))
	case 4:
		_, _ = l.append(s, stream, eventstore.Any, 20+rnd.IntN(60)) // more than a segment
	default:
		_, _ = l.append(s, stream, eventstore.Any, 1+rnd.IntN(4))
	}
}

// powerCut cuts the power at some moment of the past, or now, and returns what
// becomes of the store.
func (r *rig) powerCut(rnd *rand.Rand) *rig {
	replay := r.disk.Replay()
	stop := r.disk.Len()
	switch rnd.IntN(4) {
	case 0:
		require.NoError(r.t, r.close()) // a clean close does not help against what went before
		replay, stop = r.disk.Replay(), r.disk.Len()
	case 1:
		stop = rnd.IntN(stop + 1)
	case 2:
		stop = rnd.IntN(stop/8 + 1) // in the recovery
	}
	replay.To(stop)
	loss := simdisk.Random(rnd)
	if rnd.IntN(4) == 0 {
		loss = loss.AnyNames()
	}
	next := r.crash(replay, loss)
	r.discard()
	return next
}
