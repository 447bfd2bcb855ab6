package cart

import "github.com/foldstream/foldstream/examples/shop/terms"

// An Event is a fact about a cart. The set is closed.
//
//sumtype:decl
type Event interface{ isCart() }

// ItemAdded says that a product was put into the cart.
type ItemAdded struct{ terms.Line }

// ItemRemoved says that all of a product was taken out again.
type ItemRemoved struct{ SKU string }

// CouponEntered says that the cart gets a discount.
type CouponEntered struct{ Code string }

// ShipperChosen says who is to bring the goods.
type ShipperChosen struct{ Shipper string }

// CheckedOut says that the cart was turned into an order, at these prices.
type CheckedOut struct {
	Order    string
	Customer string
	Lines    []terms.Line
	Coupon   string
	Shipper  string
	Price    Price
}

// Reopened takes a checkout back whose order could not be placed.
type Reopened struct{ Order, Reason string }

func (ItemAdded) isCart()     {}
func (ItemRemoved) isCart()   {}
func (CouponEntered) isCart() {}
func (ShipperChosen) isCart() {}
func (CheckedOut) isCart()    {}
func (Reopened) isCart()      {}
