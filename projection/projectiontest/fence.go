package projectiontest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/projection"
)

var fenceClauses = []clause{
	{"TakingOverKeepsThePosition", takeOverKeeps},
	{"EachTakeOverRaisesTheEpoch", epochRises},
	{"AnOlderSessionIsFencedAndChangesNothing", olderFenced},
	{"ASessionFencedAtTheSamePositionStaysFenced", fencedAtSamePosition},
	{"AFreshSessionIsFencedByATakeOver", freshFenced},
	{"PartitionsAreTakenOverApart", partitionsApart},
	{"AClosedSessionDoesNotCommit", closedSession},
	{"CloseMayInterruptACommit", closeInterrupts},
	{"OnlyWhatExistsCanBeTakenOver", acquireMissing},
	{"OfManyTakingOverTheLastOneCommits", manyTakeOver},
	{"TwoSessionsRacingEndExactlyRight", racing},
}

func takeOverKeeps(t *testing.T, s *suite) {
	b := batch(42, document("a", "v"))
	require.NoError(t, s.acquire(t, 1, 0).Commit(t.Context(), &b))
	session := s.acquire(t, 1, 0)
	require.EqualValues(t, 42, session.Checkpoint().Position)
	values, err := session.Documents(t.Context(), docs, []string{"a"})
	require.NoError(t, err)
	require.Equal(t, []string{"v"}, texts(values))
}

func epochRises(t *testing.T, s *suite) {
	first := s.acquire(t, 1, 0).Checkpoint().Epoch
	second := s.acquire(t, 1, 0).Checkpoint().Epoch
	require.Positive(t, first)
	require.Greater(t, second, first)
	require.Equal(t, second, s.checkpoint(t, 1, 0).Epoch)
}

func olderFenced(t *testing.T, s *suite) {
	older := s.acquire(t, 1, 0)
	b := batch(1, document("a", "first"))
	require.NoError(t, older.Commit(t.Context(), &b))
	newer := s.acquire(t, 1, 0)
	b = batch(2, document("a", "second"))
	require.NoError(t, newer.Commit(t.Context(), &b))

	b = everything()
	b.Position = 3
	require.ErrorIs(t, older.Commit(t.Context(), &b), projection.ErrFenced)
	require.Equal(t, newer.Checkpoint(), s.checkpoint(t, 1, 0))
	items := s.dump(t, 1)
	require.Len(t, items, 1)
	require.Equal(t, "second", string(items[0].Value))
	b = batch(3, document("a", "third"))
	require.NoError(t, newer.Commit(t.Context(), &b), "the newer session goes on")
}

// fencedAtSamePosition is the worker that was paused while a rebuild came to
// the very position where it stopped.
func fencedAtSamePosition(t *testing.T, s *suite) {
	older := s.acquire(t, 1, 0)
	newer := s.acquire(t, 1, 0)
	require.Equal(t, older.Checkpoint().Position, newer.Checkpoint().Position)
	b := batch(1, document("a", "v"))
	require.ErrorIs(t, older.Commit(t.Context(), &b), projection.ErrFenced)
	require.Empty(t, s.dump(t, 1))
}

func freshFenced(t *testing.T, s *suite) {
	b := batch(7)
	require.NoError(t, s.acquire(t, 1, 0).Commit(t.Context(), &b))
	older := s.acquire(t, 1, 0)
	s.acquire(t, 1, 0)
	b = batch(8, document("a", "v"))
	require.ErrorIs(t, older.Commit(t.Context(), &b), projection.ErrFenced)
	require.EqualValues(t, 7, s.checkpoint(t, 1, 0).Position)
}

func partitionsApart(t *testing.T, s *suite) {
	s.create(t, 2)
	session := s.acquire(t, 1, 0)
	s.acquire(t, 1, 1)
	s.acquire(t, 2, 0)
	b := batch(1, document("a", "v"))
	require.NoError(t, session.Commit(t.Context(), &b))
	require.EqualValues(t, 0, s.checkpoint(t, 1, 1).Position)
	require.EqualValues(t, 0, s.checkpoint(t, 2, 0).Position)
}

func closedSession(t *testing.T, s *suite) {
	session := s.acquire(t, 1, 0)
	require.NoError(t, session.Close())
	b := batch(1, document("a", "v"))
	require.Error(t, session.Commit(t.Context(), &b))
	require.Empty(t, s.dump(t, 1))
	require.EqualValues(t, 0, s.checkpoint(t, 1, 0).Position)
}

