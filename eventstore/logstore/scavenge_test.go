package logstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/eventstoretest"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/simdisk"
)

var all = &logstore.ScavengeOptions{All: true}

func scavenged(t *testing.T, s *logstore.Store, opts *logstore.ScavengeOptions) logstore.ScavengeReport {
	t.Helper()
	report, err := s.Scavenge(t.Context(), opts)
	require.NoError(t, err)
	return report
}

// seal appends until the segment at hand has ended.
func seal(t *testing.T, s *logstore.Store) {
	t.Helper()
	for n := s.Stats().Segments; s.Stats().Segments == n; {
		appendTo(t, s, "filler-1", 10)
	}
}

// versionsOf returns what a stream shows, or why it shows nothing.
func versionsOf(t *testing.T, s eventstore.Store, stream string) string {
	t.Helper()
	var b strings.Builder
	for r, err := range s.Read(t.Context(), stream, eventstore.ReadOptions{}) {
		if err != nil {
			return err.Error()
		}
		fmt.Fprintf(&b, "%d:%s ", r.Version, r.ID)
	}
	return b.String()
}

// kept returns the versions of a stream that are in the log.
func kept(t *testing.T, s eventstore.Store, stream string) string {
	t.Helper()
	var b strings.Builder
	for _, r := range readAll(t, s) {
		if r.Stream == stream {
			fmt.Fprintf(&b, "%d ", r.Version)
		}
	}
	return b.String()
}

func TestScavengeRemovesWhatIsHidden(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	opts := &logstore.Options{SegmentSize: small, Sync: logstore.SyncNever, Now: func() time.Time { return now }}
	s := opened(t, opts)
	ctx := t.Context()
	streams := []string{"deleted-1", "back-1", "ended-1", "cut-1", "counted-1", "old-1", "plain-1", "meta-1", "one-1"}
	for _, stream := range streams {
		appendTo(t, s, stream, 5)
	}
	now = now.Add(time.Hour)
	appendTo(t, s, "old-1", 2)
	set := func(stream string, m eventstore.StreamMetadata) {
		_, err := s.SetStreamMetadata(ctx, stream, eventstore.Any, m)
		require.NoError(t, err)
	}
	for _, stream := range []string{"deleted-1", "back-1"} {
		_, err := s.Delete(ctx, stream, eventstore.Any)
		require.NoError(t, err)
	}
	appendTo(t, s, "back-1", 2)
	_, err := s.Tombstone(ctx, "ended-1", eventstore.Any)
	require.NoError(t, err)
	set("cut-1", eventstore.StreamMetadata{TruncateBefore: 4})
	set("counted-1", eventstore.StreamMetadata{MaxCount: 2})
	set("old-1", eventstore.StreamMetadata{MaxAge: time.Minute})
	for n := range 4 {
		set("meta-1", eventstore.StreamMetadata{MaxCount: uint64(10 + n)})
	}
	set("one-1", eventstore.StreamMetadata{TruncateBefore: 100})
	seal(t, s)

	before := make(map[string]string)
	for _, stream := range append(streams, "filler-1", "$$meta-1", "$$cut-1") {
		before[stream] = versionsOf(t, s, stream)
	}
	stats := s.Stats()
	dry := scavenged(t, s, &logstore.ScavengeOptions{All: true, DryRun: true})
	assert.Equal(t, stats, s.Stats())
	report := scavenged(t, s, all)
	assert.Equal(t, dry, report)
	assert.Equal(t, 1, report.Rewritten)
	assert.EqualValues(t, 4+5+5+3+3+5+3+4+1, report.Events) // in the order of streams, and old metadata: of meta-1 and back-1
	assert.Equal(t, stats.Events-report.Events, s.Stats().Events)
	assert.Equal(t, stats.Bytes-report.Bytes, s.Stats().Bytes)
	assert.Equal(t, stats.Head, s.Stats().Head)
	assert.Equal(t, stats.Streams, s.Stats().Streams)

	check := func(s *logstore.Store) {
		for stream, want := range map[string]string{
			"deleted-1": "5 ", "back-1": "6 7 ", "ended-1": "6 ", "cut-1": "4 5 ", "counted-1": "4 5 ", "old-1": "6 7 ",
			"plain-1": "1 2 3 4 5 ", "meta-1": "1 2 3 4 5 ", "$$meta-1": "4 ", "one-1": "5 ", "$$back-1": "2 ", "$$deleted-1": "1 ",
		} {
			assert.Equal(t, want, kept(t, s, stream), stream)
		}
		for stream, want := range before {
			assert.Equal(t, want, versionsOf(t, s, stream), stream)
		}
		assert.Equal(t, report.Events, verified(t, s.Dir()).Removed)
	}
	check(s)
	assert.Equal(t, logstore.ScavengeReport{Segments: 1}, scavenged(t, s, all), "there is nothing left to do")
	appendTo(t, s, "deleted-1", 1)
	assert.Contains(t, versionsOf(t, s, "deleted-1"), "6:")
	require.NoError(t, s.Close())

	before["deleted-1"] = ""
	delete(before, "deleted-1")
	for _, index := range []bool{true, false} { // the index says what the segment says
		if !index {
			for _, seg := range segments(t, s.Dir()) {
				_ = os.Remove(seg[:len(seg)-4] + ".idx")
			}
		}
		again, err := logstore.Open(s.Dir(), opts)
		require.NoError(t, err)
		before["filler-1"] = versionsOf(t, again, "filler-1")
		for stream, want := range before {
			assert.Equal(t, want, versionsOf(t, again, stream), stream)
		}
		require.NoError(t, again.Close())
		verified(t, s.Dir())
	}
}

