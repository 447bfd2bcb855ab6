package main

import (
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/examples/shop/cart"
	"github.com/foldstream/foldstream/examples/shop/order"
)

// Names under which checkouts and orders are stored, which recovery looks for.
const (
	typeCheckedOut = "cart.checked_out"
	typeReopened   = "cart.reopened"
	typePlaced     = "order.placed"
)

// newEvents returns the codec of every event of the shop. The names are for
// ever; the Go types may move.
func newEvents() *codec.Codec {
	return codec.New(
		codec.Type[cart.ItemAdded]("cart.item_added"),
		codec.Type[cart.ItemRemoved]("cart.item_removed"),
		codec.Type[cart.CouponEntered]("cart.coupon_entered"),
		codec.Type[cart.ShipperChosen]("cart.shipper_chosen"),
		codec.Type[cart.CheckedOut](typeCheckedOut),
		codec.Type[cart.Reopened](typeReopened),
		codec.Type[order.Placed](typePlaced),
		codec.Type[order.Paid]("order.paid"),
		codec.Type[order.Shipped]("order.shipped"),
		codec.Type[order.Cancelled]("order.cancelled"),
		codec.Type[Decided]("import.decided"),
	)
}
