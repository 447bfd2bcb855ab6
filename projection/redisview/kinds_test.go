package redisview_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/memview"
	"github.com/foldstream/foldstream/projection/redisview"
)

// Parcels that go from place to place and get tags: a view of all kinds.
type (
	moved struct {
		From, To string
		Weight   int
	}
	tagged struct{ Add, Drop []string }
	lost   struct {
		Place string
		Tags  []string
	}
	shipped struct { // of old: it has been two events since
		To   string
		Tags []string
	}
	parcel struct {
		Place  string
		Weight int
		Tags   map[string]bool
	}
)

var parcelEvents = codec.New(codec.Type[moved]("moved"), codec.Type[tagged]("tagged"), codec.Type[lost]("lost"),
	codec.Split("shipped", 1, func(old shipped) []any { return []any{moved{To: old.To, Weight: 2}, tagged{Add: old.Tags}} }))

func (p parcel) moved(e moved, _ projection.Meta) (parcel, error) {
	p.Place, p.Weight = e.To, e.Weight
	return p, nil
}

func (p parcel) tagged(e tagged, _ projection.Meta) (parcel, error) {
	p.Tags = maps.Clone(p.Tags)
	if p.Tags == nil {
		p.Tags = map[string]bool{}
	}
	for _, tag := range e.Add {
		p.Tags[tag] = true
	}
	for _, tag := range e.Drop {
		delete(p.Tags, tag)
	}
	return p, nil
}

func (p parcel) lost(lost, projection.Meta) (parcel, error) { return p, projection.ErrDeleteDocument }

// depot is the view.
type depot struct {
	views   projection.ViewStore
	parcels *projection.Collection[parcel]
	byPlace *projection.Lookup[parcel]
	byTag   *projection.Lookup[parcel]
	weights *projection.Index    // of the parcels at a place
	tags    *projection.Set      // of a place: all that ever were on a parcel there; parcels of a tag
	moves   *projection.Counters // by place
}

func newDepot(views projection.ViewStore) *depot {
	in := &projection.TargetOptions{View: "depot"}
	d := &depot{
		views: views, parcels: projection.NewCollection[parcel](views, "parcels", codec.Msgpack, in),
		weights: projection.NewIndex(views, "weights", in), tags: projection.NewSet(views, "tags", in),
		moves: projection.NewCounters(views, "moves", in),
	}
	d.byPlace, d.byTag = projection.NewLookup(d.parcels, "by-place"), projection.NewLookup(d.parcels, "by-tag")
	return d
}

func (d *depot) projection() *projection.Projection {
	return projection.New("depot", parcelEvents,
		projection.IndexBy(d.byPlace, func(_ string, p parcel) []projection.Listing {
			return []projection.Listing{{Key: p.Place, Score: float64(p.Weight)}}
		}),
		projection.On(d.parcels, parcel.moved), projection.On(d.parcels, parcel.tagged), projection.On(d.parcels, parcel.lost),
		projection.IndexBy(d.byTag, func(_ string, p parcel) []projection.Listing {
			listings := []projection.Listing{}
			for _, tag := range slices.Sorted(maps.Keys(p.Tags)) { // or projectiontest finds fault
				listings = append(listings, projection.Listing{Key: tag})
			}
			return listings
		}),
		projection.OnIndex(d.weights, func(e moved, m projection.Meta) []projection.Entry {
			return []projection.Entry{{Key: e.From, Member: m.ID, Remove: true}, {Key: e.To, Member: m.ID, Score: float64(e.Weight)}}
		}),
		projection.OnIndex(d.weights, func(e lost, m projection.Meta) []projection.Entry {
			return []projection.Entry{{Key: e.Place, Member: m.ID, Remove: true}}
		}),
		projection.OnSet(d.tags, func(e tagged, m projection.Meta) []projection.SetChange {
			return slices.Concat(setChanges(e.Add, m.ID, false), setChanges(e.Drop, m.ID, true))
		}),
		projection.OnSet(d.tags, func(e lost, m projection.Meta) []projection.SetChange {
			return setChanges(e.Tags, m.ID, true)
		}),
		projection.OnCount(d.moves, func(e moved, _ projection.Meta) []projection.Delta {
			return []projection.Delta{{Key: e.To, By: 1}}
		}),
	)
}

