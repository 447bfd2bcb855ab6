package cart

import "github.com/foldstream/foldstream/examples/shop/terms"

// AddItem decides whether a product may be put into the cart.
func (c Cart) AddItem(cmd AddItem) ([]Event, error) {
	if err := first(terms.CheckID("cart", cmd.Cart), cmd.Line.Check(), c.open()); err != nil {
		return nil, err
	}
	if total := cmd.Quantity + c.quantity(cmd.SKU, cmd.UnitPriceCents); total > terms.MaxQuantity {
		return nil, terms.ErrQuantity.With("quantity of %q would be %d, at most %d", cmd.SKU, total, terms.MaxQuantity)
	}
	added := ItemAdded{cmd.Line}
	if c.items.count() >= terms.MaxLines && len(c.Evolve(added).Lines()) > terms.MaxLines {
		return nil, ErrFull.With("the cart has %d lines, which is the most; check it out", terms.MaxLines)
	}
	return []Event{added}, nil
}

// RemoveItem decides whether a product may be taken out of the cart.
func (c Cart) RemoveItem(cmd RemoveItem) ([]Event, error) {
	if err := first(terms.CheckID("cart", cmd.Cart), terms.CheckID("sku", cmd.SKU), c.open()); err != nil {
		return nil, err
	}
	for i := c.items; i != nil; i = i.older {
		if i.line.SKU == cmd.SKU {
			return []Event{ItemRemoved{cmd.SKU}}, nil
		}
	}
	return nil, ErrNotInCart.With("item %q is not in the cart", cmd.SKU)
}

// ApplyCoupon decides whether the cart gets a discount. A cart takes one
// coupon, and it may be entered before there is anything in the cart.
func (c Cart) ApplyCoupon(cmd ApplyCoupon) ([]Event, error) {
	if err := first(terms.CheckID("cart", cmd.Cart), c.open()); err != nil {
		return nil, err
	}
	if _, ok := coupons[cmd.Code]; !ok {
		return nil, ErrCouponUnknown.With("coupon %.32q is not known; the shop takes %s", cmd.Code, known(Coupons()))
	}
	if c.coupon != "" {
		return nil, ErrCouponEntered.With("the cart has the coupon %q; one is the most", c.coupon)
	}
	return []Event{CouponEntered{cmd.Code}}, nil
}

// ChooseShipper decides who brings the goods. Choosing the same again changes
// nothing.
func (c Cart) ChooseShipper(cmd ChooseShipper) ([]Event, error) {
	if err := first(terms.CheckID("cart", cmd.Cart), c.open()); err != nil {
		return nil, err
	}
	if _, ok := shippers[cmd.Shipper]; !ok {
		return nil, ErrShipperUnknown.With("shipper %.32q is not known; the shop has %s", cmd.Shipper, known(Shippers()))
	}
	if c.shipper == cmd.Shipper {
		return nil, nil
	}
	return []Event{ShipperChosen{cmd.Shipper}}, nil
}

// Checkout decides whether the cart can become an order, and at what price.
func (c Cart) Checkout(cmd Checkout) ([]Event, error) {
	if err := first(
		terms.CheckID("cart", cmd.Cart), terms.CheckID("order", cmd.Order), terms.CheckID("customer", cmd.Customer), c.open(),
	); err != nil {
		return nil, err
	}
	lines := c.Lines()
	if len(lines) == 0 {
		return nil, ErrEmpty.With("the cart is empty; add an item first")
	}
	shipper := c.shipper
	if shipper == "" {
		shipper = DefaultShipper
	}
	return []Event{CheckedOut{
		Order: cmd.Order, Customer: cmd.Customer, Lines: lines,
		Coupon: c.coupon, Shipper: shipper, Price: priceOf(lines, c.coupon, shipper),
	}}, nil
}

// Reopen takes the checkout for an order back.
func (c Cart) Reopen(cmd Reopen) ([]Event, error) {
	if c.out == nil || c.out.Order != cmd.Order {
		return nil, ErrNotThisCheckout.With("the cart is not checked out as order %q", cmd.Order)
	}
	return []Event{Reopened{Order: cmd.Order, Reason: cmd.Reason}}, nil
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
