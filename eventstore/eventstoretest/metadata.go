package eventstoretest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

var metadataClauses = []clause{
	{"MetadataOfAnyStreamIsEmptyAtVersionZero", func(t *testing.T, f *fixture) {
		m, v, err := f.store.StreamMetadata(f.ctx, f.stream("1"))
		require.NoError(t, err)
		assert.Zero(t, m)
		assert.Zero(t, v)
	}},
	{"MetadataComesBackAsGiven", func(t *testing.T, f *fixture) {
		want := eventstore.StreamMetadata{
			MaxCount: 3, MaxAge: time.Hour, TruncateBefore: 2, CacheControl: time.Minute,
			ACL:    &eventstore.ACL{Read: []string{"$admins", "ada"}, Write: []string{"$all"}},
			Custom: map[string]json.RawMessage{"owner": json.RawMessage(`"ada"`), "n": json.RawMessage(`{"x":[1,2]}`)},
		}
		f.setMetadata(f.stream("1"), want)
		got, v, err := f.store.StreamMetadata(f.ctx, f.stream("1"))
		require.NoError(t, err)
		assert.Equal(t, want, got)
		assert.EqualValues(t, 1, v)
	}},
	{"MetadataHasVersionsOfItsOwn", func(t *testing.T, f *fixture) {
		s := f.filled(5)
		set := func(x eventstore.Expected, n uint64) error {
			_, err := f.store.SetStreamMetadata(f.ctx, s, x, eventstore.StreamMetadata{MaxCount: n})
			return err
		}
		require.ErrorIs(t, set(eventstore.StreamExists, 9), eventstore.ErrConflict)
		require.ErrorIs(t, set(eventstore.Exact(5), 9), eventstore.ErrConflict)
		require.NoError(t, set(eventstore.NoStream, 1))
		require.ErrorIs(t, set(eventstore.NoStream, 9), eventstore.ErrConflict)
		require.NoError(t, set(eventstore.Exact(1), 2))
		require.ErrorIs(t, set(eventstore.Exact(1), 9), eventstore.ErrConflict)
		require.NoError(t, set(eventstore.Any, 3))
		m, v, err := f.store.StreamMetadata(f.ctx, s)
		require.NoError(t, err)
		assert.EqualValues(t, 3, m.MaxCount)
		assert.EqualValues(t, 3, v)
		assert.EqualValues(t, 6, f.append(s, eventstore.Exact(5), event(6)).Version, "the stream's versions are its own")
	}},
	{"AMetastreamShowsItsLastEventOnly", func(t *testing.T, f *fixture) {
		s := f.stream("1")
		f.readFails(eventstore.ErrStreamNotFound, eventstore.MetadataStream(s))
		f.setMetadata(s, eventstore.StreamMetadata{MaxCount: 1})
		f.setMetadata(s, eventstore.StreamMetadata{MaxCount: 2})
		got := f.read(eventstore.MetadataStream(s), eventstore.ReadOptions{})
		require.Len(t, got, 1)
		assert.EqualValues(t, 2, got[0].Version)
		assert.Equal(t, eventstore.TypeStreamMetadata, got[0].Type)
		assert.Equal(t, eventstore.ContentTypeJSON, got[0].ContentType)
		assert.JSONEq(t, `{"$maxCount":2}`, string(got[0].Data))
	}},
	{"AnAppendToTheMetastreamSetsMetadata", func(t *testing.T, f *fixture) {
		s := f.filled(5)
		e := eventstore.Event{
			ID: eventstore.NewID(), Type: eventstore.TypeStreamMetadata,
			ContentType: eventstore.ContentTypeJSON, Data: []byte(`{"$maxCount":2,"mine":true}`),
		}
		f.append(eventstore.MetadataStream(s), eventstore.NoStream, e)
		m, v, err := f.store.StreamMetadata(f.ctx, s)
		require.NoError(t, err)
		assert.EqualValues(t, 2, m.MaxCount)
		assert.Equal(t, "true", string(m.Custom["mine"]))
		assert.EqualValues(t, 1, v)
		assert.Equal(t, span(4, 5), f.versions(s, eventstore.ReadOptions{}))
		assert.True(t, f.append(eventstore.MetadataStream(s), eventstore.NoStream, e).Repeated)
	}},
	{"MetadataThatIsNotUnderstoodCountsAsNone", func(t *testing.T, f *fixture) {
		s := f.filled(5)
		f.setMetadata(s, eventstore.StreamMetadata{MaxCount: 1})
		bad := event(1)
		bad.Type, bad.Data = eventstore.TypeStreamMetadata, []byte(`{"$maxCount":"two"}`)
		f.append(eventstore.MetadataStream(s), eventstore.Any, bad)
		assert.Equal(t, span(1, 5), f.versions(s, eventstore.ReadOptions{}))
	}},
	{"UndeletingKeepsTheOtherMetadata", func(t *testing.T, f *fixture) {
		s := f.filled(2)
		f.delete(s)
		f.append(s, eventstore.Any, event(3))
		m, _, err := f.store.StreamMetadata(f.ctx, s)
		require.NoError(t, err)
		m.Custom = map[string]json.RawMessage{"mine": json.RawMessage("1")}
		f.setMetadata(s, m)
		f.append(s, eventstore.Any, event(4))
		m, _, err = f.store.StreamMetadata(f.ctx, s)
		require.NoError(t, err)
		assert.EqualValues(t, 3, m.TruncateBefore)
		assert.Equal(t, "1", string(m.Custom["mine"]))
	}},
	{"MetadataIsNotSharedWithTheCaller", func(t *testing.T, f *fixture) {
		s := f.stream("1")
		given := map[string]json.RawMessage{"k": json.RawMessage("1")}
		f.setMetadata(s, eventstore.StreamMetadata{Custom: given})
		given["k"] = json.RawMessage("2")
		first, _, err := f.store.StreamMetadata(f.ctx, s)
		require.NoError(t, err)
		first.Custom["k"] = json.RawMessage("3")
		second, _, err := f.store.StreamMetadata(f.ctx, s)
		require.NoError(t, err)
		assert.Equal(t, "1", string(second.Custom["k"]))
	}},
}
