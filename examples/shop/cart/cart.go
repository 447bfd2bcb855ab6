package cart

import (
	"slices"
	"strings"

	"github.com/foldstream/foldstream/examples/shop/terms"
)

// Refusals of a cart.
var (
	ErrCheckedOut      = &terms.Refusal{Rule: "cart-checked-out", Text: "the cart was checked out"}
	ErrEmpty           = &terms.Refusal{Rule: "cart-empty", Text: "the cart is empty"}
	ErrFull            = &terms.Refusal{Rule: "cart-full", Text: "the cart is full"}
	ErrNotInCart       = &terms.Refusal{Rule: "item-not-in-cart", Text: "the item is not in the cart"}
	ErrCouponEntered   = &terms.Refusal{Rule: "coupon-already-entered", Text: "the cart has a coupon already"}
	ErrCouponUnknown   = &terms.Refusal{Rule: "coupon-unknown", Kind: terms.Invalid, Text: "the coupon is not known"}
	ErrShipperUnknown  = &terms.Refusal{Rule: "shipper-unknown", Kind: terms.Invalid, Text: "the shipper is not known"}
	ErrNotThisCheckout = &terms.Refusal{Rule: "cart-not-checked-out", Text: "the cart is not checked out for this order"}
)

// A Cart is the state of a cart. Its zero value is an empty one that nobody
// has touched.
type Cart struct {
	items   *items
	coupon  string
	shipper string
	out     *CheckedOut // nil while the cart is open; never written through
}

// items are the lines in a cart, newest first. Longer lists share the tails
// of shorter ones: a cart is a value that later carts never change, and adding
// to it does not copy it.
type items struct {
	line  terms.Line
	older *items
}

// Evolve returns the cart after an event.
func (c Cart) Evolve(e Event) Cart {
	switch e := e.(type) {
	case ItemAdded:
		c.items = &items{e.Line, c.items}
	case ItemRemoved:
		c.items = c.items.without(e.SKU)
	case CouponEntered:
		c.coupon = e.Code
	case ShipperChosen:
		c.shipper = e.Shipper
	case CheckedOut:
		c.out = &e
	case Reopened:
		c.out = nil
	}
	return c
}

func (i *items) without(sku string) *items {
	var kept []terms.Line
	for ; i != nil; i = i.older {
		if i.line.SKU != sku {
			kept = append(kept, i.line)
		}
	}
	var list *items
	for _, line := range slices.Backward(kept) {
		list = &items{line, list}
	}
	return list
}

func (i *items) count() int {
	n := 0
	for ; i != nil; i = i.older {
		n++
	}
	return n
}

// quantity returns how much of a product is in the cart at a price.
func (c Cart) quantity(sku string, cents int64) int64 {
	var sum int64
	for i := c.items; i != nil; i = i.older {
		if i.line.SKU == sku && i.line.UnitPriceCents == cents {
			sum += i.line.Quantity
		}
	}
	return sum
}

// Lines returns what is in the cart, in the order in which it was first added.
// A product added again at the same price adds to its line; at another price
// it makes a line of its own, so that nothing bought changes its price.
func (c Cart) Lines() []terms.Line {
	n := c.items.count()
	added := make([]terms.Line, n)
	for i := c.items; i != nil; i = i.older {
		n--
		added[n] = i.line
	}
	type product struct {
		sku   string
		cents int64
	}
	index := make(map[product]int, len(added))
	lines := added[:0]
	for _, l := range added {
		p := product{l.SKU, l.UnitPriceCents}
		if at, ok := index[p]; ok {
			lines[at].Quantity += l.Quantity
			continue
		}
		index[p] = len(lines)
		lines = append(lines, l)
	}
	return lines
}

// Order returns the checkout that closed the cart, and whether there is one.
func (c Cart) Order() (CheckedOut, bool) {
	if c.out == nil {
		return CheckedOut{}, false
	}
	return *c.out, true
}

// open refuses changes of a cart that was checked out.
func (c Cart) open() error {
	if c.out == nil {
		return nil
	}
	return ErrCheckedOut.With("the cart was checked out as order %q; use a new cart", c.out.Order)
}

func known(codes []string) string { return strings.Join(codes, ", ") }
