package projection_test

import (
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/memview"
)

// shelf is a view of orders that are looked up by their customer.
type shelf struct {
	*shop
	byCustomer *projection.Lookup[summary]
	goods      *projection.Set // of a customer
}

func newShelf(store eventstore.Store, views projection.ViewStore) *shelf {
	s := &shelf{shop: newShop(store, views)}
	s.byCustomer = projection.NewLookup(s.summaries, "of-customer")
	s.goods = projection.NewSet(views, "goods", &projection.TargetOptions{View: "shop"})
	return s
}

func (s *shelf) projection(more ...projection.Part) *projection.Projection {
	return s.shop.projection(append([]projection.Part{
		projection.IndexBy(s.byCustomer, listings),
		projection.OnSet(s.goods, func(e placed, _ projection.Meta) []projection.SetChange {
			var changes []projection.SetChange
			for _, sku := range e.SKUs {
				changes = append(changes, projection.SetChange{Key: e.Customer, Member: sku})
			}
			return changes
		}),
	}, more...)...)
}

// listings panics and gives no number where a test wants it.
func listings(_ string, doc summary) []projection.Listing {
	switch doc.Cents {
	case 666:
		panic("no listing")
	case 667:
		return []projection.Listing{{Key: "x", Score: math.NaN()}}
	}
	return []projection.Listing{{Key: doc.Customer, Score: 1}, {Key: "all", Score: float64(doc.Cents)}, {Key: doc.Customer, Score: float64(doc.Cents)}}
}

func onShelf(t *testing.T, f func(t *testing.T, s *shelf)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { f(t, newShelf(memstore.New(nil), memview.New())) })
}

func (s *shelf) found(t testing.TB, key string) []projection.Member {
	t.Helper()
	got, err := s.byCustomer.Range(t.Context(), key, projection.Range{})
	require.NoError(t, err)
	return got
}

func TestALookupFollowsItsDocuments(t *testing.T) {
	onShelf(t, func(t *testing.T, s *shelf) {
		r := projection.NewRunner(s.store, nil, s.projection())
		start(t, r)
		put(t, s.store, "order-1", placed{Customer: "ada"})
		put(t, s.store, "order-2", placed{Customer: "ada"}, paid{Cents: 5})
		put(t, s.store, "order-3", placed{Customer: "bob"}, closed{})
		require.NoError(t, r.WaitLevel(t.Context()))
		require.Equal(t, []projection.Member{{Member: "1"}, {Member: "2", Score: 5}}, s.found(t, "ada"))
		require.Equal(t, []projection.Member{{Member: "1"}, {Member: "2", Score: 5}}, s.found(t, "all"))
		require.Empty(t, s.found(t, "bob"), "deleted in the batch in which it was made")

		put(t, s.store, "order-1", paid{Cents: 9}, placed{Customer: "eve"})
		receipt := put(t, s.store, "order-2", closed{})
		after := eventstore.ContextAfter(t.Context(), receipt.Position)
		page, err := s.byCustomer.Documents(after, "eve", projection.PageOptions{})
		require.NoError(t, err)
		require.Len(t, page.Documents, 1)
		assert.Equal(t, projection.Document[summary]{Key: "1", Value: summary{Customer: "eve", Events: 3, Version: 3}}, page.Documents[0])
		require.Empty(t, s.found(t, "ada"), "one has moved and one is gone")
		n, err := s.byCustomer.Count(after, "all", nil, nil)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)

		one, err := s.byCustomer.Get(after, "eve")
		require.NoError(t, err)
		require.Equal(t, page.Documents[0], one)
		_, err = s.byCustomer.Get(after, "ada")
		require.ErrorIs(t, err, projection.ErrNotFound)
		put(t, s.store, "order-4", placed{Customer: "eve"})
		require.NoError(t, r.WaitLevel(t.Context()))
		_, err = s.byCustomer.Get(after, "eve")
		require.ErrorIs(t, err, projection.ErrAmbiguous)
	})
}

// Entries are those of the document as it was, whether it is in the cache of
// the worker or was read again.
func TestALookupFollowsDocumentsOfEarlierRuns(t *testing.T) {
	onShelf(t, func(t *testing.T, s *shelf) {
		for i := range 10 {
			for id := range 20 {
				put(t, s.store, "order-"+strconv.Itoa(id), placed{Customer: "c" + strconv.Itoa((i+id)%5)})
			}
			r := projection.NewRunner(s.store, nil, s.projection())
			stop := start(t, r)
			require.NoError(t, r.WaitLevel(t.Context()))
			require.NoError(t, stop())
			require.Len(t, s.found(t, "all"), 20)
			for c := range 5 {
				require.Len(t, s.found(t, "c"+strconv.Itoa(c)), 4)
			}
		}
	})
}

