package main

import (
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/examples/shop/order"
	"github.com/foldstream/foldstream/examples/shop/terms"
	"github.com/foldstream/foldstream/projection"
)

// A Summary is the document of an order in the view order-summary.
type Summary struct {
	ID         string       `json:"id"`
	Customer   string       `json:"customer"`
	Status     order.Status `json:"status"`
	Lines      []terms.Line `json:"lines"`
	TotalCents int64        `json:"total_cents"`
	CreatedAt  time.Time    `json:"created_at"`
	UpdatedAt  time.Time    `json:"updated_at"`
}

func (s Summary) placed(e order.Placed, m projection.Meta) (Summary, error) {
	return Summary{
		ID: m.ID, Customer: e.Customer, Status: order.StatusPlaced, Lines: e.Lines, TotalCents: e.TotalCents,
		CreatedAt: m.Created, UpdatedAt: m.Created,
	}, nil
}

func (s Summary) paid(_ order.Paid, m projection.Meta) (Summary, error) {
	return s.now(order.StatusPaid, m)
}

func (s Summary) shipped(_ order.Shipped, m projection.Meta) (Summary, error) {
	return s.now(order.StatusShipped, m)
}

func (s Summary) cancelled(_ order.Cancelled, m projection.Meta) (Summary, error) {
	return s.now(order.StatusCancelled, m)
}

func (s Summary) now(status order.Status, m projection.Meta) (Summary, error) {
	s.Status, s.UpdatedAt = status, m.Created
	return s, nil
}

// entry sorts a customer's orders by when they were placed.
func entry(e order.Placed, m projection.Meta) []projection.Entry {
	return []projection.Entry{{Key: e.Customer, Member: m.ID, Score: float64(m.Created.UnixMilli())}}
}

// sold counts units when an order is placed, and unsold takes them back when
// it is cancelled.
func sold(e order.Placed, _ projection.Meta) []projection.Delta { return deltas(e.Lines, 1) }

func unsold(e order.Cancelled, _ projection.Meta) []projection.Delta { return deltas(e.Lines, -1) }

func deltas(lines []terms.Line, sign int64) []projection.Delta {
	all := make([]projection.Delta, len(lines))
	for i, l := range lines {
		all[i] = projection.Delta{Key: l.SKU, By: sign * l.Quantity}
	}
	return all
}

// views are what queries read.
type views struct {
	summaries *projection.Collection[Summary]
	customers *projection.Index
	sales     *projection.Counters
	all       []*projection.Projection
}

// Names of the views.
const (
	viewSummary   = "order-summary"
	viewCustomers = "customer-orders"
	viewSales     = "product-sales"
)

func newViews(store projection.ViewStore, events eventstore.Codec) *views {
	v := &views{
		summaries: projection.NewCollection[Summary](store, viewSummary, codec.Msgpack, nil),
		customers: projection.NewIndex(store, viewCustomers, nil),
		sales:     projection.NewCounters(store, viewSales, nil),
	}
	v.all = []*projection.Projection{
		projection.New(viewSummary, events,
			projection.On(v.summaries, Summary.placed),
			projection.On(v.summaries, Summary.paid),
			projection.On(v.summaries, Summary.shipped),
			projection.On(v.summaries, Summary.cancelled)),
		projection.New(viewCustomers, events, projection.OnIndex(v.customers, entry)),
		projection.New(viewSales, events,
			projection.OnCount(v.sales, sold),
			projection.OnCount(v.sales, unsold)),
	}
	return v
}
