package cart

import "github.com/foldstream/foldstream/examples/shop/terms"

// AddItem puts a product into a cart.
type AddItem struct {
	Cart string
	terms.Line
}

// RemoveItem takes all of a product out of a cart.
type RemoveItem struct{ Cart, SKU string }

// ApplyCoupon enters a coupon code.
type ApplyCoupon struct{ Cart, Code string }

// ChooseShipper says who is to bring the goods. Until the checkout the choice
// may change.
type ChooseShipper struct{ Cart, Shipper string }

// Checkout turns a cart into an order.
type Checkout struct{ Cart, Order, Customer string }

// Reopen takes back the checkout of an order that could not be placed.
type Reopen struct{ Cart, Order, Reason string }

// AggregateID returns the cart's id.
func (c AddItem) AggregateID() string { return c.Cart }

// AggregateID returns the cart's id.
func (c RemoveItem) AggregateID() string { return c.Cart }

// AggregateID returns the cart's id.
func (c ApplyCoupon) AggregateID() string { return c.Cart }

// AggregateID returns the cart's id.
func (c ChooseShipper) AggregateID() string { return c.Cart }

// AggregateID returns the cart's id.
func (c Checkout) AggregateID() string { return c.Cart }

// AggregateID returns the cart's id.
func (c Reopen) AggregateID() string { return c.Cart }