func TestListingsThatFailParkTheEvent(t *testing.T) {
	onShelf(t, func(t *testing.T, s *shelf) {
		put(t, s.store, "order-1", placed{Customer: "ada"}, paid{Cents: 5})
		put(t, s.store, "order-2", placed{Customer: "ada"}, paid{Cents: 666}, closed{})
		put(t, s.store, "order-3", placed{Customer: "ada"}, paid{Cents: 667}, paid{Cents: 1})
		r := projection.NewRunner(s.store, nil, s.projection())
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		parked, err := r.Parked(t.Context(), "shop")
		require.NoError(t, err)
		require.Len(t, parked, 2)
		for _, p := range parked {
			assert.Len(t, p.Events, 2, p.Stream)
			if p.Stream == "order-2" {
				assert.Contains(t, p.Error, "no listing")
			} else {
				assert.Contains(t, p.Error, "NaN")
			}
		}
		require.Equal(t, []projection.Member{{Member: "2"}, {Member: "3"}, {Member: "1", Score: 5}}, s.found(t, "ada"))
	})
}

// What a lookup has said of a document that another one refuses is not kept.
func TestListingsOfARefusedDocumentAreForgotten(t *testing.T) {
	onShelf(t, func(t *testing.T, s *shelf) {
		first := projection.NewLookup(s.summaries, "a-first")
		by := func(_ string, doc summary) []projection.Listing {
			return []projection.Listing{{Key: strconv.FormatInt(doc.Cents, 10)}}
		}
		p := projection.New("shop", events, projection.IndexBy(first, by), projection.IndexBy(s.byCustomer, listings),
			projection.On(s.summaries, summary.placed), projection.On(s.summaries, summary.paid))
		r := projection.NewRunner(s.store, nil, p)
		put(t, s.store, "order-1", placed{}, paid{Cents: 600}, paid{Cents: 66})
		start(t, r)
		require.NoError(t, r.WaitLevel(t.Context()))
		require.Equal(t, int64(1), status(t, r).Parked)
		doc, err := first.Get(t.Context(), "600")
		require.NoError(t, err)
		require.EqualValues(t, 600, doc.Value.Cents)
		_, err = first.Get(t.Context(), "666")
		require.ErrorIs(t, err, projection.ErrNotFound)
	})
}

// An event of which one part fails changes nothing: no lookup, no set.
func TestAFailedEventLeavesLookupsAndSetsAsTheyWere(t *testing.T) {
	onShelf(t, func(t *testing.T, s *shelf) {
		everywhere := func(placed, projection.Meta) []string { return []string{"x", "y"} }
		refuse := projection.On(s.summaries, func(doc summary, e placed, m projection.Meta) (summary, error) {
			if e.Customer == "mallory" {
				return summary{Customer: "half done"}, errBroken
			}
			return doc, nil
		}, projection.Keys(everywhere))
		// All keys are in one partition, so that the failure comes after the rest.
		r := projection.NewRunner(s.store, &projection.Options{Partitions: 1}, s.projection(refuse))
		start(t, r)
		put(t, s.store, "order-1", placed{Customer: "ada", SKUs: []string{"tea"}})
		require.NoError(t, r.WaitLevel(t.Context()))
		put(t, s.store, "order-1", placed{Customer: "mallory", SKUs: []string{"tea", "gin"}})
		put(t, s.store, "order-2", placed{Customer: "mallory", SKUs: []string{"gin"}})
		put(t, s.store, "order-3", placed{Customer: "bob", SKUs: []string{"rum"}})
		require.NoError(t, r.WaitLevel(t.Context()))
		require.Equal(t, []projection.Member{{Member: "1"}}, s.found(t, "ada"))
		require.Empty(t, s.found(t, "mallory"))
		require.Empty(t, s.found(t, "half done"))
		for customer, want := range map[string][]string{"ada": {"tea"}, "mallory": nil, "bob": {"rum"}} {
			got, err := s.goods.Members(t.Context(), customer)
			require.NoError(t, err)
			require.Equal(t, want, got, customer)
		}
	})
}