// closeInterrupts closes a session that commits without end. Whether the last
// commit happened is open, that it is whole is not.
func closeInterrupts(t *testing.T, s *suite) {
	session := s.acquire(t, 1, 0)
	started := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for p := eventstore.Position(1); ; p++ {
			b := batch(p, counter("a", int64(p)), counter("b", int64(p)))
			if session.Commit(t.Context(), &b) != nil {
				return
			}
			if p == 10 {
				close(started)
			}
		}
	})
	<-started
	require.NoError(t, session.Close())
	wg.Wait()
	at := s.acquire(t, 1, 0).Checkpoint().Position
	require.GreaterOrEqual(t, at, eventstore.Position(10))
	for _, item := range s.dump(t, 1) {
		require.EqualValues(t, at, item.Count)
	}
}

func acquireMissing(t *testing.T, s *suite) {
	_, err := s.store.Acquire(t.Context(), view, 2, 0)
	require.ErrorIs(t, err, projection.ErrNoVersion)
	for _, part := range []int{-1, partitions} {
		_, err = s.store.Acquire(t.Context(), view, 1, part)
		require.Error(t, err)
	}
	_, err = s.store.Checkpoints(t.Context(), view, 2)
	require.ErrorIs(t, err, projection.ErrNoVersion)
}

func manyTakeOver(t *testing.T, s *suite) {
	sessions := make([]projection.Session, 8)
	errs := make([]error, len(sessions))
	var wg sync.WaitGroup
	for i := range sessions {
		wg.Go(func() { sessions[i], errs[i] = s.store.Acquire(t.Context(), view, 1, 0) })
	}
	wg.Wait()
	committed := 0
	for i, session := range sessions {
		// One that was overtaken while it took over may be told so at once.
		if errs[i] != nil {
			require.ErrorIs(t, errs[i], projection.ErrFenced)
			continue
		}
		b := batch(1, document("a", strconv.Itoa(i)))
		if err := session.Commit(t.Context(), &b); err == nil {
			committed++
		} else {
			require.ErrorIs(t, err, projection.ErrFenced)
		}
		require.NoError(t, session.Close())
	}
	require.Equal(t, 1, committed)
	require.Len(t, s.dump(t, 1), 1)
}

// racing lets two workers count the events 1 to n into one document, each
// taking over from the other whenever it was fenced.
func racing(t *testing.T, s *suite) {
	const events = 300
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = s.countTo(t, events) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	items := s.dump(t, 1)
	require.Len(t, items, 2)
	for _, item := range items {
		if item.Kind == projection.ItemDocument {
			require.Equal(t, strconv.Itoa(events), string(item.Value))
		} else {
			require.EqualValues(t, events, item.Count)
		}
	}
	require.EqualValues(t, events, s.checkpoint(t, 1, 0).Position)
}

// countTo works until all events are applied, by whomever. It gives way after
// some commits, so that both workers have their turns.
func (s *suite) countTo(t *testing.T, events uint64) error {
	for {
		session, err := s.store.Acquire(t.Context(), view, 1, 0)
		if errors.Is(err, projection.ErrFenced) {
			continue
		}
		if err != nil {
			return err
		}
		err = count(t, session, events)
		if cerr := session.Close(); cerr != nil {
			return cerr
		}
		if !errors.Is(err, projection.ErrFenced) {
			return err
		}
	}
}

// count reads what is there, adds one for each event, and returns nil at the
// end.
func count(t *testing.T, session projection.Session, events uint64) error {
	values, err := session.Documents(t.Context(), docs, []string{"n"})
	if err != nil {
		return err
	}
	n := 0
	if values[0] != nil {
		if n, err = strconv.Atoi(string(values[0])); err != nil {
			return err
		}
	}
	if at := session.Checkpoint().Position; uint64(n) != uint64(at) {
		// Another worker may have moved on since this session was acquired:
		// only a commit tells.
		b := batch(at)
		if err := session.Commit(t.Context(), &b); err != nil {
			return err
		}
		return fmt.Errorf("document says %d at position %d", n, at)
	}
	for p := session.Checkpoint().Position + 1; uint64(p) <= events; p++ {
		n++
		b := batch(p, document("n", strconv.Itoa(n)), counter("n", int64(n)))
		if err := session.Commit(t.Context(), &b); err != nil {
			return err
		}
	}
	return nil
}
