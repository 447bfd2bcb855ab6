package projectiontest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/projection"
)

var sessionClauses = []clause{
	{"ASessionReadsWhatItCommitted", readOwn},
	{"ReadsDuringACommitSeeOneStateOrTheOther", readDuringCommit},
	{"AReadOfAFencedSessionIsRefused", fencedReads},
	{"AReadOfAClosedSessionIsRefused", closedReads},
	{"AReadAfterADropIsRefused", droppedReads},
}

// reads are all reads of a session.
func reads(session projection.Session) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Documents":  func(ctx context.Context) error { _, err := session.Documents(ctx, docs, []string{"a"}); return err },
		"Counts":     func(ctx context.Context) error { _, err := session.Counts(ctx, counts, []string{"a"}); return err },
		"Parked":     func(ctx context.Context) error { _, err := session.Parked(ctx); return err },
		"Members":    func(ctx context.Context) error { _, err := session.Members(ctx, index, "a"); return err },
		"SetMembers": func(ctx context.Context) error { _, err := session.SetMembers(ctx, "set", "a"); return err },
		"no keys":    func(ctx context.Context) error { _, err := session.Documents(ctx, docs, nil); return err },
	}
}

func readOwn(t *testing.T, s *suite) {
	session := s.acquire(t, 1, 0)
	for p := eventstore.Position(1); p <= 20; p++ {
		text := strconv.FormatUint(uint64(p), 10)
		b := batch(p, document("a", text), counter("a", int64(p)), parked("s", []byte(text)))
		require.NoError(t, session.Commit(t.Context(), &b))
		require.Equal(t, p, session.Checkpoint().Position)
		values, err := session.Documents(t.Context(), docs, []string{"none", "a"})
		require.NoError(t, err)
		require.Equal(t, []string{"<nil>", text}, texts(values))
		ns, err := session.Counts(t.Context(), counts, []string{"a", "none"})
		require.NoError(t, err)
		require.Equal(t, []int64{int64(p), 0}, ns)
		all, err := session.Parked(t.Context())
		require.NoError(t, err)
		require.Equal(t, map[string][]byte{"s": []byte(text)}, all)
	}
	for name, read := range reads(session) {
		require.ErrorIs(t, read(cancelled(t)), context.Canceled, name)
	}
}

// readDuringCommit lets one goroutine commit and others read what it commits.
// Each batch writes its position everywhere.
func readDuringCommit(t *testing.T, s *suite) {
	const commits, readers = 200, 3
	session := s.acquire(t, 1, 0)
	done := make(chan struct{})
	errs := make([]error, readers)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			for errs[i] == nil {
				errs[i] = readWhole(t.Context(), session)
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for p := eventstore.Position(1); p <= commits; p++ {
		text := strconv.FormatUint(uint64(p), 10)
		b := batch(p, document("a", text), document("b", text), counter("a", int64(p)), counter("b", int64(p)))
		require.NoError(t, session.Commit(t.Context(), &b))
	}
	close(done)
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	require.EqualValues(t, commits, session.Checkpoint().Position)
}

// readWhole reads two documents and two counters. Each pair is of one state,
// and of none older than what the session says it has committed.
func readWhole(ctx context.Context, session projection.Session) error {
	least := session.Checkpoint().Position
	values, err := session.Documents(ctx, docs, []string{"a", "b"})
	if err != nil {
		return err
	}
	ns, err := session.Counts(ctx, counts, []string{"a", "b"})
	if err != nil {
		return err
	}
	if string(values[0]) != string(values[1]) || ns[0] != ns[1] {
		return errors.New("a read saw a part of a batch")
	}
	if least == 0 {
		return nil
	}
	n, err := strconv.ParseUint(string(values[0]), 10, 64)
	if err == nil && (n < uint64(least) || ns[0] < int64(n)) {
		err = errors.New("a read saw an older state")
	}
	return err
}

func fencedReads(t *testing.T, s *suite) {
	older := s.acquire(t, 1, 0)
	b := batch(3, document("a", "v"))
	require.NoError(t, older.Commit(t.Context(), &b))
	newer := s.acquire(t, 1, 0)
	for name, read := range reads(older) {
		require.ErrorIs(t, read(t.Context()), projection.ErrFenced, name)
	}
	for name, read := range reads(newer) {
		require.NoError(t, read(t.Context()), name)
	}
}

func closedReads(t *testing.T, s *suite) {
	session := s.acquire(t, 1, 0)
	require.NoError(t, session.Close())
	for name, read := range reads(session) {
		require.Error(t, read(t.Context()), name)
	}
}

func droppedReads(t *testing.T, s *suite) {
	session := s.acquire(t, 1, 0)
	require.NoError(t, s.store.DropVersion(t.Context(), view, 1))
	for name, read := range reads(session) {
		require.ErrorIs(t, read(t.Context()), projection.ErrFenced, name)
	}
}