func TestASetTakesTheLastChangeOfAnEvent(t *testing.T) {
	onShelf(t, func(t *testing.T, s *shelf) {
		both := projection.OnSet(s.goods, func(e paid, m projection.Meta) []projection.SetChange {
			return []projection.SetChange{
				{Key: m.ID, Member: "a"}, {Key: m.ID, Member: "b"}, {Key: m.ID, Member: "a", Remove: true},
				{Key: m.ID, Member: "c", Remove: e.Cents > 1}, {Key: m.ID, Member: strconv.Itoa(int(e.Cents))},
			}
		})
		r := projection.NewRunner(s.store, nil, s.projection(both))
		start(t, r)
		put(t, s.store, "order-1", placed{}, paid{Cents: 1})
		require.NoError(t, r.WaitLevel(t.Context()))
		receipt := put(t, s.store, "order-1", paid{Cents: 2})
		ctx := eventstore.ContextAfter(t.Context(), receipt.Position)
		got, err := s.goods.Members(ctx, "1")
		require.NoError(t, err)
		require.Equal(t, []string{"1", "2", "b"}, got)
		has, err := s.goods.ContainsMany(ctx, "1", "a", "b", "c")
		require.NoError(t, err)
		require.Equal(t, map[string]bool{"a": false, "b": true, "c": false}, has)
		one, err := s.goods.Contains(ctx, "1", "2")
		require.NoError(t, err)
		require.True(t, one)
		one, err = s.goods.Contains(ctx, "never", "2")
		require.NoError(t, err)
		require.False(t, one)
		n, err := s.goods.Size(ctx, "1")
		require.NoError(t, err)
		require.EqualValues(t, 3, n)
		n, err = s.goods.Size(ctx, "never")
		require.NoError(t, err)
		require.Zero(t, n)
	})
}

func TestProjectionsRefuseLookupsThatDoNotFit(t *testing.T) {
	t.Parallel()
	s := newShelf(memstore.New(nil), memview.New())
	other := projection.NewCollection[summary](s.views, "others", codec.Msgpack, &projection.TargetOptions{View: "shop"})
	elsewhere := projection.NewCollection[summary](s.views, "elsewhere", codec.Msgpack, nil)
	part := projection.On(s.summaries, summary.placed)
	for says, parts := range map[string][]projection.Part{
		"no part fills":              {part, projection.IndexBy(projection.NewLookup(other, "l"), listings)},
		"is there twice":             {part, projection.IndexBy(s.byCustomer, listings), projection.IndexBy(s.byCustomer, listings)},
		"belongs to view":            {part, projection.IndexBy(projection.NewLookup(elsewhere, "l"), listings)},
		"\"summary\" is there twice": {part, projection.IndexBy(projection.NewLookup(s.summaries, "summary"), listings)},
	} {
		panicOf(t, func() { projection.New("shop", events, parts...) }, says)
	}
}

func TestTypedAnswersForWhatIsMissing(t *testing.T) {
	onShelf(t, func(t *testing.T, s *shelf) {
		ctx := t.Context()
		_, err := s.goods.Members(ctx, "k")
		require.ErrorIs(t, err, projection.ErrNotBuilt)
		_, err = s.byCustomer.Range(ctx, "k", projection.Range{})
		require.ErrorIs(t, err, projection.ErrNotBuilt)
		r := projection.NewRunner(s.store, nil, s.projection())
		start(t, r)
		fill(t, s.store, 0, 3)
		require.NoError(t, r.WaitLevel(ctx))

		counts, err := s.sales.GetMany(ctx, "tea", "never", "s1")
		require.NoError(t, err)
		require.Equal(t, map[string]int64{"tea": 3, "never": 0, "s1": 1}, counts)
		docs, err := s.summaries.GetMany(ctx, "1", "never")
		require.NoError(t, err)
		require.Len(t, docs, 1)

		var missing *projection.NotFoundError
		_, err = s.customers.Score(ctx, "c1", "never")
		require.ErrorAs(t, err, &missing)
		require.Equal(t, projection.NotFoundError{Collection: "by-customer", Key: "c1", Member: "never"}, *missing)
		_, err = s.customers.Rank(ctx, "c1", "never")
		require.ErrorIs(t, err, projection.ErrNotFound)
		_, err = s.customers.ReverseRank(ctx, "never", "1")
		require.ErrorIs(t, err, projection.ErrNotFound)
		scores, err := s.customers.Scores(ctx, "c1", "1", "never")
		require.NoError(t, err)
		require.Len(t, scores, 1)
		top, err := s.customers.Top(ctx, "never", 3)
		require.NoError(t, err)
		require.Empty(t, top)
		page, err := s.byCustomer.Documents(ctx, "never", projection.PageOptions{})
		require.NoError(t, err)
		require.Empty(t, page)
	})
}

