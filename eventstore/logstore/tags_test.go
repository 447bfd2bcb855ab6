package logstore_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
)

func tagQuery(tags ...string) eventstore.Query { return eventstore.Query{{Tags: tags}} }

func taggedEvent(n int, tags ...string) eventstore.Event {
	e := event(n)
	e.Metadata = withTags(eventstore.Metadata{}, tags...)
	return e
}

// positions returns where the events with all of the tags are.
func positions(t *testing.T, s *logstore.Store, tags ...string) []eventstore.Position {
	t.Helper()
	var ps []eventstore.Position
	for _, r := range collect(t, s.ReadQuery(t.Context(), tagQuery(tags...), eventstore.ReadQueryOptions{})) {
		ps = append(ps, r.Position)
	}
	return ps
}

// What a scavenge removes is found by no tag, what it leaves by all of them,
// also after the index files were made again.
func TestScavengeRemovesFromTheTags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, &tiny)
	for i := range 120 {
		_, err := s.Append(t.Context(), fmt.Sprintf("a-%d", i%3), eventstore.Any, taggedEvent(i, "all", fmt.Sprint("stream:", i%3), fmt.Sprint("n:", i)))
		require.NoError(t, err)
	}
	_, err := s.Delete(t.Context(), "a-1", eventstore.Any)
	require.NoError(t, err)
	appendTo(t, s, "filler", 60)
	require.Positive(t, scavenged(t, s, all).Events)
	check := func() {
		t.Helper()
		assert.Len(t, positions(t, s, "all"), 81)
		assert.Equal(t, []eventstore.Position{119}, positions(t, s, "stream:1"), "the last one stays")
		assert.Equal(t, []eventstore.Position{4}, positions(t, s, "n:3", "stream:0"))
		assert.Empty(t, positions(t, s, "n:4"))
		_, err := s.AppendIf(t.Context(), "b", eventstore.Condition{Query: tagQuery("n:4")})
		require.NoError(t, err)
		_, err = s.AppendIf(t.Context(), "b", eventstore.Condition{Query: tagQuery("n:5")})
		require.ErrorIs(t, err, eventstore.ErrConflict)
		checkLog(t, s, true)
	}
	check()
	require.NoError(t, s.Close())
	verified(t, dir)
	s = open(t, dir, &tiny)
	check()
	require.NoError(t, s.Close())
	for _, seg := range segments(t, dir) {
		require.NoError(t, os.Remove(index(seg)))
	}
	s = open(t, dir, &tiny)
	check()
}

// A repetition is recognized by what it wrote when the store has long forgotten
// its ids, in a sealed segment too.
func TestAConditionIsRepeatedForEver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opts := &logstore.Options{SegmentSize: 4096, Sync: logstore.SyncNever}
	s := open(t, dir, opts)
	es := []eventstore.Event{taggedEvent(1, "other"), taggedEvent(2, "name:ada"), taggedEvent(3)}
	c := eventstore.Condition{Query: tagQuery("name:ada")}
	first, err := s.AppendIf(t.Context(), "user-1", c, es...)
	require.NoError(t, err)
	for i := range 30 {
		appendTo(t, s, "filler", 30)
		_, err := s.Append(t.Context(), "user-1", eventstore.Any, taggedEvent(i, "name:ada"))
		require.NoError(t, err)
	}
	require.Greater(t, s.Stats().Segments, 2)
	first.Repeated = true
	again := func() {
		t.Helper()
		s.Forget()
		got, err := s.AppendIf(t.Context(), "user-1", c, es...)
		require.NoError(t, err)
		assert.Equal(t, first, got)
		_, err = s.AppendIf(t.Context(), "user-1", c, es[1], es[2])
		require.NoError(t, err, "the part that matches is there")
		_, err = s.AppendIf(t.Context(), "user-1", c, es[0], es[1], event(9))
		require.ErrorIs(t, err, eventstore.ErrConflict)
		_, err = s.AppendIf(t.Context(), "user-2", c, es...)
		require.ErrorIs(t, err, eventstore.ErrConflict)
	}
	again()
	require.NoError(t, s.Close())
	s = open(t, dir, opts)
	again()
}

// Who reads by tags while others append, and segments end, sees a beginning of
// what there is in the end.
func TestReadingByTagsBesideWriters(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), &logstore.Options{SegmentSize: 4096, Sync: logstore.SyncNever})
	const n = 400
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range n {
			_, err := s.Append(context.Background(), fmt.Sprint("a-", i%5), eventstore.Any, event(i), taggedEvent(i, "all", fmt.Sprint("half:", i%2)))
			assert.NoError(t, err)
		}
	}()
	for seen := 0; seen < n/2; {
		ps := positions(t, s, "all", "half:1")
		require.GreaterOrEqual(t, len(ps), seen)
		for i, p := range ps {
			require.EqualValues(t, 4*(i+1), p)
		}
		seen = len(ps)
	}
	<-done
}

// An index in memory ends before the tags of an application that gives every
// event many of its own fill it.
func TestManyTagsEndASegment(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), &logstore.Options{Sync: logstore.SyncNever})
	const each = 4000
	const appends = 70
	for i := range appends {
		var tags []byte
		for j := range each {
			tags = append(strconv.AppendInt(tags, int64(i*each+j), 10), ',')
		}
		e := event(i)
		e.Metadata = eventstore.NewMetadata(eventstore.KeyTags, string(tags))
		_, err := s.Append(t.Context(), "a-1", eventstore.Any, e)
		require.NoError(t, err)
	}
	assert.Equal(t, 2, s.Stats().Segments)
	s.Sealed()
	assert.Less(t, s.Inspect().Memory, int64(16<<20), "the full segment is in memory no more")
	assert.Equal(t, []eventstore.Position{1}, positions(t, s, "0", "3999"))
	assert.Equal(t, []eventstore.Position{appends}, positions(t, s, fmt.Sprint(appends*each-1)))
	assert.Empty(t, positions(t, s, "0", "4000"))
}