func TestScavengeLeavesWhatIsNotWorthIt(t *testing.T) {
	t.Parallel()
	s := opened(t, &logstore.Options{SegmentSize: small, Sync: logstore.SyncNever})
	appendTo(t, s, "a-1", 5)
	seal(t, s)
	for range 30 {
		appendTo(t, s, "a-1", 10)
	}
	seal(t, s)
	_, err := s.SetStreamMetadata(t.Context(), "a-1", eventstore.Any, eventstore.StreamMetadata{MaxCount: 1})
	require.NoError(t, err)
	report := scavenged(t, s, nil)
	assert.Equal(t, 2, report.Segments)
	assert.Zero(t, report.Rewritten, "what is left of a stream has no gaps")
	assert.EqualValues(t, 5, report.LeftEvents)
	report = scavenged(t, s, &logstore.ScavengeOptions{Threshold: 1e-9})
	assert.Equal(t, 2, report.Rewritten)
	assert.EqualValues(t, 304, report.Events)
	assert.Equal(t, "305 ", kept(t, s, "a-1"))
	verified(t, s.Dir())
}

// Age goes by the time of each event, and clocks go back.
func TestScavengeByAgeRemovesABeginning(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	s := opened(t, &logstore.Options{SegmentSize: small, Sync: logstore.SyncNever, Now: func() time.Time { return now }})
	appendTo(t, s, "a-1", 1)
	now = now.Add(time.Hour)
	appendTo(t, s, "a-1", 1)
	now = now.Add(-2 * time.Hour)
	appendTo(t, s, "a-1", 1)
	now = now.Add(2 * time.Hour)
	appendTo(t, s, "a-1", 1)
	_, err := s.SetStreamMetadata(t.Context(), "a-1", eventstore.Any, eventstore.StreamMetadata{MaxAge: time.Minute})
	require.NoError(t, err)
	seal(t, s)
	before := versionsOf(t, s, "a-1")
	scavenged(t, s, all)
	assert.Equal(t, "2 3 4 ", kept(t, s, "a-1"))
	assert.Equal(t, before, versionsOf(t, s, "a-1"))
}

func TestAnAppendWhoseEventsWereRemovedIsNoRepetition(t *testing.T) {
	t.Parallel()
	s := opened(t, &logstore.Options{SegmentSize: small, Sync: logstore.SyncNever})
	first := events(3)
	r, err := s.Append(t.Context(), "a-1", eventstore.NoStream, first...)
	require.NoError(t, err)
	appendTo(t, s, "a-1", 2)
	_, err = s.SetStreamMetadata(t.Context(), "a-1", eventstore.Any, eventstore.StreamMetadata{TruncateBefore: 4})
	require.NoError(t, err)
	seal(t, s)
	again, err := s.Append(t.Context(), "a-1", eventstore.NoStream, first...)
	require.NoError(t, err)
	r.Repeated = true
	assert.Equal(t, r, again, "it is there, though hidden")

	scavenged(t, s, all)
	_, err = s.Append(t.Context(), "a-1", eventstore.NoStream, first...)
	assert.ErrorIs(t, err, eventstore.ErrConflict)
	_, err = s.Append(t.Context(), "a-1", eventstore.Exact(2), first[2])
	assert.ErrorIs(t, err, eventstore.ErrConflict)
	r, err = s.Append(t.Context(), "a-1", eventstore.Any, first...)
	require.NoError(t, err)
	assert.False(t, r.Repeated)
	assert.EqualValues(t, 8, r.Version)
	verified(t, s.Dir())
}

