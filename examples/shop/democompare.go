package main

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/foldstream/foldstream/examples/shop/order"
	"github.com/foldstream/foldstream/query"
)

// sales returns how often each product was sold so far.
func (d *demo) sales(ctx context.Context) (map[string]int64, error) {
	q := ProductSales{}
	for _, l := range catalogue {
		q.SKUs = append(q.SKUs, l.SKU)
	}
	all, err := query.Ask[[]Sold](ctx, d.queries, q)
	if err != nil {
		return nil, err
	}
	units := map[string]int64{}
	for _, s := range all {
		units[s.SKU] = s.Units
	}
	return units, nil
}

// compare holds what the views say of this run's orders against the state that
// their events fold to.
func (d *demo) compare(ctx context.Context, before map[string]int64) error {
	customers := map[string][]string{}
	for n := range demoCarts {
		o, err := d.app.commands.checkouts.orders.Load(ctx, d.id(n))
		if err != nil {
			return err
		}
		s, err := query.Ask[Summary](ctx, d.queries, OrderOf{ID: d.id(n)})
		if err != nil {
			return err
		}
		placed := o.State.Placed()
		if s.Status != o.State.Status() || s.Customer != placed.Customer || s.TotalCents != placed.TotalCents || !reflect.DeepEqual(s.Lines, placed.Lines) {
			d.mismatch("order %s is %+v in the view and %+v by its events", d.id(n), s, placed)
		}
		customers[placed.Customer] = append(customers[placed.Customer], d.id(n))
		if o.State.Status() != order.StatusCancelled {
			for _, l := range placed.Lines {
				before[l.SKU] += l.Quantity
			}
		}
	}
	now, err := d.sales(ctx)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(before, now) {
		d.mismatch("sales are %v in the view and %v by the events", now, before)
	}
	for customer, want := range customers {
		if err := d.compareCustomer(ctx, customer, want); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) compareCustomer(ctx context.Context, customer string, want []string) error {
	orders, err := query.Ask[[]Summary](ctx, d.queries, OrdersOf{Customer: customer})
	if err != nil {
		return err
	}
	ids := make([]string, len(orders))
	for i, s := range orders {
		ids[i] = s.ID
	}
	slices.Sort(ids)
	slices.Sort(want)
	newestFirst := slices.IsSortedFunc(orders, func(a, b Summary) int {
		return b.CreatedAt.Truncate(time.Millisecond).Compare(a.CreatedAt.Truncate(time.Millisecond))
	})
	if !slices.Equal(ids, want) || !newestFirst {
		d.mismatch("customer %s has the orders %v in the view and %v by the events, newest first: %t", customer, ids, want, newestFirst)
	}
	return nil
}