func setChanges(tags []string, id string, remove bool) []projection.SetChange {
	var changes []projection.SetChange
	for _, tag := range tags {
		changes = append(changes, projection.SetChange{Key: tag, Member: id, Remove: remove})
	}
	return changes
}

// traffic appends random events of parcels and knows what they come to.
type traffic struct {
	rand    *rand.Rand
	store   eventstore.Store
	parcels map[string]parcel
	moves   map[string]int64
}

var places, labels = []string{"", "here", "there", "{x}:y", "sea"}, []string{"red", "green", "cold", "a:b", "fragile"}

func (tr *traffic) step(t *testing.T) {
	t.Helper()
	id := strconv.Itoa(tr.rand.IntN(40))
	p, there := tr.parcels[id]
	var value any
	switch n := tr.rand.IntN(10); {
	case there && n == 0:
		value = lost{Place: p.Place, Tags: slices.Collect(maps.Keys(p.Tags))}
		delete(tr.parcels, id)
	case there && n < 5:
		e := tagged{Add: []string{labels[tr.rand.IntN(5)]}, Drop: []string{labels[tr.rand.IntN(5)]}}
		value = e
		tr.parcels[id], _ = p.tagged(e, projection.Meta{})
	default:
		e := moved{From: p.Place, To: places[tr.rand.IntN(5)], Weight: tr.rand.IntN(4)}
		if !there {
			e.From = "nowhere"
		}
		value = e
		tr.parcels[id], _ = p.moved(e, projection.Meta{})
		tr.moves[e.To]++
	}
	e, err := parcelEvents.Encode(value)
	require.NoError(t, err)
	_, err = tr.store.Append(t.Context(), "parcel-"+id, eventstore.Any, e)
	require.NoError(t, err)
}

// check compares all that can be read with what should be there.
func (tr *traffic) check(t *testing.T, d *depot) {
	t.Helper()
	ctx := t.Context()
	docs, err := d.parcels.GetMany(ctx, slices.Collect(maps.Keys(tr.parcels))...)
	require.NoError(t, err)
	require.Len(t, docs, len(tr.parcels))
	for _, place := range places {
		var want []string
		for id, p := range tr.parcels {
			if p.Place == place {
				want = append(want, fmt.Sprint(p.Weight, ":", id))
			}
		}
		slices.Sort(want)
		found, err := d.byPlace.Range(ctx, place, projection.Range{})
		require.NoError(t, err)
		require.Equal(t, want, texts(found), "by place %q", place)
		found, err = d.weights.Range(ctx, place, projection.Range{})
		require.NoError(t, err)
		require.Equal(t, want, texts(found), "weights of %q", place)
	}
	for _, label := range labels {
		var want []string
		for id, p := range tr.parcels {
			if p.Tags[label] {
				want = append(want, id)
			}
		}
		slices.Sort(want)
		members, err := d.tags.Members(ctx, label)
		require.NoError(t, err)
		require.Equal(t, want, append([]string(nil), members...), "tag %q", label)
		page, err := d.byTag.Documents(ctx, label, projection.PageOptions{})
		require.NoError(t, err)
		var got []string
		for _, doc := range page.Documents {
			got = append(got, doc.Key)
			require.Equal(t, tr.parcels[doc.Key].Place, doc.Value.Place)
		}
		require.Equal(t, want, got, "by tag %q", label)
	}
	moves, err := d.moves.GetMany(ctx, places...)
	require.NoError(t, err)
	for place, n := range tr.moves {
		require.Equal(t, n, moves[place])
	}
}

