package projectiontest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/projection"
)

var versionClauses = []clause{
	{"AViewThatWasNeverBuiltHasNoVersions", neverBuilt},
	{"AVersionNumberIsTakenOnce", versionTakenOnce},
	{"OfManyCreatorsOfAVersionOneSucceeds", oneCreator},
	{"VersionsAreListedOldestFirst", versionsListed},
	{"ReadsNeedAnActiveVersion", readsNeedActive},
	{"ReadsSeeOnlyTheActiveVersion", readsSeeActive},
	{"ActivationSwitchesAllPartitionsAtOnce", activationSwitchesAll},
	{"GoingBackToAnOlderVersionIsActivatingIt", goingBack},
	{"OnlyAnExistingVersionCanBeActivated", activateMissing},
	{"ActiveVersionCannotBeDropped", dropActive},
	{"DroppingAVersionRemovesAllOfItAndOnlyIt", dropRemoves},
	{"DroppingAVersionFencesItsSessions", dropFences},
	{"DroppingWhatIsNotThereIsHarmless", dropMissing},
	{"ADroppedNumberStartsEmptyAgain", droppedNumberAgain},
	{"ViewsDoNotTouchEachOther", viewsApart},
	{"ACancelledContextChangesNothing", cancelledContext},
}

func neverBuilt(t *testing.T, s *suite) {
	infos, err := s.store.Versions(t.Context(), "another")
	require.NoError(t, err)
	require.Empty(t, infos)
}

func versionTakenOnce(t *testing.T, s *suite) {
	require.ErrorIs(t, s.store.CreateVersion(t.Context(), view, info(1)), projection.ErrVersionExists)
}

func oneCreator(t *testing.T, s *suite) {
	const creators = 8
	var wg sync.WaitGroup
	errs := make([]error, creators)
	for i := range errs {
		wg.Go(func() {
			v := info(2)
			v.Definition = i
			errs[i] = s.store.CreateVersion(t.Context(), view, v)
		})
	}
	wg.Wait()
	created := -1
	for i, err := range errs {
		if err == nil {
			require.Equal(t, -1, created, "two creators succeeded")
			created = i
			continue
		}
		require.ErrorIs(t, err, projection.ErrVersionExists)
	}
	infos, err := s.store.Versions(t.Context(), view)
	require.NoError(t, err)
	require.Len(t, infos, 2)
	require.Equal(t, created, infos[1].Definition)
}

func versionsListed(t *testing.T, s *suite) {
	s.create(t, 10)
	s.create(t, 2)
	s.activate(t, 2)
	began := info(11) // of a reactor
	began.From, began.History = 1<<40, 1<<41
	require.NoError(t, s.store.CreateVersion(t.Context(), view, began))
	infos, err := s.store.Versions(t.Context(), view)
	require.NoError(t, err)
	want := []projection.VersionInfo{info(1), info(2), info(10), began}
	want[1].Active, want[1].Built = true, true
	require.Equal(t, want, infos)
	s.activate(t, 1)
	infos, err = s.store.Versions(t.Context(), view)
	require.NoError(t, err)
	require.True(t, infos[1].Built, "it was active once")
	require.False(t, infos[1].Active)
	require.False(t, infos[2].Built)
}

func readsNeedActive(t *testing.T, s *suite) {
	ctx := t.Context()
	calls := map[string]func() error{
		"Active":        func() error { _, err := s.store.Active(ctx, view); return err },
		"Checkpoint":    func() error { _, err := s.store.Checkpoint(ctx, view, "k"); return err },
		"Documents":     func() error { _, err := s.store.Documents(ctx, view, docs, []string{"k"}); return err },
		"Counts":        func() error { _, err := s.store.Counts(ctx, view, counts, []string{"k"}); return err },
		"Top":           func() error { _, err := s.store.Top(ctx, view, counts, 3); return err },
		"Range":         func() error { _, err := s.store.Range(ctx, view, index, "k", projection.Range{}); return err },
		"RangeAll":      func() error { _, err := s.store.RangeAll(ctx, view, index, "k", projection.Range{}); return err },
		"CountRange":    func() error { _, err := s.store.CountRange(ctx, view, index, "k", nil, nil); return err },
		"CountRangeAll": func() error { _, err := s.store.CountRangeAll(ctx, view, index, "k", nil, nil); return err },
		"Scores":        func() error { _, err := s.store.Scores(ctx, view, index, "k", []string{"m"}); return err },
		"Rank":          func() error { _, err := s.store.Rank(ctx, view, index, "k", "m", false); return err },
		"SetMembers":    func() error { _, err := s.store.SetMembers(ctx, view, sets, "k"); return err },
		"SetContains":   func() error { _, err := s.store.SetContains(ctx, view, sets, "k", []string{"m"}); return err },
		"SetSize":       func() error { _, err := s.store.SetSize(ctx, view, sets, "k"); return err },
	}
	for name, call := range calls {
		require.ErrorIs(t, call(), projection.ErrNotBuilt, name)
	}
}

