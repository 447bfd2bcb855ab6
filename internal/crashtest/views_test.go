package crashtest

import (
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

const (
	view       = "crash" // all kinds in one
	tally      = "tally" // documents of another key
	partitions = 8
	orders     = 300
	skus       = 40
)

// sold is the only event: one more line of an order.
type sold struct {
	SKU      string
	Quantity int64
}

// order is neither idempotent nor commutative: a lost, doubled or overtaken
// event shows.
type order struct {
	Lines    int64
	Quantity int64
	Chain    uint64
}

var events = codec.New(codec.Type[sold]("order.sold"))

func (o order) sold(e sold, m projection.Meta) (order, error) {
	o.Lines++
	o.Quantity += e.Quantity
	o.Chain = o.Chain*1099511628211 + uint64(m.Version) + uint64(e.Quantity)
	return o, nil
}

func sales(e sold, _ projection.Meta) []projection.Delta {
	return []projection.Delta{{Key: e.SKU, By: e.Quantity}}
}

func last(e sold, m projection.Meta) []projection.Entry {
	return []projection.Entry{{Key: e.SKU, Member: m.ID, Score: float64(m.Position)}}
}

// sets come and go, so that their order counts.
func sets(e sold, m projection.Meta) []projection.SetChange {
	return []projection.SetChange{{Key: e.SKU, Member: m.ID, Remove: e.Quantity == 1}}
}

func sizes(_ string, o order) []projection.Listing {
	return []projection.Listing{{Key: strconv.FormatInt(o.Quantity%7, 10), Score: float64(o.Lines)}}
}

// perSKU keeps a document for each SKU: many streams meet in one.
func perSKU(e sold, _ projection.Meta) string { return e.SKU }

// views is what the tests look after: one view of all kinds, in which an event
// changes several partitions, and another one that the same reader feeds.
type views struct {
	store  *redisview.Store
	orders *projection.Collection[order]
	sales  *projection.Counters
	all    []*projection.Projection
}

func newViews(rdb redis.UniversalClient, prefix string) *views {
	opts := redisview.Options{Prefix: prefix}
	in := &redisview.CollectionOptions{Options: opts, View: view}
	v := &views{
		store:  redisview.New(rdb, &opts),
		orders: redisview.NewCollection[order](rdb, "orders", in),
		sales:  redisview.NewCounters(rdb, "sales", in),
	}
	bySize := projection.NewLookup(v.orders, "by-size")
	crash := projection.New(view, events,
		projection.On(v.orders, order.sold),
		projection.IndexBy(bySize, sizes),
		projection.OnCount(v.sales, sales),
		projection.OnIndex(redisview.NewIndex(rdb, "last", in), last),
		projection.OnSet(redisview.NewSet(rdb, "sets", in), sets))
	skus := redisview.NewCollection[order](rdb, tally, &redisview.CollectionOptions{Options: opts})
	v.all = []*projection.Projection{crash, projection.New(tally, events, projection.On(skus, order.sold, projection.Key(perSKU)))}
	return v
}
