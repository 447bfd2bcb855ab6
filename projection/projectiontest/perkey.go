package projectiontest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/projection"
)

var perKeyClauses = []clause{
	{"VersionsRememberWhatIsStoredPerKey", perKeyRemembered},
	{"DocumentsStoredPerKeyAreReadLikeOthers", perKeyRead},
	{"AFencedSessionLeavesDocumentsPerKeyAlone", perKeyFenced},
	{"DumpShowsDocumentsPerKey", perKeyDumped},
	{"DroppingLeavesNoDocumentPerKeyBehind", perKeyDropped},
	{"DocumentsExpireAfterTheirLastWrite", documentsExpire},
	{"OnlyDocumentsPerKeyExpire", onlyPerKeyExpire},
}

// Stored per key, in version 2. Names of one begin like those of another.
const sessions, sessions2 = "sess*ions:", "sess*ions:2"

func (s *suite) createPerKey(t *testing.T) {
	t.Helper()
	v := info(2)
	v.PerKey = []string{sessions, sessions2}
	require.NoError(t, s.store.CreateVersion(t.Context(), view, v))
}

// of has changes of documents belong to a collection.
func of(collection string, ttl time.Duration, changes ...change) change {
	return func(b *projection.Batch) {
		var part projection.Batch
		for _, c := range changes {
			c(&part)
		}
		d := *documents(&part)
		d.Collection, d.TTL = collection, ttl
		b.Documents = append(b.Documents, d)
	}
}

// readOf returns documents of a collection of the active version.
func (s *suite) readOf(t *testing.T, collection string, keys ...string) []string {
	t.Helper()
	values, err := s.store.Documents(t.Context(), view, collection, keys)
	require.NoError(t, err)
	return texts(values)
}

func perKeyRemembered(t *testing.T, s *suite) {
	s.createPerKey(t)
	infos, err := s.store.Versions(t.Context(), view)
	require.NoError(t, err)
	require.Empty(t, infos[0].PerKey)
	require.Equal(t, []string{sessions, sessions2}, infos[1].PerKey)
	s.activate(t, 2)
	active, err := s.store.Active(t.Context(), view)
	require.NoError(t, err)
	require.Equal(t, []string{sessions, sessions2}, active.PerKey)
}

func perKeyRead(t *testing.T, s *suite) {
	s.createPerKey(t)
	s.activate(t, 2)
	keys := []string{"a", "", ":", "{b}", "\x00\xff", "*"}
	for _, key := range keys {
		s.commit(t, 2, partitionOf(key), batch(0, of(sessions, 0, document(key, "1"+key)), of(sessions2, 0, document(key, "2"+key)), of(docs, 0, document(key, ""))))
	}
	for _, key := range keys {
		require.Equal(t, []string{"1" + key, "<nil>"}, s.readOf(t, sessions, key, "never"))
		require.Equal(t, []string{"2" + key}, s.readOf(t, sessions2, key))
		require.Equal(t, []string{""}, s.readOf(t, docs, key))
	}
	require.Equal(t, []string{"1a", "1*", "1a"}, s.readOf(t, sessions, "a", "*", "a"))
	s.commit(t, 2, partitionOf("a"), batch(0, of(sessions, 0, noDocument("a")), of(sessions2, 0, document("a", "new"), noDocument("never"))))
	require.Equal(t, []string{"<nil>"}, s.readOf(t, sessions, "a"))
	require.Equal(t, []string{"new"}, s.readOf(t, sessions2, "a"))

	session := s.acquire(t, 2, partitionOf("a"))
	values, err := session.Documents(t.Context(), sessions2, []string{"never", "a"})
	require.NoError(t, err)
	require.Equal(t, []string{"<nil>", "new"}, texts(values))
	s.activate(t, 1)
	require.Equal(t, []string{"<nil>"}, s.readOf(t, sessions2, "a"), "version 1 has no such thing")
}

func perKeyFenced(t *testing.T, s *suite) {
	s.createPerKey(t)
	older := s.acquire(t, 2, 0)
	b := batch(1, of(sessions, time.Hour, document("a", "1"), document("b", "1")))
	require.NoError(t, older.Commit(t.Context(), &b))
	newer := s.acquire(t, 2, 0)
	b = batch(2, of(sessions, time.Hour, document("a", "2"), noDocument("b")), of(sessions2, 0, document("a", "2")))
	require.ErrorIs(t, older.Commit(t.Context(), &b), projection.ErrFenced)
	values, err := newer.Documents(t.Context(), sessions, []string{"a", "b"})
	require.NoError(t, err)
	require.Equal(t, []string{"1", "1"}, texts(values))
	require.Len(t, s.dump(t, 2), 2)
}

