package order

import (
	"slices"

	"github.com/foldstream/foldstream/examples/shop/terms"
)

// Place decides whether the order may be placed.
func (o Order) Place(c Place) ([]Event, error) {
	if err := o.Free(c.Cart, c.Order); err != nil {
		return nil, err
	}
	if o.status != "" {
		return nil, ErrAlreadyPlaced.With("order %q was placed already", c.Order)
	}
	if len(c.Lines) == 0 {
		return nil, ErrEmpty.With("order %q has no lines", c.Order)
	}
	return []Event{Placed{
		Cart: c.Cart, Customer: c.Customer, Lines: slices.Clone(c.Lines), Coupon: c.Coupon, Shipper: c.Shipper,
		GoodsCents: c.GoodsCents, DiscountCents: c.DiscountCents, ShippingCents: c.ShippingCents, TotalCents: c.TotalCents,
	}}, nil
}

// Pay decides whether the order may be paid. The amount must be the total, for
// an order that costs nothing 0.
func (o Order) Pay(c Pay) ([]Event, error) {
	switch o.status {
	case StatusPlaced:
	case StatusPaid, StatusShipped:
		return nil, ErrAlreadyPaid.With("order %q was paid already", c.Order)
	default:
		return nil, o.gone(c.Order)
	}
	if c.AmountCents != o.placed.TotalCents {
		return nil, ErrAmount.With("order %q costs %d cents, not %d; pay exactly the total", c.Order, o.placed.TotalCents, c.AmountCents)
	}
	return []Event{Paid{AmountCents: c.AmountCents}}, nil
}

// Ship decides whether the goods may leave: only what is paid does.
func (o Order) Ship(c Ship) ([]Event, error) {
	if err := terms.CheckID("tracking", c.Tracking); err != nil {
		return nil, err
	}
	switch o.status {
	case StatusPaid:
		return []Event{Shipped{Tracking: c.Tracking}}, nil
	case StatusPlaced:
		return nil, ErrNotPaid.With("order %q is not paid; pay it first", c.Order)
	case StatusShipped:
		return nil, ErrAlreadyShipped.With("order %q was shipped already", c.Order)
	}
	return nil, o.gone(c.Order)
}

// Cancel decides whether the order may be called off: not once it is shipped.
func (o Order) Cancel(c Cancel) ([]Event, error) {
	if err := terms.CheckText("reason", c.Reason); err != nil {
		return nil, err
	}
	switch o.status {
	case StatusPlaced, StatusPaid:
		return []Event{Cancelled{Reason: c.Reason, RefundCents: o.paid, Lines: slices.Clone(o.placed.Lines)}}, nil
	case StatusShipped:
		return nil, ErrAlreadyShipped.With("order %q was shipped already and cannot be cancelled", c.Order)
	}
	return nil, o.gone(c.Order)
}

// gone refuses what an order that is cancelled, or never was, cannot do.
func (o Order) gone(id string) error {
	if o.status == StatusCancelled {
		return ErrAlreadyCancelled.With("order %q was cancelled", id)
	}
	return ErrUnknown.With("there is no order %q", id)
}