func TestPagesOfAnIndex(t *testing.T) {
	onShelf(t, func(t *testing.T, s *shelf) {
		ranked := projection.OnIndex(s.customers, func(e paid, m projection.Meta) []projection.Entry {
			return []projection.Entry{{Key: "k", Member: m.ID, Score: float64(e.Cents / 10)}}
		})
		r := projection.NewRunner(s.store, nil, s.projection(ranked))
		start(t, r)
		for i := range 50 {
			put(t, s.store, fmt.Sprintf("order-%02d", i), placed{Customer: "ada"}, paid{Cents: int64(i)})
		}
		require.NoError(t, r.WaitLevel(t.Context()))
		all, err := s.customers.Range(t.Context(), "k", projection.Range{})
		require.NoError(t, err)
		require.Len(t, all, 50)

		for _, opts := range []projection.PageOptions{{Limit: 7}, {Limit: 7, Reverse: true}, {Limit: 25}, {Limit: 50}, {}} {
			var got, found []projection.Member
			for pages := 0; ; pages++ {
				page, err := s.customers.Page(t.Context(), "k", opts)
				require.NoError(t, err)
				got = append(got, page.Members...)
				if page.Next == "" {
					break
				}
				require.Len(t, page.Members, opts.Limit)
				opts.After = page.Next
				require.Less(t, pages, 10)
			}
			opts.After = ""
			for {
				page, err := s.byCustomer.Page(t.Context(), "ada", opts)
				require.NoError(t, err)
				found = append(found, page.Members...)
				if opts.After = page.Next; page.Next == "" {
					break
				}
			}
			if opts.Reverse {
				slices.Reverse(got)
				slices.Reverse(found)
			}
			require.Equal(t, all, got)
			require.Equal(t, s.found(t, "ada"), found)
		}
		low, high := 1.0, 3.0
		page, err := s.customers.Page(t.Context(), "k", projection.PageOptions{Min: &low, Max: &high, Limit: 20})
		require.NoError(t, err)
		require.Equal(t, all[10:30], page.Members)
		page, err = s.customers.Page(t.Context(), "k", projection.PageOptions{Min: &low, Max: &high, Limit: 20, After: page.Next})
		require.NoError(t, err)
		require.Equal(t, projection.Page{Members: all[30:40]}, page)
		n, err := s.customers.Count(t.Context(), "k", &low, &high)
		require.NoError(t, err)
		require.EqualValues(t, 30, n)
		top, err := s.customers.Top(t.Context(), "k", 2)
		require.NoError(t, err)
		require.Equal(t, []projection.Member{all[49], all[48]}, top)
		rank, err := s.customers.ReverseRank(t.Context(), "k", all[48].Member)
		require.NoError(t, err)
		require.EqualValues(t, 1, rank)
		rank, err = s.customers.Rank(t.Context(), "k", all[5].Member)
		require.NoError(t, err)
		require.EqualValues(t, 5, rank)
		score, err := s.customers.Score(t.Context(), "k", all[15].Member)
		require.NoError(t, err)
		require.InDelta(t, 1, score, 0)
		none, err := s.customers.Top(t.Context(), "k", 0)
		require.NoError(t, err)
		require.Empty(t, none)
	})
}

func TestCursorsOfOthersAreRefused(t *testing.T) {
	onShelf(t, func(t *testing.T, s *shelf) {
		r := projection.NewRunner(s.store, nil, s.projection())
		start(t, r)
		fill(t, s.store, 0, 40)
		require.NoError(t, r.WaitLevel(t.Context()))
		first, err := s.customers.Page(t.Context(), "c1", projection.PageOptions{Limit: 2})
		require.NoError(t, err)
		require.NotEmpty(t, first.Next)
		raw, err := base64.RawURLEncoding.DecodeString(first.Next)
		require.NoError(t, err)
		bad := []string{"x", "####", "AQ", first.Next + "A", first.Next[:len(first.Next)-2]}
		for i := range raw {
			damaged := slices.Clone(raw)
			damaged[i] ^= 4
			bad = append(bad, base64.RawURLEncoding.EncodeToString(damaged))
		}
		check := func(_ projection.Page, err error) {
			t.Helper()
			var cursor *projection.CursorError
			require.ErrorAs(t, err, &cursor)
			require.ErrorIs(t, err, projection.ErrCursor)
		}
		for _, cursor := range bad {
			check(s.customers.Page(t.Context(), "c1", projection.PageOptions{After: cursor}))
		}
		check(s.customers.Page(t.Context(), "c2", projection.PageOptions{After: first.Next}))
		check(s.customers.Page(t.Context(), "c1", projection.PageOptions{After: first.Next, Reverse: true}))
		check(s.byCustomer.Page(t.Context(), "c1", projection.PageOptions{After: first.Next}))
	})
}
