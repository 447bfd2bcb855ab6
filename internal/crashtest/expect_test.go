package crashtest

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/projection"
)

// content is everything in a version of the view, as text.
type content map[string]string

func (c content) add(i projection.Item) {
	value := string(i.Value)
	switch i.Kind {
	case projection.ItemCounter:
		value = fmt.Sprint(i.Count)
	case projection.ItemIndex:
		value = fmt.Sprint(i.Score)
	case projection.ItemDocument, projection.ItemSet, projection.ItemParked:
	}
	c[fmt.Sprintf("%s %s %s %s", i.Kind, i.Collection, i.Key, i.Member)] = value
}

// expect folds the log, each partition up to its checkpoint, and all of it
// without checkpoints.
func expect(t *testing.T, store eventstore.Store, upTo []projection.Checkpoint) content {
	t.Helper()
	done := func(key string, p eventstore.Position) bool {
		return upTo == nil || p <= upTo[projection.PartitionOf(key, partitions)].Position
	}
	all := make(content)
	documents := make(map[string]order)
	counts := make(map[string]int64)
	for rec, err := range store.ReadAll(t.Context(), eventstore.ReadAllOptions{}) {
		require.NoError(t, err)
		decoded, err := events.Decode(rec)
		require.NoError(t, err)
		e := decoded.(sold)
		_, id := eventstore.SplitStream(rec.Stream)
		m := projection.Meta{ID: id, Version: rec.Version, Position: rec.Position}
		if done(id, rec.Position) {
			documents[id], _ = documents[id].sold(e, m)
		}
		if !done(e.SKU, rec.Position) {
			continue
		}
		counts[e.SKU] += e.Quantity
		for _, x := range last(e, m) {
			all.add(projection.Item{Kind: projection.ItemIndex, Collection: "last", Key: x.Key, Member: x.Member, Score: x.Score})
		}
		for _, x := range sets(e, m) {
			member := content{}
			member.add(projection.Item{Kind: projection.ItemSet, Collection: "sets", Key: x.Key, Member: x.Member})
			for k, v := range member {
				all[k] = v
				if x.Remove {
					delete(all, k)
				}
			}
		}
	}
	for id, o := range documents {
		data, err := codec.Msgpack.Marshal(o)
		require.NoError(t, err)
		all.add(projection.Item{Kind: projection.ItemDocument, Collection: "orders", Key: id, Value: data})
		for _, x := range sizes(id, o) {
			all.add(projection.Item{Kind: projection.ItemIndex, Collection: "by-size", Key: x.Key, Member: id, Score: x.Score})
		}
	}
	for sku, n := range counts {
		all.add(projection.Item{Kind: projection.ItemCounter, Collection: "sales", Key: sku, Count: n})
	}
	return all
}

// stored returns everything in the view.
func (v *views) stored(t *testing.T) content {
	t.Helper()
	all := make(content)
	for item, err := range v.store.Dump(t.Context(), view, 1) {
		require.NoError(t, err)
		all.add(item)
	}
	return all
}

// consistent compares a view that nobody writes with its own checkpoints, and
// returns them: each partition must be the fold of exactly what its checkpoint
// says.
func (v *views) consistent(t *testing.T, store eventstore.Store) []projection.Checkpoint {
	t.Helper()
	checkpoints, err := v.store.Checkpoints(t.Context(), view, 1)
	require.NoError(t, err)
	equal(t, expect(t, store, checkpoints), v.stored(t))
	return checkpoints
}

// exact compares everything in the view with the fold of the whole log, also
// as readers see it.
func (v *views) exact(t *testing.T, store eventstore.Store) {
	t.Helper()
	all := expect(t, store, nil)
	equal(t, all, v.stored(t))
	read := make(content)
	for i := range orders {
		id := fmt.Sprint(i)
		if o, err := v.orders.Get(t.Context(), id); err == nil {
			data, err := codec.Msgpack.Marshal(o)
			require.NoError(t, err)
			read.add(projection.Item{Kind: projection.ItemDocument, Collection: "orders", Key: id, Value: data})
		} else {
			require.ErrorIs(t, err, projection.ErrNotFound)
		}
	}
	top, err := v.sales.Top(t.Context(), math.MaxInt32)
	require.NoError(t, err)
	for _, c := range top {
		read.add(projection.Item{Kind: projection.ItemCounter, Collection: "sales", Key: c.Key, Count: c.Value})
	}
	for k, got := range read {
		require.Equal(t, all[k], got, "%s as it is read", k)
	}
	require.NotEmpty(t, top)
}

// equal says which entries differ, and not all that there are.
func equal(t *testing.T, want, got content) {
	t.Helper()
	var wrong []string
	for k, v := range want {
		if g, ok := got[k]; !ok || g != v {
			wrong = append(wrong, fmt.Sprintf("%s: want %q, got %q", k, v, g))
		}
	}
	for k, g := range got {
		if _, ok := want[k]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s: %q should not be there", k, g))
		}
	}
	if len(wrong) > 0 {
		require.Fail(t, "the view is not the fold of the log", "%d of %d entries, such as\n%s", len(wrong), len(want), wrong[:min(len(wrong), 10)])
	}
}