func TestReadersDoNotNoticeAScavenge(t *testing.T) {
	t.Parallel()
	s := opened(t, &logstore.Options{SegmentSize: 16 << 10, Sync: logstore.SyncNever})
	for i := range 60 {
		appendTo(t, s, "hidden-1", 10)
		appendTo(t, s, fmt.Sprintf("shown-%d", i%3), 20)
	}
	_, err := s.SetStreamMetadata(t.Context(), "hidden-1", eventstore.Any, eventstore.StreamMetadata{MaxCount: 1})
	require.NoError(t, err)
	seal(t, s)
	shown := func(r *eventstore.Recorded) bool { return r.Stream != "hidden-1" }
	want := 0
	for _, r := range readAll(t, s) {
		if shown(&r) {
			want++
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var begun, readers sync.WaitGroup
	goOn := make(chan struct{})
	// reader follows positions that rise, or fall, and waits in the middle for
	// the scavenge.
	follow := func(step int, read func(each func(*eventstore.Recorded) bool)) {
		begun.Add(1)
		readers.Go(func() {
			n, last := 0, eventstore.Position(0)
			read(func(r *eventstore.Recorded) bool {
				if last > 0 && step*int(r.Position-last) <= 0 {
					assert.Fail(t, "out of order", "%d after %d", r.Position, last)
				}
				last = r.Position
				if shown(r) {
					n++
				}
				if n == 10 && shown(r) {
					begun.Done()
					<-goOn
				}
				return n < want
			})
			assert.Equal(t, want, n)
		})
	}
	for _, backwards := range []bool{false, true} {
		step := 1
		if backwards {
			step = -1
		}
		follow(step, func(each func(*eventstore.Recorded) bool) {
			for r, err := range s.ReadAll(ctx, eventstore.ReadAllOptions{Backwards: backwards}) {
				if !assert.NoError(t, err) || !each(&r) {
					return
				}
			}
		})
		begun.Add(1)
		readers.Go(func() { // of one stream
			n := 0
			for r, err := range s.Read(ctx, "shown-1", eventstore.ReadOptions{Backwards: backwards}) {
				require.NoError(t, err)
				if n++; n == 10 {
					begun.Done()
					<-goOn
				}
				if !backwards {
					assert.EqualValues(t, n, r.Version)
				}
			}
			assert.Equal(t, 400, n)
		})
	}
	follow(1, func(each func(*eventstore.Recorded) bool) {
		for m, err := range s.SubscribeAll(ctx, eventstore.SubscribeAllOptions{}) {
			if !assert.NoError(t, err) || m.Kind == eventstore.MessageEvent && !each(&m.Event) {
				return
			}
		}
	})
	follow(1, func(each func(*eventstore.Recorded) bool) {
		enough := errors.New("enough")
		err := s.Scan(ctx, eventstore.ReadAllOptions{}, func(r *eventstore.Recorded) error {
			if !each(r) {
				return enough
			}
			return nil
		})
		assert.ErrorIs(t, err, enough)
	})
	begun.Wait()
	report := scavenged(t, s, all)
	assert.EqualValues(t, 599, report.Events)
	close(goOn)
	readers.Wait()
}

func TestScavengeEndsWithItsContextOrItsStore(t *testing.T) {
	t.Parallel()
	long := func(t *testing.T) *logstore.Store {
		s, err := logstore.Open(t.TempDir(), &logstore.Options{SegmentSize: small, Sync: logstore.SyncNever})
		require.NoError(t, err)
		for range 5 {
			appendTo(t, s, "a-1", 100)
			seal(t, s)
		}
		_, err = s.SetStreamMetadata(t.Context(), "a-1", eventstore.Any, eventstore.StreamMetadata{MaxCount: 1})
		require.NoError(t, err)
		return s
	}
	t.Run("context", func(t *testing.T) {
		t.Parallel()
		s := long(t)
		ctx, cancel := context.WithCancel(t.Context())
		var last logstore.Progress
		report, err := s.Scavenge(ctx, &logstore.ScavengeOptions{All: true, Progress: func(p logstore.Progress) {
			if last = p; p.Done > p.Total/2 {
				cancel()
			}
		}})
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, 2, report.Rewritten)
		assert.Positive(t, last.Total)
		require.NoError(t, s.Close())
		verified(t, s.Dir())
	})
	t.Run("store", func(t *testing.T) {
		t.Parallel()
		s := long(t)
		closed := sync.OnceFunc(func() { go func() { assert.NoError(t, s.Close()) }() })
		_, err := s.Scavenge(t.Context(), &logstore.ScavengeOptions{All: true, Progress: func(logstore.Progress) {
			closed()
			require.Eventually(t, func() bool { _, err := s.Head(t.Context()); return errors.Is(err, eventstore.ErrClosed) }, waitFor, tick)
		}})
		require.ErrorIs(t, err, eventstore.ErrClosed)
		require.NoError(t, s.Close())
		verified(t, s.Dir())
		_, err = s.Scavenge(t.Context(), nil)
		require.ErrorIs(t, err, eventstore.ErrClosed)
	})
	t.Run("two", func(t *testing.T) {
		t.Parallel()
		s := long(t)
		_, err := s.Scavenge(t.Context(), &logstore.ScavengeOptions{Progress: func(logstore.Progress) {
			_, err := s.Scavenge(t.Context(), nil)
			assert.ErrorIs(t, err, eventstore.ErrUnavailable)
		}})
		require.NoError(t, err)
		require.NoError(t, s.Close())
		readOnly, err := logstore.Open(s.Dir(), &logstore.Options{ReadOnly: true})
		require.NoError(t, err)
		_, err = readOnly.Scavenge(t.Context(), nil)
		require.ErrorIs(t, err, eventstore.ErrUnavailable)
		require.NoError(t, readOnly.Close())
	})
}

// What a stream shows is the same before a scavenge, after it, and after a
// crash at any moment of it.
func TestACrashInAScavengeCostsNothing(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	disk, err := simdisk.New(root)
	require.NoError(t, err)
	opts := logstore.WithFS(logstore.Options{SegmentSize: 4096}, disk)
	s, err := logstore.Open(root+"/store", &opts)
	require.NoError(t, err)
	for i := range 12 {
		appendTo(t, s, fmt.Sprintf("a-%d", i%4), 10)
	}
	_, err = s.SetStreamMetadata(t.Context(), "a-0", eventstore.Any, eventstore.StreamMetadata{MaxCount: 3})
	require.NoError(t, err)
	_, err = s.Delete(t.Context(), "a-1", eventstore.Any)
	require.NoError(t, err)
	_, err = s.Tombstone(t.Context(), "a-2", eventstore.Any)
	require.NoError(t, err)
	seal(t, s)
	streams := []string{"a-0", "a-1", "a-2", "a-3", "filler-1"}
	want := make(map[string]string)
	for _, stream := range streams {
		want[stream] = versionsOf(t, s, stream)
	}
	begun := disk.Len()
	report := scavenged(t, s, all)
	require.Greater(t, report.Rewritten, 1)
	require.NoError(t, s.Abandon())

	rnd := rand.New(rand.NewPCG(1, 2))
	crashes := 0
	for replay := disk.Replay(); ; {
		if replay.Done() >= begun {
			for name, loss := range map[string]simdisk.Loss{"nothing": simdisk.Nothing(), "everything": simdisk.Everything(), "random": simdisk.Random(rnd), "names": simdisk.Random(rnd).AnyNames()} {
				crashes++
				dir := fmt.Sprintf("%s/crash-%d", t.TempDir(), crashes)
				require.NoError(t, replay.Crash(dir, loss))
				after, err := logstore.Open(dir+"/store", &logstore.Options{SegmentSize: 4096})
				require.NoError(t, err, "%s after %v", name, replay.Op())
				for stream, want := range want {
					require.Equal(t, want, versionsOf(t, after, stream), "%s after %v", name, replay.Op())
				}
				require.NoError(t, after.Close())
				verified(t, dir+"/store")
			}
		}
		if !replay.Next() {
			break
		}
	}
	t.Log(crashes, "crashes")
}

// Under every policy what hides events reaches the disk before they go.
func TestAScavengeRestsOnWhatIsOnTheDisk(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	disk, err := simdisk.New(root)
	require.NoError(t, err)
	opts := logstore.WithFS(logstore.Options{SegmentSize: 4096, Sync: logstore.SyncNever}, disk)
	s, err := logstore.Open(root+"/store", &opts)
	require.NoError(t, err)
	appendTo(t, s, "a-1", 20)
	seal(t, s)
	_, err = s.SetStreamMetadata(t.Context(), "a-1", eventstore.Any, eventstore.StreamMetadata{MaxCount: 3})
	require.NoError(t, err)
	require.Positive(t, scavenged(t, s, all).Rewritten)
	require.NoError(t, s.Abandon())
	replay, ops := disk.Replay(), 0
	for replay.Next() {
		ops++
	}
	require.Equal(t, disk.Len(), ops)
	dir := t.TempDir() + "/crash"
	require.NoError(t, replay.Crash(dir, simdisk.Nothing()))
	after := open(t, dir+"/store", nil)
	meta, _, err := after.StreamMetadata(t.Context(), "a-1")
	require.NoError(t, err)
	assert.EqualValues(t, 3, meta.MaxCount)
}

// The commit mark of an append can be on an event that goes.
func TestWhatIsLeftOfAnAppendIsWhole(t *testing.T) {
	t.Parallel()
	s := opened(t, &logstore.Options{SegmentSize: small, Sync: logstore.SyncNever})
	appendTo(t, s, "a-1", 3)
	_, err := s.Delete(t.Context(), "a-1", eventstore.Any)
	require.NoError(t, err)
	appendTo(t, s, "a-1", 1) // with new metadata behind it, in the same append
	large := event(1)
	large.Data = make([]byte, small)
	_, err = s.Append(t.Context(), "large-1", eventstore.Any, large) // in the next segment
	require.NoError(t, err)
	_, err = s.SetStreamMetadata(t.Context(), "a-1", eventstore.Any, eventstore.StreamMetadata{TruncateBefore: 4, MaxCount: 9})
	require.NoError(t, err)
	assert.EqualValues(t, 3+2, scavenged(t, s, all).Events)
	assert.Equal(t, "4 ", kept(t, s, "a-1"))
	verified(t, s.Dir())
}

// Whatever goes wrong with the disk, the store goes on with what it has.
func TestAScavengeThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	for _, kind := range []simdisk.Kind{simdisk.Create, simdisk.Open, simdisk.Write, simdisk.Sync, simdisk.Rename, simdisk.SyncDir, simdisk.Map} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			after := 0
			for failScavenge(t, kind, after) {
				after++
			}
			assert.Positive(t, after)
		})
	}
}

