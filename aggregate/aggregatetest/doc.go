// Package aggregatetest tests what aggregates decide: given these events, when
// this command comes, then those events, or a refusal.
//
//	var orders = aggregatetest.For(
//		aggregatetest.On(order.Order.Place),
//		aggregatetest.On(order.Order.Pay),
//	)
//
//	func TestPay(t *testing.T) {
//		pay := order.Pay{Order: "42", Cents: 900}
//		orders.Given(placed).When(t, pay).Then(order.Paid{Cents: 900})
//		orders.Given(placed, paid).When(t, pay).Refused(order.ErrAlreadyPaid)
//		orders.Given().When(t, pay).Refused(order.ErrUnknown)
//	}
//
// A failure tells the whole story, and names the fields that differ.
//
// Each scenario also finds what only shows later, under load or after a
// restart: an Evolve or a decision that changes what its state, its event or
// its command refers to, that appends to a slice that others share, or that
// gives another answer the second time, because of the clock, of chance or of
// the order of a map. With [Kit.Codec] it finds events that do not come back
// from a store as they were. Of a past so long that this would take more than
// some milliseconds only the beginning is looked at.
//
// There is no store, no repository and no goroutine in this.
package aggregatetest