func readsSeeActive(t *testing.T, s *suite) {
	s.create(t, 2)
	s.put(t, 1, "a", "old")
	s.put(t, 2, "a", "new")
	s.put(t, 2, "b", "new")
	s.activate(t, 1)
	require.Equal(t, []string{"old", "<nil>"}, s.read(t, "a", "b"))
	got, err := s.store.Active(t.Context(), view)
	require.NoError(t, err)
	want := info(1)
	want.Active, want.Built = true, true
	require.Equal(t, want, got)
}

// activationSwitchesAll reads one document of each partition while versions
// change: an answer must not mix them.
func activationSwitchesAll(t *testing.T, s *suite) {
	s.create(t, 2)
	keys := make([]string, 0, partitions)
	for i := 0; len(keys) < partitions; i++ {
		if key := fmt.Sprint("k", i); partitionOf(key) == len(keys) {
			keys = append(keys, key)
			s.put(t, 1, key, "1")
			s.put(t, 2, key, "2")
		}
	}
	s.activate(t, 1)
	done := make(chan error, 1)
	go func() {
		var err error
		for i := range 100 {
			err = errors.Join(err, s.store.Activate(t.Context(), view, 1+i%2))
		}
		done <- err
	}()
	for {
		got := s.read(t, keys...)
		for _, v := range got {
			require.Equal(t, got[0], v, "one answer from two versions")
		}
		select {
		case err := <-done:
			require.NoError(t, err)
			require.Equal(t, []string{"2", "2", "2", "2"}, s.read(t, keys...))
			return
		default:
		}
	}
}

func goingBack(t *testing.T, s *suite) {
	s.create(t, 2)
	s.put(t, 1, "a", "old")
	s.activate(t, 1)
	s.activate(t, 2)
	require.Equal(t, []string{"<nil>"}, s.read(t, "a"))
	s.activate(t, 1)
	require.Equal(t, []string{"old"}, s.read(t, "a"))
}

func activateMissing(t *testing.T, s *suite) {
	require.ErrorIs(t, s.store.Activate(t.Context(), view, 2), projection.ErrNoVersion)
	require.ErrorIs(t, s.store.Activate(t.Context(), "another", 1), projection.ErrNoVersion)
	_, err := s.store.Active(t.Context(), view)
	require.ErrorIs(t, err, projection.ErrNotBuilt)
}

func dropActive(t *testing.T, s *suite) {
	s.put(t, 1, "a", "v")
	s.activate(t, 1)
	require.ErrorIs(t, s.store.DropVersion(t.Context(), view, 1), projection.ErrVersionActive)
	require.Equal(t, []string{"v"}, s.read(t, "a"))
}

// everything is one of each thing that a partition can hold.
func everything() projection.Batch {
	return batch(0, document("d", "v"), counter("c", 1), member("i", "m", 1), inSet("t", "m"), parked("s", []byte("p")))
}

func dropRemoves(t *testing.T, s *suite) {
	s.create(t, 2)
	for p := range partitions {
		s.commit(t, 1, p, everything())
		s.commit(t, 2, p, everything())
	}
	require.NoError(t, s.store.DropVersion(t.Context(), view, 1))
	infos, err := s.store.Versions(t.Context(), view)
	require.NoError(t, err)
	require.Equal(t, []projection.VersionInfo{info(2)}, infos)
	require.Len(t, s.dump(t, 2), 5*partitions)
	_, err = s.store.Checkpoints(t.Context(), view, 1)
	require.ErrorIs(t, err, projection.ErrNoVersion)
	_, err = s.store.Acquire(t.Context(), view, 1, 0)
	require.ErrorIs(t, err, projection.ErrNoVersion)
}