// failScavenge lets an operation on the disk fail in the middle of a scavenge,
// after so many of its kind. It reports false when there are not so many.
func failScavenge(t *testing.T, kind simdisk.Kind, after int) bool {
	root := t.TempDir()
	disk, err := simdisk.New(root)
	require.NoError(t, err)
	opts := logstore.WithFS(logstore.Options{SegmentSize: 4096}, disk)
	s, err := logstore.Open(root+"/store", &opts)
	require.NoError(t, err)
	for range 2 {
		appendTo(t, s, "a-1", 30)
		seal(t, s)
	}
	_, err = s.SetStreamMetadata(t.Context(), "a-1", eventstore.Any, eventstore.StreamMetadata{MaxCount: 3})
	require.NoError(t, err)
	s.Sealed()
	want := versionsOf(t, s, "a-1")
	disk.Inject(simdisk.Fault{Kind: kind, After: after, Times: 1})
	_, err = s.Scavenge(t.Context(), all)
	hit := disk.Hits() > 0
	disk.Heal()
	assert.Equal(t, hit, err != nil, "%v %d", kind, after)
	assert.Equal(t, want, versionsOf(t, s, "a-1"))
	_, err = s.Scavenge(t.Context(), all)
	require.NoError(t, err, "%v %d", kind, after)
	assert.Equal(t, want, versionsOf(t, s, "a-1"))
	appendTo(t, s, "a-1", 1)
	want = versionsOf(t, s, "a-1")
	require.NoError(t, s.Close())
	again := open(t, root+"/store", &logstore.Options{SegmentSize: 4096})
	assert.Equal(t, want, versionsOf(t, again, "a-1"))
	verified(t, root+"/store")
	return hit
}

