// Package projectiontest tests projections, and holds what every
// [projection.ViewStore] must keep.
//
// A test of a projection gives events and says what the view holds then:
//
//	v := newViews(projectiontest.NewStore())
//	projectiontest.For(v.projection).
//		Given("order-42", Placed{Customer: "ada", Total: 30}, Paid{}).
//		Then(t,
//			projectiontest.Document(v.summaries, "42", Summary{Customer: "ada", Status: "paid", Total: 30}),
//			projectiontest.Counter(v.paid, "ada", 1))
//
// By itself [Scenario.Then] also builds the view again in many ways and finds
// handlers that are not pure.
//
// [RunViewStore] is the conformance suite of view stores.
package projectiontest
