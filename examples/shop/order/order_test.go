package order_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/examples/shop/order"
	"github.com/foldstream/foldstream/examples/shop/terms"
)

var (
	lines     = []terms.Line{{SKU: "tea", Name: "Tea", Quantity: 2, UnitPriceCents: 450}}
	place     = order.Place{Order: "o1", Cart: "c1", Customer: "ada", Lines: lines, GoodsCents: 900, TotalCents: 900}
	placed    = order.Placed{Cart: "c1", Customer: "ada", Lines: lines, GoodsCents: 900, TotalCents: 900}
	paid      = order.Paid{AmountCents: 900}
	shipped   = order.Shipped{Tracking: "T1"}
	cancelled = order.Cancelled{Reason: "late", Lines: lines}
)

func TestOrder(t *testing.T) {
	t.Parallel()
	other, empty := place, place
	other.Cart, empty.Lines = "c2", nil
	pay, ship, cancel := order.Pay{"o1", 900}, order.Ship{"o1", "T1"}, order.Cancel{"o1", "late"}
	for _, tt := range []struct {
		name  string
		given []order.Event
		when  any
		then  []order.Event
		err   error
	}{
		{"Place", nil, place, []order.Event{placed}, nil},
		{"PlaceTwice", []order.Event{placed}, place, nil, order.ErrAlreadyPlaced},
		{"PlaceOfOtherCart", []order.Event{placed}, other, nil, order.ErrTaken},
		{"PlaceOverCancelled", []order.Event{placed, cancelled}, other, nil, order.ErrTaken},
		{"PlaceEmpty", nil, empty, nil, order.ErrEmpty},

		{"Pay", []order.Event{placed}, pay, []order.Event{paid}, nil},
		{"PayFree", []order.Event{order.Placed{Lines: lines}}, order.Pay{"o1", 0}, []order.Event{order.Paid{}}, nil},
		{"PayLess", []order.Event{placed}, order.Pay{"o1", 899}, nil, order.ErrAmount},
		{"PayMore", []order.Event{placed}, order.Pay{"o1", 901}, nil, order.ErrAmount},
		{"PayNegative", []order.Event{placed}, order.Pay{"o1", -900}, nil, order.ErrAmount},
		{"PayTwice", []order.Event{placed, paid}, pay, nil, order.ErrAlreadyPaid},
		{"PayShipped", []order.Event{placed, paid, shipped}, pay, nil, order.ErrAlreadyPaid},
		{"PayCancelled", []order.Event{placed, cancelled}, pay, nil, order.ErrAlreadyCancelled},
		{"PayUnknown", nil, pay, nil, order.ErrUnknown},

		{"Ship", []order.Event{placed, paid}, ship, []order.Event{shipped}, nil},
		{"ShipUnpaid", []order.Event{placed}, ship, nil, order.ErrNotPaid},
		{"ShipTwice", []order.Event{placed, paid, shipped}, ship, nil, order.ErrAlreadyShipped},
		{"ShipCancelled", []order.Event{placed, paid, cancelled}, ship, nil, order.ErrAlreadyCancelled},
		{"ShipUnknown", nil, ship, nil, order.ErrUnknown},
		{"ShipWithoutTracking", []order.Event{placed, paid}, order.Ship{"o1", ""}, nil, terms.ErrID},

		{"Cancel", []order.Event{placed}, cancel, []order.Event{cancelled}, nil},
		{"CancelPaid", []order.Event{placed, paid}, cancel, []order.Event{order.Cancelled{Reason: "late", RefundCents: 900, Lines: lines}}, nil},
		{"CancelShipped", []order.Event{placed, paid, shipped}, cancel, nil, order.ErrAlreadyShipped},
		{"CancelTwice", []order.Event{placed, cancelled}, cancel, nil, order.ErrAlreadyCancelled},
		{"CancelUnknown", nil, cancel, nil, order.ErrUnknown},
		{"CancelBadReason", []order.Event{placed}, order.Cancel{"o1", "\x00"}, nil, terms.ErrText},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var o order.Order
			for _, e := range tt.given {
				o = o.Evolve(e)
			}
			then, err := decide(o, tt.when)
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.then, then)
		})
	}
}

func decide(o order.Order, cmd any) ([]order.Event, error) {
	switch cmd := cmd.(type) {
	case order.Place:
		return o.Place(cmd)
	case order.Pay:
		return o.Pay(cmd)
	case order.Ship:
		return o.Ship(cmd)
	case order.Cancel:
		return o.Cancel(cmd)
	}
	panic("unknown command")
}

func TestStatus(t *testing.T) {
	t.Parallel()
	var o order.Order
	require.Empty(t, o.Status())
	for _, step := range []struct {
		event order.Event
		want  order.Status
	}{
		{placed, order.StatusPlaced}, {paid, order.StatusPaid}, {shipped, order.StatusShipped},
	} {
		o = o.Evolve(step.event)
		require.Equal(t, step.want, o.Status())
	}
	require.Equal(t, order.StatusCancelled, o.Evolve(cancelled).Status())
	require.Equal(t, placed, o.Placed())
}
