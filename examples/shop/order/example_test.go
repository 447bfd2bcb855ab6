package order_test

import (
	"fmt"
	"testing"

	"github.com/foldstream/foldstream/examples/shop/order"
	"github.com/foldstream/foldstream/internal/tbtest"
)

// The first two lines are tests that pass. The third expects the wrong thing:
// what it says is printed here.
func Example() {
	fmt.Print(tbtest.Failure(nil, func(t testing.TB) {
		orders.Given(placed).When(t, order.Pay{Order: "o1", AmountCents: 900}).Then(order.Paid{AmountCents: 900})
		orders.Given(placed).When(t, order.Pay{Order: "o1", AmountCents: 899}).Refused(order.ErrAmount)
		orders.Given(placed, paid).When(t, order.Ship{Order: "o1", Tracking: "T1"}).Then(order.Shipped{Tracking: "T2"})
	}))
	// Output:
	// order.Order decides otherwise
	//   given
	//     order.Placed{Cart: "c1", Customer: "ada", Lines: [{SKU: "tea", Name: "Tea", Quantity: 2, UnitPriceCents: 450}], GoodsCents: 900, TotalCents: 900}
	//     order.Paid{AmountCents: 900}
	//   in the state
	//     order.Order{status: "paid", placed: {Cart: "c1", Customer: "ada", Lines: [{SKU: "tea", Name: "Tea", Quantity: 2, UnitPriceCents: 450}], GoodsCents: 900, TotalCents: 900}, paid: 900}
	//   when
	//     order.Ship{Order: "o1", Tracking: "T1"}
	//   expected
	//     order.Shipped{Tracking: "T2"}
	//   got
	//     order.Shipped{Tracking: "T1"}
	//   because
	//     event 1, Tracking is "T1" instead of "T2"
}
