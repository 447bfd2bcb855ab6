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

// content is everything in one version of a view, as text.
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
	c[nameOf(i)] = value
}

func nameOf(i projection.Item) string {
	return fmt.Sprintf("%s %s %s %s", i.Kind, i.Collection, i.Key, i.Member)
}

func (c content) addDocument(t *testing.T, collection, key string, o order) {
	t.Helper()
	data, err := codec.Msgpack.Marshal(o)
	require.NoError(t, err)
	c.add(projection.Item{Kind: projection.ItemDocument, Collection: collection, Key: key, Value: data})
}

// expect folds the log for a view, each partition up to its checkpoint, and all
// of it without checkpoints.
func expect(t *testing.T, store eventstore.Store, name string, upTo []projection.Checkpoint) content {
	t.Helper()
	m := &model{upTo: upTo, all: make(content), documents: make(map[string]order), counts: make(map[string]int64)}
	for rec, err := range store.ReadAll(t.Context(), eventstore.ReadAllOptions{}) {
		require.NoError(t, err)
		decoded, err := events.Decode(rec)
		require.NoError(t, err)
		_, id := eventstore.SplitStream(rec.Stream)
		meta := projection.Meta{ID: id, Version: rec.Version, Position: rec.Position}
		if name == view {
			m.crash(decoded.(sold), meta)
		} else {
			m.tally(decoded.(sold), meta)
		}
	}
	collection := map[string]string{view: "orders", tally: tally}[name]
	for key, o := range m.documents {
		m.all.addDocument(t, collection, key, o)
		if name != view {
			continue
		}
		for _, x := range sizes(key, o) {
			m.all.add(projection.Item{Kind: projection.ItemIndex, Collection: "by-size", Key: x.Key, Member: key, Score: x.Score})
		}
	}
	for sku, n := range m.counts {
		m.all.add(projection.Item{Kind: projection.ItemCounter, Collection: "sales", Key: sku, Count: n})
	}
	return m.all
}

// model is a view in memory.
type model struct {
	upTo      []projection.Checkpoint
	all       content
	documents map[string]order
	counts    map[string]int64
}

// has reports whether what is under key has seen the event at p.
func (m *model) has(key string, p eventstore.Position) bool {
	return m.upTo == nil || p <= m.upTo[projection.PartitionOf(key, partitions)].Position
}

func (m *model) crash(e sold, meta projection.Meta) {
	if m.has(meta.ID, meta.Position) {
		m.documents[meta.ID], _ = m.documents[meta.ID].sold(e, meta)
	}
	if !m.has(e.SKU, meta.Position) {
		return
	}
	m.counts[e.SKU] += e.Quantity
	for _, x := range last(e, meta) {
		m.all.add(projection.Item{Kind: projection.ItemIndex, Collection: "last", Key: x.Key, Member: x.Member, Score: x.Score})
	}
	for _, x := range sets(e, meta) {
		item := projection.Item{Kind: projection.ItemSet, Collection: "sets", Key: x.Key, Member: x.Member}
		m.all.add(item)
		if x.Remove {
			delete(m.all, nameOf(item))
		}
	}
}

func (m *model) tally(e sold, meta projection.Meta) {
	if key := perSKU(e, meta); m.has(key, meta.Position) {
		m.documents[key], _ = m.documents[key].sold(e, meta)
	}
}

// stored returns everything in one version of a view.
func (v *views) stored(t *testing.T, name string, version int) content {
	t.Helper()
	all := make(content)
	for item, err := range v.store.Dump(t.Context(), name, version) {
		require.NoError(t, err)
		all.add(item)
	}
	return all
}

// snapshot is all that there is of views that nobody writes.
type snapshot struct {
	at   checkpoints
	data map[history]content
}

// snapshot reads all versions of both views.
func (v *views) snapshot(t *testing.T) *snapshot {
	t.Helper()
	s := &snapshot{at: make(checkpoints), data: make(map[history]content)}
	for _, name := range []string{view, tally} {
		versions, err := v.store.Versions(t.Context(), name)
		require.NoError(t, err)
		for _, info := range versions {
			cks, err := v.store.Checkpoints(t.Context(), name, info.Number)
			require.NoError(t, err)
			h := history{name, info.Number}
			s.at[h], s.data[h] = cks, v.stored(t, name, info.Number)
		}
	}
	return s
}

// consistent compares a snapshot with its own checkpoints: each partition must
// be the fold of exactly what its checkpoint says.
func (s *snapshot) consistent(t *testing.T, store eventstore.Store) {
	t.Helper()
	require.NotEmpty(t, s.at)
	for h, cks := range s.at {
		equal(t, expect(t, store, h.view, cks), s.data[h])
	}
}

// consistent is the same for what is there now.
func (v *views) consistent(t *testing.T, store eventstore.Store) checkpoints {
	t.Helper()
	s := v.snapshot(t)
	s.consistent(t, store)
	return s.at
}

// whole compares everything in the active version of a view with the fold of
// the whole log.
func (v *views) whole(t *testing.T, store eventstore.Store, name string) {
	t.Helper()
	active, err := v.store.Active(t.Context(), name)
	require.NoError(t, err)
	equal(t, expect(t, store, name, nil), v.stored(t, name, active.Number))
}

// exact compares both views with the fold of the whole log, also as readers see
// them.
func (v *views) exact(t *testing.T, store eventstore.Store) {
	t.Helper()
	v.whole(t, store, view)
	v.whole(t, store, tally)
	all := expect(t, store, view, nil)
	read := make(content)
	for i := range orders {
		id := fmt.Sprint(i)
		if o, err := v.orders.Get(t.Context(), id); err == nil {
			read.addDocument(t, "orders", id, o)
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