func dropFences(t *testing.T, s *suite) {
	session := s.acquire(t, 1, 0)
	require.NoError(t, s.store.DropVersion(t.Context(), view, 1))
	b := batch(5, document("a", "v"))
	require.ErrorIs(t, session.Commit(t.Context(), &b), projection.ErrFenced)
}

func dropMissing(t *testing.T, s *suite) {
	require.NoError(t, s.store.DropVersion(t.Context(), view, 7))
	require.NoError(t, s.store.DropVersion(t.Context(), "another", 1))
	require.NoError(t, s.store.DropVersion(t.Context(), view, 1))
	require.NoError(t, s.store.DropVersion(t.Context(), view, 1))
}

func droppedNumberAgain(t *testing.T, s *suite) {
	s.commit(t, 1, 0, everything())
	require.NoError(t, s.store.DropVersion(t.Context(), view, 1))
	s.create(t, 1)
	require.Empty(t, s.dump(t, 1))
	require.Equal(t, projection.Checkpoint{}, s.checkpoint(t, 1, 0))
	require.EqualValues(t, 0, s.acquire(t, 1, 0).Checkpoint().Position)
}

func viewsApart(t *testing.T, s *suite) {
	for _, other := range []string{view + ":p00", view + ":v1", "{" + view + "}", "ö {x} y\n", "%"} {
		require.NoError(t, s.store.CreateVersion(t.Context(), other, info(1)), other)
		require.NoError(t, s.store.Activate(t.Context(), other, 1), other)
	}
	s.put(t, 1, "a", "v")
	s.activate(t, 1)
	for _, other := range []string{view + ":p00", view + ":v1", "{" + view + "}", "ö {x} y\n", "%"} {
		got, err := s.store.Documents(t.Context(), other, docs, []string{"a"})
		require.NoError(t, err)
		require.Equal(t, [][]byte{nil}, got, other)
	}
}

func cancelledContext(t *testing.T, s *suite) {
	s.put(t, 1, "a", "v")
	s.activate(t, 1)
	session := s.acquire(t, 1, partitionOf("a"))
	before := s.checkpoint(t, 1, partitionOf("a"))
	ctx := cancelled(t)
	b := batch(before.Position+1, document("a", "w"))
	calls := map[string]func() error{
		"Commit":        func() error { return session.Commit(ctx, &b) },
		"Acquire":       func() error { _, err := s.store.Acquire(ctx, view, 1, partitionOf("a")); return err },
		"CreateVersion": func() error { return s.store.CreateVersion(ctx, view, info(2)) },
		"Activate":      func() error { return s.store.Activate(ctx, view, 1) },
		"DropVersion":   func() error { return s.store.DropVersion(ctx, view, 1) },
		"Lease":         func() error { _, err := s.store.Lease(ctx, view, "me", time.Second, "l"); return err },
		"Notes":         func() error { _, err := s.store.Notes(ctx, view); return err },
		"PutNote":       func() error { return s.store.PutNote(ctx, view, "n", []byte("v"), 0) },
		"TakeNote":      func() error { _, err := s.store.TakeNote(ctx, view, "n"); return err },
		"Views":         func() error { _, err := s.store.Views(ctx); return err },
		"Documents":     func() error { _, err := s.store.Documents(ctx, view, docs, []string{"a"}); return err },
		"SetMembers":    func() error { _, err := s.store.SetMembers(ctx, view, sets, "a"); return err },
		"RangeAll":      func() error { _, err := s.store.RangeAll(ctx, view, index, "a", projection.Range{}); return err },
		"session reads": func() error { _, err := session.SetMembers(ctx, sets, "a"); return err },
		"Dump": func() error {
			for _, err := range s.store.Dump(ctx, view, 1) {
				return err
			}
			return nil
		},
	}
	for name, call := range calls {
		require.ErrorIs(t, call(), ctx.Err(), name)
	}
	require.Equal(t, []string{"v"}, s.read(t, "a"))
	require.Equal(t, before, s.checkpoint(t, 1, partitionOf("a")))
}
