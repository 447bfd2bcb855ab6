package logstore_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

var errDisk = errors.New("the disk is on fire")

func TestFirstFailureStopsAppending(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]string{"Write": "write", "HalfAWrite": "half", "Sync": "sync"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testFailStop(t, fails)
		})
	}
}

func testFailStop(t *testing.T, fails string) {
	var broken atomic.Bool
	opts := &logstore.Options{SegmentSize: small}
	logstore.SetHooks(opts, func(f logstore.File, b []byte, off int64) (int, error) {
		switch {
		case !broken.Load() || fails == "sync":
			return f.WriteAt(b, off)
		case fails == "half":
			n, _ := f.WriteAt(b[:len(b)/2], off)
			return n, errDisk
		}
		return 0, errDisk
	}, func(f logstore.File) error {
		if broken.Load() {
			return errDisk
		}
		return f.Datasync()
	})
	dir := t.TempDir()
	s, err := logstore.Open(dir, opts)
	require.NoError(t, err)
	appendTo(t, s, "a-1", 3)
	acked := readAll(t, s)
	broken.Store(true)
	again := events(2)
	_, err = s.Append(t.Context(), "a-1", eventstore.Exact(3), again...)
	unavailable(t, err, true)
	broken.Store(false)
	_, err = s.Append(t.Context(), "a-1", eventstore.Any, event(9))
	unavailable(t, err, false)
	_, err = s.Delete(t.Context(), "a-1", eventstore.Any)
	unavailable(t, err, false)
	assert.Equal(t, acked, readAll(t, s), "reading goes on, without what failed")
	require.NoError(t, s.Close())

	s = open(t, dir, nil)
	n := len(readAll(t, s))
	assert.Contains(t, []int{3, 5}, n)
	r, err := s.Append(t.Context(), "a-1", eventstore.Exact(3), again...)
	require.NoError(t, err, "repeating with the same ids is safe")
	assert.Equal(t, n == 5, r.Repeated)
	assert.Len(t, readAll(t, s), 5)
}

func unavailable(t *testing.T, err error, uncertain bool) {
	t.Helper()
	var u *eventstore.UnavailableError
	require.ErrorAs(t, err, &u)
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	require.ErrorIs(t, err, errDisk)
	assert.Equal(t, uncertain, u.Uncertain)
}

// A failure at the end of a segment loses nothing that was acknowledged.
func TestFailureAtRollOver(t *testing.T) {
	t.Parallel()
	writes := 0
	opts := &logstore.Options{SegmentSize: 4096}
	logstore.SetHooks(opts, func(f logstore.File, b []byte, off int64) (int, error) {
		if writes++; off == 0 && writes > 1 {
			return 0, errDisk // the header of the second segment
		}
		return f.WriteAt(b, off)
	}, nil)
	dir := t.TempDir()
	s, err := logstore.Open(dir, opts)
	require.NoError(t, err)
	acked := 0
	for {
		if _, err = s.Append(t.Context(), "a-1", eventstore.Any, event(acked)); err != nil {
			break
		}
		acked++
	}
	unavailable(t, err, false)
	assert.Len(t, readAll(t, s), acked)
	require.NoError(t, s.Close())
	s = open(t, dir, &logstore.Options{SegmentSize: 4096})
	appendTo(t, s, "a-1", 1)
	assert.Len(t, readAll(t, s), acked+1)
}

// slowDisk lets a test hold the leader in its sync.
type slowDisk struct {
	entered chan struct{}
	leave   chan error
}

func newSlowDisk(opts *logstore.Options) *slowDisk {
	d := &slowDisk{make(chan struct{}), make(chan error)}
	logstore.SetHooks(opts, nil, func(logstore.File) error {
		d.entered <- struct{}{}
		return <-d.leave
	})
	return d
}

func (d *slowDisk) sync(err error) {
	<-d.entered
	d.leave <- err
}

