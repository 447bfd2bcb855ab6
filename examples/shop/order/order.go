package order

import "github.com/foldstream/foldstream/examples/shop/terms"

// A Status says how far an order is.
type Status string

// The statuses of an order. The zero Status is that of no order.
const (
	StatusPlaced    Status = "placed"
	StatusPaid      Status = "paid"
	StatusShipped   Status = "shipped"
	StatusCancelled Status = "cancelled"
)

// Refusals of an order.
var (
	ErrUnknown          = &terms.Refusal{Rule: "order-unknown", Kind: terms.Unknown, Text: "there is no such order"}
	ErrTaken            = &terms.Refusal{Rule: "order-id-taken", Text: "the order id is taken"}
	ErrAlreadyPlaced    = &terms.Refusal{Rule: "order-already-placed", Text: "the order was placed already"}
	ErrAlreadyPaid      = &terms.Refusal{Rule: "order-already-paid", Text: "the order was paid already"}
	ErrAlreadyShipped   = &terms.Refusal{Rule: "order-already-shipped", Text: "the order was shipped already"}
	ErrAlreadyCancelled = &terms.Refusal{Rule: "order-already-cancelled", Text: "the order was cancelled"}
	ErrNotPaid          = &terms.Refusal{Rule: "order-not-paid", Text: "the order is not paid"}
	ErrAmount           = &terms.Refusal{Rule: "amount-not-total", Kind: terms.Invalid, Text: "the amount is not the total"}
	ErrEmpty            = &terms.Refusal{Rule: "order-empty", Kind: terms.Invalid, Text: "an order needs lines"}
)

// An Order is the state of an order. Its zero value is no order yet.
type Order struct {
	status Status
	placed Placed // its lines are never written through
	paid   int64
}

// Evolve returns the order after an event.
func (o Order) Evolve(e Event) Order {
	switch e := e.(type) {
	case Placed:
		o.status, o.placed = StatusPlaced, e
	case Paid:
		o.status, o.paid = StatusPaid, e.AmountCents
	case Shipped:
		o.status = StatusShipped
	case Cancelled:
		o.status = StatusCancelled
	}
	return o
}

// Status returns how far the order is, or "" when there is none.
func (o Order) Status() Status { return o.status }

// Placed returns what the order was placed for.
func (o Order) Placed() Placed { return o.placed }

// Free refuses an order id that an order of another cart has.
func (o Order) Free(cart, id string) error {
	if o.status != "" && o.placed.Cart != cart {
		return ErrTaken.With("order id %q is taken by another cart; choose another", id)
	}
	return nil
}
