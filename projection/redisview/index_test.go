package redisview_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

// ofEveryKind puts n things of every kind into a partition.
func ofEveryKind(t testing.TB, store *redisview.Store, partition, n int) {
	t.Helper()
	session, err := store.Acquire(t.Context(), view, 1, partition)
	require.NoError(t, err)
	b := projection.Batch{Position: session.Checkpoint().Position + 1, Parked: []projection.ParkedChange{{Stream: "s", Data: []byte("p")}}}
	var docs projection.DocumentChanges
	var counts projection.CounterChanges
	var index projection.IndexChanges
	var set projection.SetChanges
	for i := range n {
		key, name := fmt.Sprint("k", i%7), fmt.Sprint("m", i)
		docs.Put = append(docs.Put, projection.KeyValue{Key: name, Value: []byte(name)})
		counts.Set = append(counts.Set, projection.Count{Key: name, Value: int64(i)})
		index.Entries = append(index.Entries, projection.Entry{Key: key, Member: name, Score: float64(i)})
		set.Changes = append(set.Changes, projection.SetChange{Key: key, Member: name})
	}
	b.Documents, b.Counters = []projection.DocumentChanges{docs}, []projection.CounterChanges{counts}
	b.Indexes, b.Sets = []projection.IndexChanges{index}, []projection.SetChanges{set}
	require.NoError(t, session.Commit(t.Context(), &b))
	require.NoError(t, session.Close())
}

func TestADroppedVersionLeavesNoKeys(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	store := redisview.New(rdb, nil)
	require.NoError(t, store.CreateVersion(t.Context(), view, projection.VersionInfo{Number: 1, Partitions: 3}))
	for partition := range 3 {
		ofEveryKind(t, store, partition, 100)
	}
	require.Len(t, rdb.Keys(t.Context(), "*{*").Val(), 3*(6+2*7)+1) // of a partition; the versions
	require.NoError(t, store.DropVersion(t.Context(), view, 1))
	keys, err := rdb.Keys(t.Context(), "*{*").Result() // but for the list of views
	require.NoError(t, err)
	require.Empty(t, keys)
}

// A server that was restarted, or that another one has replaced, does not know
// the script for pages.
func TestPagesGoOnWhenTheServerHasForgottenTheScript(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	store := redisview.New(rdb, nil)
	create(t, store)
	ofEveryKind(t, store, 0, 100)
	require.NoError(t, store.Activate(t.Context(), view, 1))
	r := projection.Range{Limit: 2}
	for page := range 5 {
		require.NoError(t, rdb.ScriptFlush(t.Context()).Err())
		got, err := store.RangeAll(t.Context(), view, "", "k0", r)
		require.NoError(t, err)
		require.Equal(t, []projection.Member{
			{Member: fmt.Sprint("m", 14*page), Score: float64(14 * page)}, {Member: fmt.Sprint("m", 14*page+7), Score: float64(14*page + 7)},
		}, got)
		r.After = &got[1]
	}
}

// BenchmarkPage reads pages of 20 out of many members of one score. "gone" is a
// cursor whose member is not there any more, "all" asks 16 partitions.
func BenchmarkPage(b *testing.B) {
	const members = 500_000
	store := redisview.New(redistest.Start(b).Client(b), nil)
	require.NoError(b, store.CreateVersion(b.Context(), view, projection.VersionInfo{Number: 1, Partitions: 16}))
	require.NoError(b, store.Activate(b.Context(), view, 1))
	parts := make([]projection.IndexChanges, 16)
	for i := range members {
		name := fmt.Sprintf("order-%08d", i)
		for _, e := range []struct {
			key  string
			part int
		}{{"one", projection.PartitionOf("one", 16)}, {"all", projection.PartitionOf(name, 16)}} {
			parts[e.part].Entries = append(parts[e.part].Entries, projection.Entry{Key: e.key, Member: name, Score: 1})
		}
	}
	for i, c := range parts {
		session, err := store.Acquire(b.Context(), view, 1, i)
		require.NoError(b, err)
		require.NoError(b, session.Commit(b.Context(), &projection.Batch{Position: eventstore.Position(1), Indexes: []projection.IndexChanges{c}}))
		require.NoError(b, session.Close())
	}
	for _, key := range []string{"one", "all"} {
		read := store.Range
		if key == "all" {
			read = store.RangeAll
		}
		for _, c := range []struct {
			name string
			r    projection.Range
		}{
			{"first", projection.Range{Limit: 20}},
			{"after", projection.Range{Limit: 20, After: &projection.Member{Member: "order-00250000", Score: 1}}},
			{"gone", projection.Range{Limit: 20, After: &projection.Member{Member: "order-00250000x", Score: 1}}},
			{"offset", projection.Range{Limit: 20, Offset: members / 2}},
		} {
			if key == "all" && c.name == "offset" {
				continue // each partition would be asked for all that comes before
			}
			b.Run(key+"/"+c.name, func(b *testing.B) {
				for b.Loop() {
					got, err := read(b.Context(), view, "", key, c.r)
					if err != nil || len(got) != 20 {
						b.Fatal(len(got), err)
					}
				}
			})
		}
	}
}
