package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/examples/shop/cart"
	"github.com/foldstream/foldstream/examples/shop/order"
	"github.com/foldstream/foldstream/examples/shop/terms"
)

// checkouts turns carts into orders. That changes two streams, and a store
// appends to one at a time, so it goes in steps that can be repeated: the cart
// closes with everything the order needs, then the order is placed by a
// command whose id follows from the two. What a crash leaves between the steps
// is finished by recover at the next start.
type checkouts struct {
	store  eventstore.Store
	events eventstore.Codec
	carts  *aggregate.Repository[cart.Cart, cart.Event]
	orders *aggregate.Repository[order.Order, order.Event]
}

// finishTime bounds the second step, which no longer depends on the caller.
const finishTime = 30 * time.Second

// checkout is the handler of [cart.Checkout]. Its receipt is that of the
// order, whose position covers the cart's.
func (c *checkouts) checkout(ctx context.Context, cmd cart.Checkout) (eventstore.Receipt, error) {
	var out cart.CheckedOut
	closed, err := c.carts.Execute(ctx, cmd.Cart, func(s cart.Cart) ([]cart.Event, error) {
		events, err := s.Checkout(cmd)
		if err != nil {
			return nil, err
		}
		out = events[0].(cart.CheckedOut)
		// Most of the time this spares the cart from being closed and reopened.
		o, err := c.orders.Load(ctx, cmd.Order)
		if err != nil {
			return nil, err
		}
		return events, o.State.Free(cmd.Cart, cmd.Order)
	})
	if err != nil {
		return closed, notRefused(err)
	}
	// The cart is closed: whoever sent the command may go, the order comes.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	if closed.Repeated {
		var ok bool
		if out, ok, err = c.closedBy(ctx, closed); err != nil || !ok {
			return closed, err
		}
	}
	placed, err := c.finish(ctx, cmd.Cart, out)
	placed.Repeated = closed.Repeated
	return placed, err
}

// closedBy returns the checkout that a receipt stands for; none if the id of
// the command had been used for another kind of command.
func (c *checkouts) closedBy(ctx context.Context, r eventstore.Receipt) (cart.CheckedOut, bool, error) {
	for rec, err := range c.store.Read(ctx, r.Stream, eventstore.ReadOptions{From: r.Version, Limit: 1}) {
		if err != nil {
			return cart.CheckedOut{}, false, err
		}
		event, err := c.events.Decode(rec)
		out, ok := event.(cart.CheckedOut)
		return out, ok, err
	}
	return cart.CheckedOut{}, false, nil
}

// finish places the order of a closed cart, or reopens the cart if its order
// id went to another cart in between. Repeating it changes nothing.
func (c *checkouts) finish(ctx context.Context, id string, out cart.CheckedOut) (eventstore.Receipt, error) {
	place := order.Place{
		Order: out.Order, Cart: id, Customer: out.Customer, Lines: out.Lines, Coupon: out.Coupon, Shipper: out.Shipper,
		GoodsCents: out.Price.GoodsCents, DiscountCents: out.Price.DiscountCents,
		ShippingCents: out.Price.ShippingCents, TotalCents: out.Price.TotalCents,
	}
	receipt, err := aggregate.Handle(c.orders, order.Order.Place)(step(ctx, "place", id, out.Order), place)
	var refused *aggregate.RefusedError
	if err == nil || !errors.As(err, &refused) {
		return receipt, err
	}
	reopen := cart.Reopen{Cart: id, Order: out.Order, Reason: refused.Error()}
	if _, undone := aggregate.Handle(c.carts, cart.Cart.Reopen)(step(ctx, "reopen", id, out.Order), reopen); undone != nil {
		return receipt, fmt.Errorf("checkout of cart %q: order refused (%w) and cart not reopened: %w", id, err, undone)
	}
	return receipt, err
}

// step returns a context for one step of a checkout: its command id follows
// from cart and order, so that the step happens once however often it is
// tried; what caused it is the command that ctx carries, if any.
func step(ctx context.Context, name, cartID, orderID string) context.Context {
	return command.Context(ctx, nil, command.WithID(eventstore.DeriveID("checkout", name, cartID, orderID).String()))
}

// recover finishes every checkout that was cut in two and returns how many. It
// must run before commands are taken. It reads all checkouts and orders, and
// keeps in mind only those between the two.
func (c *checkouts) recover(ctx context.Context) (int, error) {
	open := map[string]cart.CheckedOut{} // by cart
	filter := eventstore.Filter{Types: []string{typeCheckedOut, typeReopened, typePlaced}}
	for r, err := range c.store.ReadAll(ctx, eventstore.ReadAllOptions{Filter: filter}) {
		if err != nil {
			return 0, fmt.Errorf("look for unfinished checkouts: %w", err)
		}
		event, err := c.events.Decode(r)
		if err != nil {
			return 0, fmt.Errorf("look for unfinished checkouts: %w", err)
		}
		_, id := eventstore.SplitStream(r.Stream)
		switch e := event.(type) {
		case cart.CheckedOut:
			open[id] = e
		case cart.Reopened:
			delete(open, id)
		case order.Placed:
			delete(open, e.Cart)
		}
	}
	for id, out := range open {
		if _, err := c.finish(ctx, id, out); err != nil && !isRefusal(err) {
			return 0, fmt.Errorf("finish the checkout of cart %q as order %q: %w", id, out.Order, err)
		}
	}
	return len(open), nil
}

// isRefusal reports whether err is an answer of the business.
func isRefusal(err error) bool {
	var r *terms.Refusal
	return errors.As(err, &r)
}

// notRefused takes the mark of a refusal off an error that a decision met
// rather than made, such as one of the store.
func notRefused(err error) error {
	var refused *aggregate.RefusedError
	if errors.As(err, &refused) && !isRefusal(err) {
		return refused.Err
	}
	return err
}
