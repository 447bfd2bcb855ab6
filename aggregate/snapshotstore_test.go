package aggregate_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/aggregate/snapshottest"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

func TestSnapshotConformance(t *testing.T) {
	t.Parallel()
	snapshottest.Run(t, func(*testing.T) aggregate.SnapshotStore { return aggregate.NewStoreSnapshots(memstore.New(nil), nil) })
}

func TestSnapshotConformanceLogstore(t *testing.T) {
	t.Parallel()
	snapshottest.Run(t, func(t *testing.T) aggregate.SnapshotStore {
		store, err := logstore.Open(t.TempDir(), nil)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, store.Close()) })
		return aggregate.NewStoreSnapshots(store, nil)
	})
}

func someSnapshot(version eventstore.Version) aggregate.Snapshot {
	return aggregate.Snapshot{
		Stream: "order-1", Version: version, Position: eventstore.Position(version), Created: time.Unix(1, 0).UTC(),
		Schema: "s", ContentType: "c", Data: []byte("state " + strconv.Itoa(int(version))),
	}
}

func TestSnapshotsInAStoreStayOutOfTheWay(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	snapshots := aggregate.NewStoreSnapshots(store, nil)
	for v := range eventstore.Version(5) {
		require.NoError(t, snapshots.SaveSnapshot(t.Context(), someSnapshot(v+1)))
	}
	var readable []string
	for rec, err := range store.Read(t.Context(), "foldstream.snapshot-order-1", eventstore.ReadOptions{}) {
		require.NoError(t, err)
		readable = append(readable, string(rec.Data))
	}
	assert.Equal(t, []string{"state 5"}, readable, "only the last one is kept")
	_, version, err := store.StreamMetadata(t.Context(), "foldstream.snapshot-order-1")
	require.NoError(t, err)
	assert.EqualValues(t, 1, version, "metadata is set once")
	for name, f := range map[string]eventstore.Filter{"category": {Categories: []string{"order"}}, "prefix": {StreamPrefixes: []string{"order"}}, "no system": {ExcludeSystem: true}} {
		for rec, err := range store.ReadAll(t.Context(), eventstore.ReadAllOptions{Filter: f}) {
			require.NoError(t, err)
			assert.Fail(t, "a snapshot is seen", "by %s: %s", name, rec.Type)
		}
	}
	assert.Panics(t, func() { aggregate.NewStoreSnapshots(store, &aggregate.StoreSnapshotsOptions{Category: "a-b"}) })
}

// Deleted by hand, as a user would a stream; what was there must not be seen again.
func TestASnapshotStreamThatWasDeletedIsUsedAgain(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"DeleteSnapshot", "Delete"} {
		store := memstore.New(nil)
		snapshots := aggregate.NewStoreSnapshots(store, nil)
		require.NoError(t, snapshots.SaveSnapshot(t.Context(), someSnapshot(1)))
		if how == "Delete" {
			_, err := store.Delete(t.Context(), "foldstream.snapshot-order-1", eventstore.Any)
			require.NoError(t, err)
		} else {
			require.NoError(t, snapshots.DeleteSnapshot(t.Context(), "order-1"))
		}
		before, _, err := store.StreamMetadata(t.Context(), "foldstream.snapshot-order-1")
		require.NoError(t, err)
		require.NoError(t, snapshots.SaveSnapshot(t.Context(), someSnapshot(2)))
		got, ok, err := snapshots.LoadSnapshot(t.Context(), "order-1")
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, someSnapshot(2), got)
		after, _, err := store.StreamMetadata(t.Context(), "foldstream.snapshot-order-1")
		require.NoError(t, err)
		assert.LessOrEqual(t, min(before.TruncateBefore, 2), after.TruncateBefore, "what was deleted can be read again")
	}
}
