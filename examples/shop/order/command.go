package order

import "github.com/foldstream/foldstream/examples/shop/terms"

// Place places an order for what was in a cart. The amounts come from the
// cart's checkout.
type Place struct {
	Order         string
	Cart          string
	Customer      string
	Lines         []terms.Line
	Coupon        string
	Shipper       string
	GoodsCents    int64
	DiscountCents int64
	ShippingCents int64
	TotalCents    int64
}

// Pay pays an order in one amount.
type Pay struct {
	Order       string
	AmountCents int64
}

// Ship hands the goods of an order to the shipper.
type Ship struct{ Order, Tracking string }

// Cancel ends an order that was not shipped.
type Cancel struct{ Order, Reason string }

// AggregateID returns the order's id.
func (c Place) AggregateID() string { return c.Order }

// AggregateID returns the order's id.
func (c Pay) AggregateID() string { return c.Order }

// AggregateID returns the order's id.
func (c Ship) AggregateID() string { return c.Order }

// AggregateID returns the order's id.
func (c Cancel) AggregateID() string { return c.Order }
