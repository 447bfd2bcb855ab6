package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/examples/shop/cart"
	"github.com/foldstream/foldstream/examples/shop/order"
	"github.com/foldstream/foldstream/examples/shop/terms"
	"github.com/foldstream/foldstream/query"
)

func (d *demo) id(n int) string       { return fmt.Sprintf("%s-%d", d.run, n) }
func (d *demo) customer(n int) string { return fmt.Sprintf("%s-customer-%d", d.run, n%demoCustomers) }

// visit is one customer's way through the shop. Now and then it tries what the
// rules forbid.
func (d *demo) visit(ctx context.Context, n int) error {
	v := &visit{demo: d, ctx: ctx, id: d.id(n)}
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	for range 1 + rng.IntN(4) {
		line := catalogue[rng.IntN(len(catalogue))]
		line.Quantity = 1 + rng.Int64N(3)
		v.send(cart.AddItem{Cart: v.id, Line: line})
	}
	if n%5 == 0 {
		v.send(cart.AddItem{Cart: v.id, Line: terms.Line{SKU: "gift", Name: "Gift wrap", Quantity: 1, UnitPriceCents: 200}})
		v.send(cart.RemoveItem{Cart: v.id, SKU: "gift"})
		v.refused(cart.RemoveItem{Cart: v.id, SKU: "gift"}, cart.ErrNotInCart)
	}
	if n%4 == 0 {
		v.send(cart.ApplyCoupon{Cart: v.id, Code: cart.Coupons()[rng.IntN(2)]})
		v.refused(cart.ApplyCoupon{Cart: v.id, Code: "FIVER"}, cart.ErrCouponEntered)
	}
	if n%3 == 0 {
		v.send(cart.ChooseShipper{Cart: v.id, Shipper: "express"})
	}
	v.send(cart.Checkout{Cart: v.id, Order: v.id, Customer: d.customer(n)})
	total := v.read(order.StatusPlaced).TotalCents
	v.refused(order.Ship{Order: v.id, Tracking: "T-" + v.id}, order.ErrNotPaid)
	if n%10 == 9 {
		v.send(order.Cancel{Order: v.id, Reason: "changed my mind"})
		v.read(order.StatusCancelled)
		return v.err
	}
	v.pay(total)
	v.read(order.StatusPaid)
	if n%2 == 0 {
		v.send(order.Ship{Order: v.id, Tracking: "T-" + v.id})
		v.read(order.StatusShipped)
	}
	return v.err
}

// A visit stops at its first error that is no refusal.
type visit struct {
	*demo
	ctx  context.Context //nolint:containedctx // lives as long as one call of demo.visit
	id   string
	last eventstore.Receipt
	err  error
}

func (v *visit) try(cmd any, opts ...command.SendOption) error {
	v.commands.Add(1)
	receipt, err := command.Send(v.ctx, v.app.commands.bus, cmd, opts...)
	switch {
	case err == nil:
		v.last = receipt
	case refused(err):
		v.rejected.Add(1)
	default:
		v.err = err
	}
	return err
}

// send sends a command that the rules allow.
func (v *visit) send(cmd any, opts ...command.SendOption) {
	if v.err != nil {
		return
	}
	if err := v.try(cmd, opts...); err != nil {
		v.mismatch("%T of %s was refused: %v", cmd, v.id, err)
	}
}

// refused sends a command that a rule forbids.
func (v *visit) refused(cmd any, rule error) {
	if v.err != nil {
		return
	}
	if err := v.try(cmd); !errors.Is(err, rule) {
		v.mismatch("%T of %s gave %v, not: %v", cmd, v.id, err, rule)
	}
}

// pay pays twice with one command id, as a client does that lost the answer.
func (v *visit) pay(total int64) {
	pay, id := order.Pay{Order: v.id, AmountCents: total}, command.WithID("pay-"+v.id)
	v.send(pay, id)
	first := v.last
	v.send(pay, id)
	if v.err == nil && (!v.last.Repeated || v.last.Position != first.Position) {
		v.mismatch("the repeated payment of %s got another receipt", v.id)
	}
}

// read asks for the order after the last write and compares it with what the
// events say.
func (v *visit) read(want order.Status) Summary {
	if v.err != nil {
		return Summary{}
	}
	s, err := query.Ask[Summary](v.ctx, v.queries, OrderOf{ID: v.id}, query.After(v.last))
	if err != nil {
		v.err = fmt.Errorf("read order %q: %w", v.id, err)
		return s
	}
	if s.Status != want {
		v.mismatch("order %s is %s in the view, not %s", v.id, s.Status, want)
	}
	return s
}

func (d *demo) mismatch(format string, args ...any) {
	d.mismatches.Add(1)
	_, _ = fmt.Fprintf(d.notes, "mismatch: "+format+"\n", args...)
}