func TestCallersShareOneSync(t *testing.T) {
	t.Parallel()
	opts := &logstore.Options{SegmentSize: small}
	disk := newSlowDisk(opts)
	s, err := logstore.Open(t.TempDir(), opts)
	require.NoError(t, err)
	var wg sync.WaitGroup
	do := func() {
		_, err := s.Append(context.Background(), "a-1", eventstore.Any, event(1))
		assert.NoError(t, err)
	}
	wg.Go(do)
	<-disk.entered
	for range 20 {
		wg.Go(do)
	}
	require.Eventually(t, func() bool { return s.Waiting() == 20 }, waitFor, tick)
	disk.leave <- nil
	disk.sync(nil) // one for all twenty
	wg.Wait()
	require.NoError(t, s.Close())
}

func TestCancelledCallerWithdraws(t *testing.T) {
	t.Parallel()
	opts := &logstore.Options{SegmentSize: small}
	disk := newSlowDisk(opts)
	s, err := logstore.Open(t.TempDir(), opts)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { // is taken before ctx ends, and waits for its answer
		_, err := s.Append(ctx, "a-1", eventstore.Any, event(1))
		assert.NoError(t, err)
	})
	<-disk.entered
	withdrawn := make(chan error)
	wg.Go(func() {
		_, err := s.Append(ctx, "a-1", eventstore.Any, event(2))
		withdrawn <- err
	})
	require.Eventually(t, func() bool { return s.Waiting() == 1 }, waitFor, tick)
	wg.Go(func() {
		_, err := s.Append(context.Background(), "a-1", eventstore.Any, event(3))
		assert.NoError(t, err)
	})
	require.Eventually(t, func() bool { return s.Waiting() == 2 }, waitFor, tick)
	cancel()
	require.ErrorIs(t, <-withdrawn, context.Canceled)
	disk.leave <- nil
	disk.sync(nil)
	wg.Wait()
	assert.Len(t, readAll(t, s), 2)
	require.NoError(t, s.Close())
}

// Answers that rest on events of the same batch fail with it.
func TestAFailedBatchFailsAllThatDependOnIt(t *testing.T) {
	t.Parallel()
	opts := &logstore.Options{SegmentSize: small}
	disk := newSlowDisk(opts)
	s, err := logstore.Open(t.TempDir(), opts)
	require.NoError(t, err)
	var wg sync.WaitGroup
	first := event(1)
	try := func(want bool, x eventstore.Expected, e eventstore.Event) {
		before := s.Waiting()
		wg.Go(func() {
			_, err := s.Append(context.Background(), "b-1", x, e)
			unavailable(t, err, want)
		})
		require.Eventually(t, func() bool { return s.Waiting() == before+1 }, waitFor, tick)
	}
	wg.Go(func() { appendTo(t, s, "a-1", 1) })
	<-disk.entered
	try(true, eventstore.NoStream, first)     // is written
	try(true, eventstore.NoStream, first)     // repeats it
	try(false, eventstore.NoStream, event(2)) // conflicts with it
	disk.leave <- nil
	disk.sync(errDisk)
	wg.Wait()
	assert.Len(t, readAll(t, s), 1)
	require.NoError(t, s.Close())
}

func TestCloseWaitsForTheLeader(t *testing.T) {
	t.Parallel()
	opts := &logstore.Options{SegmentSize: small}
	disk := newSlowDisk(opts)
	s, err := logstore.Open(t.TempDir(), opts)
	require.NoError(t, err)
	answers := make(chan error, 2)
	do := func() {
		_, err := s.Append(context.Background(), "a-1", eventstore.Any, event(1))
		answers <- err
	}
	go do()
	<-disk.entered
	go do()
	require.Eventually(t, func() bool { return s.Waiting() == 1 }, waitFor, tick)
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	require.Eventually(t, func() bool { return s.Refusing() }, waitFor, tick)
	disk.leave <- nil
	require.NoError(t, <-closed)
	got := []error{<-answers, <-answers}
	if got[0] != nil {
		got[0], got[1] = got[1], got[0]
	}
	require.NoError(t, got[0])
	require.ErrorIs(t, got[1], eventstore.ErrClosed)
}
