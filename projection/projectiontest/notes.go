package projectiontest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var noteClauses = []clause{
	{"NotesAreKeptByViewAndName", notesKept},
	{"NotesHoldAnyBytes", notesBinary},
	{"ANoteIsReplacedAndRemoved", noteReplaced},
	{"NotesExpire", notesExpire},
	{"OfManyWhoTakeANoteOneGetsIt", noteTakenOnce},
	{"NotesOutliveVersions", notesOutlive},
	{"ViewsAreThoseWithAVersion", viewsWithVersions},
}

// note puts a note that stays.
func (s *suite) note(t *testing.T, view, name, value string) {
	t.Helper()
	require.NoError(t, s.store.PutNote(t.Context(), view, name, []byte(value), 0))
}

// notes returns all notes of a view as strings.
func (s *suite) notes(t *testing.T, view string) map[string]string {
	t.Helper()
	all, err := s.store.Notes(t.Context(), view)
	require.NoError(t, err)
	values := make(map[string]string)
	for name, value := range all {
		require.NotNil(t, value, name)
		values[name] = string(value)
	}
	return values
}

func (s *suite) take(t *testing.T, name string) []byte {
	t.Helper()
	value, err := s.store.TakeNote(t.Context(), view, name)
	require.NoError(t, err)
	return value
}

func notesKept(t *testing.T, s *suite) {
	require.Empty(t, s.notes(t, view))
	s.note(t, view, "a", "1")
	s.note(t, view, "b:{}", "2")
	s.note(t, "another", "a", "3")
	require.Equal(t, map[string]string{"a": "1", "b:{}": "2"}, s.notes(t, view))
	require.Equal(t, map[string]string{"a": "3"}, s.notes(t, "another"))
	require.Equal(t, "1", string(s.take(t, "a")))
	require.Nil(t, s.take(t, "a"))
	require.Nil(t, s.take(t, "never"))
	require.Equal(t, map[string]string{"b:{}": "2"}, s.notes(t, view))
	require.Equal(t, map[string]string{"a": "3"}, s.notes(t, "another"))
}

func notesBinary(t *testing.T, s *suite) {
	var every strings.Builder
	for b := range 256 {
		every.WriteByte(byte(b))
	}
	want := map[string]string{"empty": "", "every": every.String(), every.String(): ":1", "long": strings.Repeat("\x00\xff:\r\n", 20_000)}
	for name, value := range want {
		s.note(t, view, name, value)
	}
	require.Equal(t, want, s.notes(t, view))
	for name, value := range want {
		got := s.take(t, name)
		require.NotNil(t, got, "an empty note is one")
		require.Equal(t, value, string(got))
	}
}

func noteReplaced(t *testing.T, s *suite) {
	s.note(t, view, "a", "1")
	s.note(t, view, "a", "2")
	require.Equal(t, map[string]string{"a": "2"}, s.notes(t, view))
	require.NoError(t, s.store.PutNote(t.Context(), view, "a", nil, time.Hour))
	require.NoError(t, s.store.PutNote(t.Context(), view, "a", nil, 0))
	require.Empty(t, s.notes(t, view))
	require.Error(t, s.store.PutNote(t.Context(), view, "a", []byte("3"), -time.Second))
	require.Empty(t, s.notes(t, view))
}

// notesExpire lets a note that was put later expire first: it shows that the
// others' time has come or has not.
func notesExpire(t *testing.T, s *suite) {
	put := func(name string, ttl time.Duration) {
		require.NoError(t, s.store.PutNote(t.Context(), view, name, []byte("v"), ttl))
	}
	put("seen", 20*time.Millisecond)
	put("taken", 20*time.Millisecond)
	put("prolonged", 20*time.Millisecond)
	put("prolonged", time.Hour)
	put("made to stay", 20*time.Millisecond)
	put("made to stay", 0)
	put("witness", 20*time.Millisecond)
	require.Eventually(t, func() bool { return s.notes(t, view)["witness"] == "" }, 10*time.Second, 2*time.Millisecond)
	require.Nil(t, s.take(t, "taken"))
	require.Equal(t, map[string]string{"prolonged": "v", "made to stay": "v"}, s.notes(t, view))
	put("seen", time.Hour)
	require.Equal(t, "v", string(s.take(t, "seen")))
}

func noteTakenOnce(t *testing.T, s *suite) {
	const notes, takers = 20, 8
	for i := range notes {
		s.note(t, view, fmt.Sprint(i), fmt.Sprint("v", i))
	}
	var mu sync.Mutex
	taken := make(map[string]int)
	var failed error
	var wg sync.WaitGroup
	for range takers {
		wg.Go(func() {
			for i := range notes {
				value, err := s.store.TakeNote(t.Context(), view, fmt.Sprint(i))
				mu.Lock()
				if failed = errors.Join(failed, err); value != nil {
					taken[string(value)]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.NoError(t, failed)
	require.Len(t, taken, notes)
	for value, times := range taken {
		require.Equal(t, 1, times, value)
	}
}

func notesOutlive(t *testing.T, s *suite) {
	s.note(t, view, "a", "1")
	require.NoError(t, s.store.DropVersion(t.Context(), view, 1))
	require.Equal(t, map[string]string{"a": "1"}, s.notes(t, view))
}

func viewsWithVersions(t *testing.T, s *suite) {
	names := func() []string {
		all, err := s.store.Views(t.Context())
		require.NoError(t, err)
		return all
	}
	require.Equal(t, []string{view}, names())
	require.NoError(t, s.store.CreateVersion(t.Context(), "a:{view}", info(3)))
	require.NoError(t, s.store.CreateVersion(t.Context(), "zero", info(1)))
	s.create(t, 2)
	s.note(t, "only notes", "a", "1")
	s.lease(t, "only leases", "l", "ada", time.Hour)
	require.Equal(t, []string{"a:{view}", view, "zero"}, names())
	require.NoError(t, s.store.DropVersion(t.Context(), view, 1))
	require.NoError(t, s.store.DropVersion(t.Context(), "zero", 1))
	require.Equal(t, []string{"a:{view}", view}, names())
	require.NoError(t, s.store.DropVersion(t.Context(), view, 2))
	require.Equal(t, []string{"a:{view}"}, names())
	s.create(t, 3)
	require.Equal(t, []string{"a:{view}", view}, names())
}
