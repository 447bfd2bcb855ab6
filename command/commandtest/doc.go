// Package commandtest tests a whole application in memory and in virtual time:
// given these events, when a command is sent, then those events are stored,
// those views and answers are there, and those further commands were sent.
//
//	func TestAnOrderThatIsNotPaidIsCancelled(t *testing.T) {
//		commandtest.Test(t, newShop, func(t *testing.T, k *commandtest.Kit) {
//			k.Given("order-42", placed)
//			k.When(order.Pay{Order: "42", Cents: 1}).Refused(order.ErrAmount)
//			k.Advance(48 * time.Hour).Then(
//				commandtest.Sent(order.Cancel{Order: "42"}),
//				commandtest.Events("order-42", order.Cancelled{}),
//				commandtest.Answer(StatusOf{"42"}, "cancelled"))
//		})
//	}
//
//	func newShop(env commandtest.Env) commandtest.App { … }
//
// The application is the real one: its command bus, its repositories, its
// projections and reactors in a real runner, its queues. Only the event store
// and the view store are those that the kit gives it, in memory. A test runs in
// a bubble of [testing/synctest], so an hour takes no time and nothing has to be
// waited for: every step ends when all that it led to has come to rest, views
// that follow and commands that reactors send included.
//
// A failure tells the whole story: what was given, what was done, what came of
// it, and in which fields that is not what was expected. Events that nobody
// expected fail the test too, and so do events that a view has parked.
package commandtest
