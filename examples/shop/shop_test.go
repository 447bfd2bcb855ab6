package main

import (
	"testing"
	"time"

	"github.com/foldstream/foldstream/command/commandtest"
	"github.com/foldstream/foldstream/examples/shop/cart"
	"github.com/foldstream/foldstream/examples/shop/order"
	"github.com/foldstream/foldstream/examples/shop/terms"
	"github.com/foldstream/foldstream/projection"
)

// newShop is the shop as app.wire makes it, over the stores of a test.
func newShop(env commandtest.Env) commandtest.App {
	events := newEvents()
	v := newViews(env.Views, events)
	return commandtest.App{
		Codec:    events,
		Commands: newWriteSide(env.Store, events, quiet, env.Middleware).bus,
		Queries:  newReadSide(v),
		Runner:   projection.NewRunner(env.Store, nil, v.all...),
	}
}

// From the cart to the door, and what can be seen of it on the way.
func TestAnOrderFromCartToDoor(t *testing.T) {
	t.Parallel()
	commandtest.Test(t, newShop, func(_ *testing.T, k *commandtest.Kit) {
		ordered := time.Now().UTC()
		lines := []terms.Line{tea}
		summary := Summary{
			ID: "o1", Customer: "ada", Status: order.StatusPlaced, Lines: lines, TotalCents: 1600, CreatedAt: ordered, UpdatedAt: ordered,
		}
		k.Given("cart-c1", cart.ItemAdded{Line: tea}, cart.ShipperChosen{Shipper: "express"})
		k.When(cart.Checkout{Cart: "c1", Order: "o1", Customer: "ada"}).Then(
			commandtest.Events("cart-c1", cart.CheckedOut{
				Order: "o1", Customer: "ada", Lines: lines, Shipper: "express", Price: cart.Price{GoodsCents: 900, ShippingCents: 700, TotalCents: 1600},
			}),
			commandtest.Events("order-o1", order.Placed{
				Cart: "c1", Customer: "ada", Lines: lines, Shipper: "express", GoodsCents: 900, ShippingCents: 700, TotalCents: 1600,
			}),
			commandtest.Answer(OrderOf{"o1"}, summary),
			commandtest.Answer(TopProducts{3}, []Sold{{"tea", 2}}),
		).Again()

		k.When(order.Ship{Order: "o1", Tracking: "T1"}).Refused(order.ErrNotPaid)
		k.Advance(24 * time.Hour).Then()
		k.When(order.Pay{Order: "o1", AmountCents: 1600}).Then(commandtest.Events("order-o1", order.Paid{AmountCents: 1600})).Again()
		summary.Status, summary.UpdatedAt = order.StatusPaid, ordered.Add(24*time.Hour)
		k.When(order.Ship{Order: "o1", Tracking: ""}).Refused(terms.ErrID, commandtest.Answer(OrderOf{"o1"}, summary))
		k.When(order.Ship{Order: "o1", Tracking: "T1"}).Then(commandtest.Events("order-o1", order.Shipped{Tracking: "T1"}))
		k.When(order.Cancel{Order: "o1"}).Refused(order.ErrAlreadyShipped)
		k.Rebuild()
	})
}

// What is cancelled was not sold, and the customer still sees the order.
func TestACancelledOrder(t *testing.T) {
	t.Parallel()
	commandtest.Test(t, newShop, func(_ *testing.T, k *commandtest.Kit) {
		now := time.Now().UTC()
		lines := []terms.Line{tea}
		k.Given("order-o1", order.Placed{Cart: "c1", Customer: "ada", Lines: lines, TotalCents: 900})
		k.When(order.Cancel{Order: "o1", Reason: "late"}).Then(
			commandtest.Events("order-o1", order.Cancelled{Reason: "late", Lines: lines}),
			commandtest.Answer(TopProducts{3}, []Sold{}),
			commandtest.Answer(OrdersOf{Customer: "ada", Limit: 9}, []Summary{{
				ID: "o1", Customer: "ada", Status: order.StatusCancelled, Lines: lines, TotalCents: 900, CreatedAt: now, UpdatedAt: now,
			}}))
		k.When(cart.AddItem{Cart: "c2", Line: tea}).Done()
		k.When(cart.Checkout{Cart: "c2", Order: "o1", Customer: "eve"}).Refused(order.ErrTaken)
	})
}
