package main

import (
	"testing"

	"github.com/foldstream/foldstream/eventstore/codec/codectest"
	"github.com/foldstream/foldstream/examples/shop/cart"
	"github.com/foldstream/foldstream/examples/shop/order"
)

func TestEventsAreRegisteredAndLoseNothing(t *testing.T) {
	t.Parallel()
	codectest.RoundTrip(t, newEvents())
	codectest.Covers[order.Event](t, newEvents())
	codectest.Covers[cart.Event](t, newEvents())
}
