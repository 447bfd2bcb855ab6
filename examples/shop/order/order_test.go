package order_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/foldstream/foldstream/aggregate/aggregatetest"
	"github.com/foldstream/foldstream/examples/shop/order"
	"github.com/foldstream/foldstream/examples/shop/terms"
)

var orders = aggregatetest.For(
	aggregatetest.On(order.Order.Place), aggregatetest.On(order.Order.Pay),
	aggregatetest.On(order.Order.Ship), aggregatetest.On(order.Order.Cancel))

var (
	lines     = []terms.Line{{SKU: "tea", Name: "Tea", Quantity: 2, UnitPriceCents: 450}}
	place     = order.Place{Order: "o1", Cart: "c1", Customer: "ada", Lines: lines, GoodsCents: 900, TotalCents: 900}
	placed    = order.Placed{Cart: "c1", Customer: "ada", Lines: lines, GoodsCents: 900, TotalCents: 900}
	paid      = order.Paid{AmountCents: 900}
	shipped   = order.Shipped{Tracking: "T1"}
	cancelled = order.Cancelled{Reason: "late", Lines: lines}
)

func TestPlace(t *testing.T) {
	t.Parallel()
	other, empty := place, place
	other.Cart, empty.Lines = "c2", nil
	orders.Given().When(t, place).Then(placed)
	orders.Given(placed).When(t, place).Refused(order.ErrAlreadyPlaced)
	orders.Given(placed).When(t, other).Refused(order.ErrTaken)
	orders.Given(placed, cancelled).When(t, other).Refused(order.ErrTaken)
	orders.Given().When(t, empty).Refused(order.ErrEmpty)
}

func TestPay(t *testing.T) {
	t.Parallel()
	pay := order.Pay{"o1", 900}
	orders.Given(placed).When(t, pay).Then(paid)
	orders.Given(order.Placed{Lines: lines}).When(t, order.Pay{"o1", 0}).Then(order.Paid{})
	orders.Given(placed).When(t, order.Pay{"o1", 899}).Refused(order.ErrAmount)
	orders.Given(placed).When(t, order.Pay{"o1", 901}).Refused(order.ErrAmount)
	orders.Given(placed).When(t, order.Pay{"o1", -900}).Refused(order.ErrAmount)
	orders.Given(placed, paid).When(t, pay).Refused(order.ErrAlreadyPaid)
	orders.Given(placed, paid, shipped).When(t, pay).Refused(order.ErrAlreadyPaid)
	orders.Given(placed, cancelled).When(t, pay).Refused(order.ErrAlreadyCancelled)
	orders.Given().When(t, pay).Refused(order.ErrUnknown)
}

func TestShip(t *testing.T) {
	t.Parallel()
	ship := order.Ship{"o1", "T1"}
	orders.Given(placed, paid).When(t, ship).Then(shipped)
	orders.Given(placed).When(t, ship).Refused(order.ErrNotPaid)
	orders.Given(placed, paid, shipped).When(t, ship).Refused(order.ErrAlreadyShipped)
	orders.Given(placed, paid, cancelled).When(t, ship).Refused(order.ErrAlreadyCancelled)
	orders.Given().When(t, ship).Refused(order.ErrUnknown)
	orders.Given(placed, paid).When(t, order.Ship{"o1", ""}).Refused(terms.ErrID)
}

func TestCancel(t *testing.T) {
	t.Parallel()
	cancel := order.Cancel{"o1", "late"}
	orders.Given(placed).When(t, cancel).Then(cancelled)
	orders.Given(placed, paid).When(t, cancel).Then(order.Cancelled{Reason: "late", RefundCents: 900, Lines: lines})
	orders.Given(placed, paid, shipped).When(t, cancel).Refused(order.ErrAlreadyShipped)
	orders.Given(placed, cancelled).When(t, cancel).Refused(order.ErrAlreadyCancelled)
	orders.Given().When(t, cancel).Refused(order.ErrUnknown)
	orders.Given(placed).When(t, order.Cancel{"o1", "\x00"}).Refused(terms.ErrText)
}

func TestStatus(t *testing.T) {
	t.Parallel()
	for want, given := range map[order.Status][]order.Event{
		"":                    nil,
		order.StatusPlaced:    {placed},
		order.StatusPaid:      {placed, paid},
		order.StatusShipped:   {placed, paid, shipped},
		order.StatusCancelled: {placed, paid, cancelled},
	} {
		o := orders.Given(given...).State(t)
		assert.Equal(t, want, o.Status())
		if given != nil {
			assert.Equal(t, placed, o.Placed())
		}
	}
}