func texts(members []projection.Member) []string {
	var all []string
	for _, m := range members {
		all = append(all, fmt.Sprint(m.Score, ":", m.Member))
	}
	return all
}

func (d *depot) digest(t *testing.T) projection.DigestResult {
	t.Helper()
	v, err := d.views.Active(t.Context(), "depot")
	require.NoError(t, err)
	sum, err := projection.Digest(t.Context(), d.views, "depot", v.Number)
	require.NoError(t, err)
	return sum
}

// A view of all kinds that was followed in batches of many sizes, by runners
// that came and went, is the one that a rebuild makes in large batches, and the
// one in memory.
func TestAllKindsAreExactAfterReplaysInOtherBatches(t *testing.T) {
	t.Parallel()
	rdb, prefix := redistest.Shared(t)
	d := newDepot(redisview.New(rdb, &redisview.Options{Prefix: prefix}))
	tr := &traffic{rand: rand.New(rand.NewPCG(1, 2)), store: memstore.New(nil), parcels: map[string]parcel{}, moves: map[string]int64{}}
	for _, batch := range []int{1, 2, 3, 7, 50, 1, 2000} {
		opts := &projection.Options{BatchEvents: batch, Partitions: 5, CacheDocuments: 10 * batch}
		r := projection.NewRunner(tr.store, opts, d.projection())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		for range 150 {
			tr.step(t)
		}
		require.NoError(t, r.WaitLevel(t.Context()))
		tr.check(t, d)
		cancel()
		require.NoError(t, <-done)
	}
	live := d.digest(t)
	require.NotZero(t, live.SetMembers)

	r := projection.NewRunner(tr.store, &projection.Options{Partitions: 16}, d.projection())
	result, err := r.Rebuild(t.Context(), "depot", nil)
	require.NoError(t, err)
	require.NotEqual(t, result.OldVersion, result.NewVersion)
	tr.check(t, d)
	require.Equal(t, live, d.digest(t), "rebuilt")

	m := newDepot(memview.New())
	_, err = projection.NewRunner(tr.store, nil, m.projection()).Rebuild(t.Context(), "depot", nil)
	require.NoError(t, err)
	tr.check(t, m)
	require.Equal(t, live, m.digest(t), "in memory")
}

// Partitions are taken away from the runner while it works, again and again.
// What it had in memory then is worth nothing, that of lookups included.
func TestAllKindsAreExactAfterPartitionsWereStolen(t *testing.T) {
	t.Parallel()
	rdb, prefix := redistest.Shared(t)
	d := newDepot(redisview.New(rdb, &redisview.Options{Prefix: prefix}))
	tr := &traffic{rand: rand.New(rand.NewPCG(3, 4)), store: memstore.New(nil), parcels: map[string]parcel{}, moves: map[string]int64{}}
	r := projection.NewRunner(tr.store, &projection.Options{BatchEvents: 5, Partitions: 3, Backoff: time.Millisecond}, d.projection())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	require.NoError(t, r.WaitLevel(t.Context()))
	for i := range 20 {
		for range 40 {
			tr.step(t)
		}
		thief, err := d.views.Acquire(t.Context(), "depot", 1, i%3)
		require.NoError(t, err)
		require.NoError(t, thief.Close())
	}
	tr.step(t)
	require.NoError(t, r.WaitLevel(t.Context()))
	tr.check(t, d)
	checkpoints, err := d.views.Checkpoints(t.Context(), "depot", 1)
	require.NoError(t, err)
	for i, ck := range checkpoints {
		require.Greater(t, ck.Epoch, uint64(2+20/3), "partition %d was taken back", i)
	}
	live := d.digest(t)
	_, err = r.Rebuild(t.Context(), "depot", nil)
	require.NoError(t, err)
	require.Equal(t, live, d.digest(t))
	cancel()
	require.NoError(t, <-done)
}