// Random streams, limits and scavenges: what streams show never changes, and
// nothing that is shown is lost.
func TestScavengesAgreeWithAStoreWithout(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	s := opened(t, &logstore.Options{SegmentSize: 4096, Now: clock, Sync: logstore.SyncNever})
	plain := opened(t, &logstore.Options{SegmentSize: 4096, Now: clock, Sync: logstore.SyncNever})
	both := func(do func(s *logstore.Store) (eventstore.Receipt, error)) {
		a, errA := do(s)
		b, errB := do(plain)
		require.Equal(t, errB, errA)
		require.Equal(t, b, a)
	}
	removed := uint64(0)
	for range 600 {
		now = now.Add(time.Duration(rnd.IntN(3)) * time.Second)
		stream := fmt.Sprintf("a-%d", rnd.IntN(6))
		switch k := rnd.IntN(20); {
		case k < 14:
			es := events(1 + rnd.IntN(4))
			both(func(s *logstore.Store) (eventstore.Receipt, error) {
				return s.Append(t.Context(), stream, eventstore.Any, es...)
			})
		case k < 17:
			m := eventstore.StreamMetadata{MaxCount: uint64(rnd.IntN(8)), MaxAge: time.Duration(rnd.IntN(2)*rnd.IntN(60)) * time.Second, TruncateBefore: eventstore.Version(rnd.IntN(40))}
			if rnd.IntN(3) > 0 {
				m.TruncateBefore = 0
			}
			both(func(s *logstore.Store) (eventstore.Receipt, error) {
				// What was removed cannot be shown again: limits only grow.
				old, _, err := s.StreamMetadata(t.Context(), stream)
				if err == nil {
					m.TruncateBefore = max(m.TruncateBefore, old.TruncateBefore)
					if m.MaxCount = min(m.MaxCount, old.MaxCount); m.MaxCount == 0 {
						m.MaxCount = old.MaxCount
					}
					if m.MaxAge = min(m.MaxAge, old.MaxAge); m.MaxAge == 0 {
						m.MaxAge = old.MaxAge
					}
				}
				return s.SetStreamMetadata(t.Context(), stream, eventstore.Any, m)
			})
		case k == 17 && rnd.IntN(3) == 0:
			both(func(s *logstore.Store) (eventstore.Receipt, error) {
				return s.Delete(t.Context(), stream, eventstore.Any)
			})
		case k == 18 && rnd.IntN(12) == 0:
			both(func(s *logstore.Store) (eventstore.Receipt, error) {
				return s.Tombstone(t.Context(), stream, eventstore.Any)
			})
		case k == 19:
			removed += scavenged(t, s, &logstore.ScavengeOptions{Threshold: rnd.Float64() / 2}).Events
			for i := range 6 {
				stream := fmt.Sprintf("a-%d", i)
				require.Equal(t, versionsOf(t, plain, stream), versionsOf(t, s, stream), stream)
				want, version, errWant := plain.StreamMetadata(t.Context(), stream)
				got, gotVersion, errGot := s.StreamMetadata(t.Context(), stream)
				require.Equal(t, errWant, errGot)
				require.Equal(t, want, got)
				require.Equal(t, version, gotVersion)
			}
		}
	}
	assert.Greater(t, removed, uint64(100))
	verified(t, s.Dir())
}

// A store with gaps behaves as any other.
func TestConformanceAfterScavenges(t *testing.T) {
	t.Parallel()
	eventstoretest.Suite{Conditional: true, Open: func(t *testing.T) eventstore.Store {
		s := opened(t, &logstore.Options{SegmentSize: 4096, Sync: logstore.SyncNever})
		for i := range 20 {
			stream := fmt.Sprintf("before-%d", i%5)
			appendTo(t, s, stream, 5)
			_, err := s.Delete(t.Context(), stream, eventstore.Any)
			require.NoError(t, err)
		}
		require.Positive(t, scavenged(t, s, all).Events)
		return s
	}}.Run(t)
}
