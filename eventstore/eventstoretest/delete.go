package eventstoretest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

func (f *fixture) delete(stream string) eventstore.Receipt {
	f.t.Helper()
	r, err := f.store.Delete(f.ctx, stream, eventstore.Any)
	require.NoError(f.t, err)
	return r
}

func (f *fixture) tombstone(stream string) {
	f.t.Helper()
	_, err := f.store.Tombstone(f.ctx, stream, eventstore.Any)
	require.NoError(f.t, err)
}

var deleteClauses = []clause{
	{"ADeletedStreamIsNotFound", func(t *testing.T, f *fixture) {
		s := f.filled(3)
		r := f.delete(s)
		assert.Equal(t, s, r.Stream)
		assert.Equal(t, f.head(), r.Position)
		f.readFails(eventstore.ErrStreamNotFound, s)
		m, v, err := f.store.StreamMetadata(f.ctx, s)
		require.NoError(t, err)
		assert.True(t, m.Deleted())
		assert.Equal(t, eventstore.StreamMetadata{TruncateBefore: eventstore.DeletedStream}, m)
		assert.EqualValues(t, 1, v)
	}},
	{"DeleteExpectsAVersion", func(t *testing.T, f *fixture) {
		s := f.filled(3)
		_, err := f.store.Delete(f.ctx, s, eventstore.Exact(2))
		require.ErrorIs(t, err, eventstore.ErrConflict)
		_, err = f.store.Delete(f.ctx, s, eventstore.NoStream)
		require.ErrorIs(t, err, eventstore.ErrConflict)
		assert.Len(t, f.read(s, eventstore.ReadOptions{}), 3)
		_, err = f.store.Delete(f.ctx, s, eventstore.Exact(3))
		require.NoError(t, err)
		_, err = f.store.Delete(f.ctx, s, eventstore.Any)
		require.NoError(t, err, "again is allowed")
	}},
	{"DeletingAMissingStreamConflicts", func(t *testing.T, f *fixture) {
		for _, x := range []eventstore.Expected{eventstore.Any, eventstore.NoStream, eventstore.StreamExists, eventstore.Exact(1)} {
			_, err := f.store.Delete(f.ctx, f.stream("1"), x)
			require.ErrorIs(t, err, eventstore.ErrConflict)
		}
	}},
	{"AppendAfterDeleteContinuesVersionsAndHidesTheOldEvents", func(t *testing.T, f *fixture) {
		for name, x := range map[string]eventstore.Expected{"any": eventstore.Any, "none": eventstore.NoStream, "exact": eventstore.Exact(3)} {
			s := f.stream(name)
			f.append(s, eventstore.NoStream, events(1, 3)...)
			f.delete(s)
			r := f.append(s, x, events(4, 5)...)
			assert.EqualValues(t, 5, r.Version)
			assert.False(t, r.Repeated)
			assert.Equal(t, span(4, 5), f.versions(s, eventstore.ReadOptions{}))
			assert.Equal(t, span(5, 4), f.versions(s, eventstore.ReadOptions{Backwards: true}))
			m, v, err := f.store.StreamMetadata(f.ctx, s)
			require.NoError(t, err)
			assert.EqualValues(t, 4, m.TruncateBefore)
			assert.EqualValues(t, 2, v)
			f.append(s, eventstore.Exact(5), event(6))
			assert.Equal(t, span(4, 6), f.versions(s, eventstore.ReadOptions{}))
		}
	}},
	{"ADeletedStreamDoesNotExist", func(_ *testing.T, f *fixture) {
		s := f.filled(3)
		f.delete(s)
		f.conflict(s, eventstore.StreamExists, 3, event(4)) // EventStoreDB says "stream deleted", which is for ever here
		f.conflict(s, eventstore.Exact(2), 3, event(4))
	}},
	{"RepeatedAppendAfterDeleteIsRecognized", func(t *testing.T, f *fixture) {
		s, es, next := f.stream("1"), events(1, 3), event(4)
		f.append(s, eventstore.NoStream, es...)
		f.delete(s)
		first := f.append(s, eventstore.Exact(3), next)
		first.Repeated = true
		assert.Equal(t, first, f.append(s, eventstore.Exact(3), next))
	}},
	{"MetadataOfADeletedStreamBringsItBackWithoutItsEvents", func(t *testing.T, f *fixture) {
		s := f.filled(3)
		f.delete(s)
		f.setMetadata(s, eventstore.StreamMetadata{MaxCount: 50})
		m, _, err := f.store.StreamMetadata(f.ctx, s)
		require.NoError(t, err)
		assert.Equal(t, eventstore.StreamMetadata{MaxCount: 50, TruncateBefore: 4}, m)
		assert.Empty(t, f.read(s, eventstore.ReadOptions{}))
		f.append(s, eventstore.Exact(3), event(4))
		assert.Equal(t, span(4, 4), f.versions(s, eventstore.ReadOptions{}))
	}},
	{"ATombstoneEndsAStreamForEver", testTombstone},
	{"TombstoneExpectsAVersion", func(t *testing.T, f *fixture) {
		s := f.filled(3)
		_, err := f.store.Tombstone(f.ctx, s, eventstore.Exact(2))
		require.ErrorIs(t, err, eventstore.ErrConflict)
		assert.Len(t, f.read(s, eventstore.ReadOptions{}), 3)
		r, err := f.store.Tombstone(f.ctx, s, eventstore.Exact(3))
		require.NoError(t, err)
		assert.Equal(t, s, r.Stream)
		assert.Equal(t, f.head(), r.Position)
	}},
	{"AMissingOrDeletedStreamCanBeTombstoned", func(_ *testing.T, f *fixture) {
		f.tombstone(f.stream("missing"))
		f.readFails(eventstore.ErrStreamDeleted, f.stream("missing"))
		s := f.filled(2)
		f.delete(s)
		f.tombstone(s)
		f.readFails(eventstore.ErrStreamDeleted, s)
	}},
}

func testTombstone(t *testing.T, f *fixture) {
	s, es := f.stream("1"), events(1, 2)
	f.append(s, eventstore.NoStream, es...)
	f.setMetadata(s, eventstore.StreamMetadata{MaxCount: 5})
	f.tombstone(s)
	f.readFails(eventstore.ErrStreamDeleted, s)
	f.readFails(eventstore.ErrStreamDeleted, eventstore.MetadataStream(s))
	for _, x := range []eventstore.Expected{eventstore.Any, eventstore.NoStream, eventstore.StreamExists, eventstore.Exact(2), eventstore.Exact(3)} {
		f.refused(eventstore.ErrStreamDeleted, s, x, event(3))
	}
	f.refused(eventstore.ErrStreamDeleted, s, eventstore.NoStream, es...)
	f.refused(eventstore.ErrStreamDeleted, s, eventstore.Any)
	_, err := f.store.Delete(f.ctx, s, eventstore.Any)
	require.ErrorIs(t, err, eventstore.ErrStreamDeleted)
	_, err = f.store.Tombstone(f.ctx, s, eventstore.Any)
	require.ErrorIs(t, err, eventstore.ErrStreamDeleted)
	_, err = f.store.SetStreamMetadata(f.ctx, s, eventstore.Any, eventstore.StreamMetadata{})
	require.ErrorIs(t, err, eventstore.ErrStreamDeleted)
	_, _, err = f.store.StreamMetadata(f.ctx, s)
	require.ErrorIs(t, err, eventstore.ErrStreamDeleted)
	_, err = collect(t, f.store.Subscribe(f.ctx, s, eventstore.SubscribeOptions{}))
	require.ErrorIs(t, err, eventstore.ErrStreamDeleted)
}
