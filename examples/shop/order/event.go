package order

import "github.com/foldstream/foldstream/examples/shop/terms"

// An Event is a fact about an order. The set is closed.
//
//sumtype:decl
type Event interface{ isOrder() }

// Placed says that a cart became an order.
type Placed struct {
	Cart          string
	Customer      string
	Lines         []terms.Line
	Coupon        string
	Shipper       string
	GoodsCents    int64
	DiscountCents int64
	ShippingCents int64
	TotalCents    int64 // to pay
}

// Paid says that the whole total was paid.
type Paid struct{ AmountCents int64 }

// Shipped says that the goods are on their way.
type Shipped struct{ Tracking string }

// Cancelled says that the order will not be shipped. It carries the lines, so
// that whoever counts sales can take them back from this event alone.
type Cancelled struct {
	Reason      string
	RefundCents int64 // what had been paid
	Lines       []terms.Line
}

func (Placed) isOrder()    {}
func (Paid) isOrder()      {}
func (Shipped) isOrder()   {}
func (Cancelled) isOrder() {}
