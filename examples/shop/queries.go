package main

import (
	"context"
	"fmt"

	"github.com/foldstream/foldstream/examples/shop/terms"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/query"
)

// OrderOf asks for one order.
type OrderOf struct{ ID string }

// OrdersOf asks for a page of a customer's orders, newest first.
type OrdersOf struct {
	Customer      string
	Offset, Limit int
}

// TopProducts asks for the products that sell best.
type TopProducts struct{ N int }

// ProductSales asks how often each product was sold.
type ProductSales struct{ SKUs []string }

// Sold says how many units of a product were sold and not cancelled.
type Sold struct {
	SKU   string `json:"sku"`
	Units int64  `json:"units"`
}

// queries are all that can be asked, see [commands].
var queries = []any{OrderOf{}, OrdersOf{}, TopProducts{}, ProductSales{}}

func newReadSide(v *views) *query.Bus {
	bus := query.NewBus(&query.Options{Middleware: []query.Middleware{recoverQuery}})
	query.Register(bus, v.orderOf)
	query.Register(bus, v.ordersOf)
	query.Register(bus, v.topProducts)
	query.Register(bus, v.productSales)
	return bus
}

// orderOf answers from order-summary.
func (v *views) orderOf(ctx context.Context, q OrderOf) (Summary, error) {
	if err := terms.CheckID("order", q.ID); err != nil {
		return Summary{}, err
	}
	s, err := v.summaries.Get(ctx, q.ID)
	return s.utc(), err
}

// ordersOf joins customer-orders with order-summary. The two views follow the
// events each at its own pace, so an order may be missing for a moment.
func (v *views) ordersOf(ctx context.Context, q OrdersOf) ([]Summary, error) {
	if err := terms.CheckID("customer", q.Customer); err != nil {
		return nil, err
	}
	page, err := v.customers.Range(ctx, q.Customer, projection.Range{Reverse: true, Offset: q.Offset, Limit: q.Limit})
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(page))
	for i, m := range page {
		ids[i] = m.Member
	}
	found, err := v.summaries.GetMany(ctx, ids...)
	if err != nil {
		return nil, err
	}
	orders := make([]Summary, 0, len(ids))
	for _, id := range ids {
		if s, ok := found[id]; ok {
			orders = append(orders, s.utc())
		}
	}
	return orders, nil
}

// topProducts answers from product-sales. Products of which all was cancelled
// are left out.
func (v *views) topProducts(ctx context.Context, q TopProducts) ([]Sold, error) {
	top, err := v.sales.Top(ctx, q.N)
	if err != nil {
		return nil, err
	}
	products := make([]Sold, 0, len(top))
	for _, c := range top {
		if c.Value > 0 {
			products = append(products, Sold{SKU: c.Key, Units: c.Value})
		}
	}
	return products, nil
}

// productSales answers from product-sales.
func (v *views) productSales(ctx context.Context, q ProductSales) ([]Sold, error) {
	all := make([]Sold, len(q.SKUs))
	for i, sku := range q.SKUs {
		units, err := v.sales.Get(ctx, sku)
		if err != nil {
			return nil, err
		}
		all[i] = Sold{SKU: sku, Units: units}
	}
	return all, nil
}

// utc undoes what decoding did to times.
func (s Summary) utc() Summary {
	s.CreatedAt, s.UpdatedAt = s.CreatedAt.UTC(), s.UpdatedAt.UTC()
	return s
}

// recoverQuery turns a panic into an error, so that one bad query does not end
// the process.
func recoverQuery(name string, next query.Handler) query.Handler {
	return func(ctx context.Context, q any) (answer any, err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("query %s: panic: %v", name, p)
			}
		}()
		return next(ctx, q)
	}
}