// fillPerKey stores n documents in each collection of version 2.
func (s *suite) fillPerKey(t *testing.T, n int) []projection.Item {
	t.Helper()
	changes := make([][3][]change, partitions)
	names := [3]string{docs, sessions, sessions2}
	var items []projection.Item
	for i := range n {
		key := fmt.Sprint("k:", i)
		for c, name := range names {
			value := fmt.Sprint(name, i)
			changes[partitionOf(key)][c] = append(changes[partitionOf(key)][c], document(key, value))
			items = append(items, projection.Item{Kind: projection.ItemDocument, Collection: name, Key: key, Value: []byte(value)})
		}
	}
	for part, cs := range changes {
		s.commit(t, 2, part, batch(0, of(docs, 0, cs[0]...), of(sessions, 0, cs[1]...), of(sessions2, time.Hour, cs[2]...)))
	}
	return sorted(items)
}

func perKeyDumped(t *testing.T, s *suite) {
	s.createPerKey(t)
	want := s.fillPerKey(t, 1500)
	other := info(22) // its number begins like that of the other
	other.PerKey = []string{sessions}
	require.NoError(t, s.store.CreateVersion(t.Context(), view, other))
	s.commit(t, 22, 0, batch(0, of(sessions, 0, document("k", "v"))))
	require.Equal(t, want, s.dump(t, 2))
	require.Len(t, s.dump(t, 22), 1)
	for _, err := range s.store.Dump(t.Context(), view, 2) {
		require.NoError(t, err)
		break // stopping early is allowed
	}
}

func perKeyDropped(t *testing.T, s *suite) {
	s.createPerKey(t)
	s.fillPerKey(t, 1500)
	require.NoError(t, s.store.DropVersion(t.Context(), view, 2))
	s.createPerKey(t)
	require.Empty(t, s.dump(t, 2))
	s.activate(t, 2)
	require.Equal(t, []string{"<nil>"}, s.readOf(t, sessions, "k:1"))
}

// documentsExpire lets a document that was written last expire first: it shows
// that the others' time has come or has not.
func documentsExpire(t *testing.T, s *suite) {
	const soon = 20 * time.Millisecond
	s.createPerKey(t)
	s.activate(t, 2)
	session := s.acquire(t, 2, 0)
	b := batch(1, of(sessions, soon, document("gone", "v"), document("renewed", "v"), document("made to stay", "v"), document("deleted", "v")))
	require.NoError(t, session.Commit(t.Context(), &b))
	b = batch(2, of(sessions, time.Hour, document("renewed", "w"), noDocument("deleted")))
	require.NoError(t, session.Commit(t.Context(), &b))
	b = batch(3, of(sessions, 0, document("made to stay", "w")))
	require.NoError(t, session.Commit(t.Context(), &b))
	b = batch(4, of(sessions, soon, document("witness", "v")))
	require.NoError(t, session.Commit(t.Context(), &b))
	read := func(keys ...string) []string {
		values, err := session.Documents(t.Context(), sessions, keys)
		require.NoError(t, err)
		return texts(values)
	}
	require.Eventually(t, func() bool { return read("witness")[0] == "<nil>" }, 10*time.Second, 2*time.Millisecond)
	require.Equal(t, []string{"<nil>", "w", "w", "<nil>"}, read("gone", "renewed", "made to stay", "deleted"))
	require.Len(t, s.dump(t, 2), 2)
	b = batch(5, of(sessions, time.Hour, document("gone", "again")))
	require.NoError(t, session.Commit(t.Context(), &b))
	require.Equal(t, []string{"again"}, read("gone"))
}

func onlyPerKeyExpire(t *testing.T, s *suite) {
	s.createPerKey(t)
	for _, c := range []struct {
		collection string
		ttl        time.Duration
	}{{docs, time.Hour}, {sessions, -1}} {
		b := batch(1, document("other", "v"), of(c.collection, c.ttl, document("a", "v")))
		require.Error(t, s.acquire(t, 2, 0).Commit(t.Context(), &b))
	}
	require.Empty(t, s.dump(t, 2))
	require.EqualValues(t, 0, s.checkpoint(t, 2, 0).Position)
}
