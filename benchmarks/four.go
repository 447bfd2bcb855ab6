package main

import (
	"context"
	"fmt"

	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/projection"
)

// fourViews are made of the same events: documents by order and by customer,
// counters by product, and the orders of each customer.
var fourViews = []string{"order-summary", "customer-summary", "product-sales", "customer-orders"}

func four(views projection.ViewStore) []*projection.Projection {
	events := codec.New(codec.Type[fastLineAdded](lineAddedName))
	byOrder := projection.NewCollection[fastSummary](views, fourViews[0], codec.Msgpack, nil)
	byCustomer := projection.NewCollection[fastSummary](views, fourViews[1], codec.Msgpack, nil)
	return []*projection.Projection{
		projection.New(fourViews[0], events, projection.On(byOrder, fastSummary.lineAdded)),
		projection.New(fourViews[1], events, projection.On(byCustomer, fastSummary.lineAdded,
			projection.Key(func(e fastLineAdded, _ projection.Meta) string { return e.Customer }))),
		projection.New(fourViews[2], events, projection.OnCount(projection.NewCounters(views, fourViews[2], nil), func(e fastLineAdded, _ projection.Meta) []projection.Delta {
			return []projection.Delta{{Key: e.SKU, By: e.Quantity}}
		})),
		projection.New(fourViews[3], events, projection.OnIndex(projection.NewIndex(views, fourViews[3], nil), func(e fastLineAdded, m projection.Meta) []projection.Entry {
			return []projection.Entry{{Key: e.Customer, Member: m.ID, Score: float64(m.Position)}}
		})),
	}
}

// checkFour compares the four views with what was seeded.
func (b *bench) checkFour(ctx context.Context) error {
	orders := make(map[uint32]bool)
	for _, key := range draw(b.config) {
		orders[key] = true
	}
	units := int64(0)
	for i := range b.events {
		units += int64(1 + i%3)
	}
	want := map[string]int64{fourViews[0]: int64(b.events), fourViews[1]: int64(b.events), fourViews[2]: units, fourViews[3]: int64(len(orders))}
	for name, want := range want {
		v, err := b.views.Active(ctx, name)
		if err != nil {
			return err
		}
		var got int64
		for it, err := range b.views.Dump(ctx, name, v.Number) {
			if err != nil {
				return err
			}
			switch it.Kind {
			case projection.ItemDocument:
				n, err := kinds["generated"].lines(it.Value)
				if err != nil {
					return err
				}
				got += n
			case projection.ItemCounter:
				got += it.Count
			case projection.ItemIndex:
				got++
			}
		}
		if got != want {
			return fmt.Errorf("view %s has %d, the events say %d", name, got, want)
		}
	}
	return nil
}
