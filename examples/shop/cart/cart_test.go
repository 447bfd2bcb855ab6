package cart_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/examples/shop/cart"
	"github.com/foldstream/foldstream/examples/shop/terms"
)

var (
	tea    = terms.Line{SKU: "tea", Name: "Tea", Quantity: 2, UnitPriceCents: 450}
	cup    = terms.Line{SKU: "cup", Name: "Cup", Quantity: 1, UnitPriceCents: 999}
	dearer = terms.Line{SKU: "tea", Name: "Tea", Quantity: 1, UnitPriceCents: 500}
	closed = cart.CheckedOut{Order: "o1", Customer: "ada", Lines: []terms.Line{tea}, Shipper: "post"}
)

func fold(events ...cart.Event) cart.Cart {
	var c cart.Cart
	for _, e := range events {
		c = c.Evolve(e)
	}
	return c
}

func quantity(n int64) terms.Line {
	return terms.Line{SKU: "tea", Name: "Tea", Quantity: n, UnitPriceCents: 450}
}

func price(cents int64) terms.Line {
	return terms.Line{SKU: "tea", Name: "Tea", Quantity: 1, UnitPriceCents: cents}
}

func TestCart(t *testing.T) {
	t.Parallel()
	added, full := cart.ItemAdded{Line: tea}, cart.ItemAdded{Line: quantity(terms.MaxQuantity)}
	checkout := cart.Checkout{Cart: "c", Order: "o1", Customer: "ada"}
	for _, tt := range []struct {
		name  string
		given []cart.Event
		when  any
		then  []cart.Event
		err   error
	}{
		{"Add", nil, cart.AddItem{"c", tea}, []cart.Event{added}, nil},
		{"AddAgain", []cart.Event{added}, cart.AddItem{"c", tea}, []cart.Event{added}, nil},
		{"AddNoQuantity", nil, cart.AddItem{"c", quantity(0)}, nil, terms.ErrQuantity},
		{"AddNegativeQuantity", nil, cart.AddItem{"c", quantity(-1)}, nil, terms.ErrQuantity},
		{"AddHugeQuantity", nil, cart.AddItem{"c", quantity(terms.MaxQuantity + 1)}, nil, terms.ErrQuantity},
		{"AddUpToTooMuch", []cart.Event{full}, cart.AddItem{"c", quantity(1)}, nil, terms.ErrQuantity},
		{"AddForNothing", nil, cart.AddItem{"c", price(0)}, []cart.Event{cart.ItemAdded{Line: price(0)}}, nil},
		{"AddNegativePrice", nil, cart.AddItem{"c", price(-1)}, nil, terms.ErrPrice},
		{"AddHugePrice", nil, cart.AddItem{"c", price(terms.MaxUnitCents + 1)}, nil, terms.ErrPrice},
		{"AddWithoutSKU", nil, cart.AddItem{"c", terms.Line{Quantity: 1}}, nil, terms.ErrID},
		{"AddBadName", nil, cart.AddItem{"c", terms.Line{SKU: "x", Name: "a\x00", Quantity: 1}}, nil, terms.ErrText},
		{"AddToBadCart", nil, cart.AddItem{"c\n", tea}, nil, terms.ErrID},
		{"AddAfterCheckout", []cart.Event{added, closed}, cart.AddItem{"c", tea}, nil, cart.ErrCheckedOut},
		{"AddAfterReopening", []cart.Event{added, closed, cart.Reopened{}}, cart.AddItem{"c", tea}, []cart.Event{added}, nil},

		{"Remove", []cart.Event{added}, cart.RemoveItem{"c", "tea"}, []cart.Event{cart.ItemRemoved{SKU: "tea"}}, nil},
		{"RemoveAbsent", []cart.Event{added}, cart.RemoveItem{"c", "cup"}, nil, cart.ErrNotInCart},
		{"RemoveTwice", []cart.Event{added, cart.ItemRemoved{SKU: "tea"}}, cart.RemoveItem{"c", "tea"}, nil, cart.ErrNotInCart},
		{"RemoveNothing", nil, cart.RemoveItem{"c", ""}, nil, terms.ErrID},
		{"RemoveAfterCheckout", []cart.Event{added, closed}, cart.RemoveItem{"c", "tea"}, nil, cart.ErrCheckedOut},

		{"Coupon", nil, cart.ApplyCoupon{"c", "FIVER"}, []cart.Event{cart.CouponEntered{Code: "FIVER"}}, nil},
		{"CouponUnknown", nil, cart.ApplyCoupon{"c", "fiver"}, nil, cart.ErrCouponUnknown},
		{"CouponSecond", []cart.Event{cart.CouponEntered{Code: "FIVER"}}, cart.ApplyCoupon{"c", "TENOFF"}, nil, cart.ErrCouponEntered},
		{"CouponAfterCheckout", []cart.Event{added, closed}, cart.ApplyCoupon{"c", "FIVER"}, nil, cart.ErrCheckedOut},

		{"Shipper", nil, cart.ChooseShipper{"c", "express"}, []cart.Event{cart.ShipperChosen{Shipper: "express"}}, nil},
		{"ShipperSame", []cart.Event{cart.ShipperChosen{Shipper: "post"}}, cart.ChooseShipper{"c", "post"}, nil, nil},
		{"ShipperOther", []cart.Event{cart.ShipperChosen{Shipper: "post"}}, cart.ChooseShipper{"c", "express"}, []cart.Event{cart.ShipperChosen{Shipper: "express"}}, nil},
		{"ShipperUnknown", nil, cart.ChooseShipper{"c", "pigeon"}, nil, cart.ErrShipperUnknown},
		{"ShipperAfterCheckout", []cart.Event{added, closed}, cart.ChooseShipper{"c", "express"}, nil, cart.ErrCheckedOut},

		{"CheckoutEmpty", nil, checkout, nil, cart.ErrEmpty},
		{"CheckoutEmptied", []cart.Event{added, cart.ItemRemoved{SKU: "tea"}}, checkout, nil, cart.ErrEmpty},
		{"CheckoutTwice", []cart.Event{added, closed}, checkout, nil, cart.ErrCheckedOut},
		{"CheckoutWithoutOrder", []cart.Event{added}, cart.Checkout{"c", "", "ada"}, nil, terms.ErrID},
		{"CheckoutWithoutCustomer", []cart.Event{added}, cart.Checkout{"c", "o1", ""}, nil, terms.ErrID},

		{"Reopen", []cart.Event{added, closed}, cart.Reopen{"c", "o1", "taken"}, []cart.Event{cart.Reopened{Order: "o1", Reason: "taken"}}, nil},
		{"ReopenOther", []cart.Event{added, closed}, cart.Reopen{"c", "o2", ""}, nil, cart.ErrNotThisCheckout},
		{"ReopenOpen", []cart.Event{added}, cart.Reopen{"c", "o1", ""}, nil, cart.ErrNotThisCheckout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			then, err := decide(fold(tt.given...), tt.when)
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.then, then)
		})
	}
}

func decide(c cart.Cart, cmd any) ([]cart.Event, error) {
	switch cmd := cmd.(type) {
	case cart.AddItem:
		return c.AddItem(cmd)
	case cart.RemoveItem:
		return c.RemoveItem(cmd)
	case cart.ApplyCoupon:
		return c.ApplyCoupon(cmd)
	case cart.ChooseShipper:
		return c.ChooseShipper(cmd)
	case cart.Checkout:
		return c.Checkout(cmd)
	case cart.Reopen:
		return c.Reopen(cmd)
	}
	panic("unknown command")
}

func TestPrices(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name            string
		cents           int64
		coupon, shipper string
		want            cart.Price
	}{
		{"Plain", 1000, "", "", cart.Price{1000, 0, 0, 1000}},
		{"Post", 1000, "", "post", cart.Price{1000, 0, 0, 1000}},
		{"Express", 1000, "", "express", cart.Price{1000, 0, 700, 1700}},
		{"Tenth", 1000, "TENOFF", "post", cart.Price{1000, 100, 0, 900}},
		{"TenthRoundedDown", 1009, "TENOFF", "post", cart.Price{1009, 100, 0, 909}},
		{"TenthOfLittle", 9, "TENOFF", "post", cart.Price{9, 0, 0, 9}},
		{"TenthNotOfShipping", 1000, "TENOFF", "express", cart.Price{1000, 100, 700, 1600}},
		{"Fiver", 1000, "FIVER", "post", cart.Price{1000, 500, 0, 500}},
		{"FiverNotBelowZero", 300, "FIVER", "post", cart.Price{300, 300, 0, 0}},
		{"FiverNotOffShipping", 300, "FIVER", "express", cart.Price{300, 300, 700, 700}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := fold(cart.ItemAdded{Line: price(tt.cents)}, cart.CouponEntered{Code: tt.coupon}, cart.ShipperChosen{Shipper: tt.shipper})
			events, err := c.Checkout(cart.Checkout{Cart: "c", Order: "o", Customer: "ada"})
			require.NoError(t, err)
			require.Equal(t, tt.want, events[0].(cart.CheckedOut).Price)
		})
	}
}

func TestLinesMergeByPrice(t *testing.T) {
	t.Parallel()
	c := fold(cart.ItemAdded{Line: tea}, cart.ItemAdded{Line: cup}, cart.ItemAdded{Line: dearer}, cart.ItemAdded{Line: tea})
	twice := tea
	twice.Quantity = 4
	require.Equal(t, []terms.Line{twice, cup, dearer}, c.Lines())
	require.Equal(t, []terms.Line{cup}, c.Evolve(cart.ItemRemoved{SKU: "tea"}).Lines())
}

func TestACartIsAValue(t *testing.T) {
	t.Parallel()
	base := fold(cart.ItemAdded{Line: tea})
	one, other := base.Evolve(cart.ItemAdded{Line: cup}), base.Evolve(cart.ItemAdded{Line: dearer})
	none := one.Evolve(cart.ItemRemoved{SKU: "tea"})
	require.Equal(t, []terms.Line{tea}, base.Lines())
	require.Equal(t, []terms.Line{tea, cup}, one.Lines())
	require.Equal(t, []terms.Line{tea, dearer}, other.Lines())
	require.Equal(t, []terms.Line{cup}, none.Lines())
}

func TestACartTakesOnlySoManyLines(t *testing.T) {
	t.Parallel()
	var c cart.Cart
	for i := range terms.MaxLines {
		c = c.Evolve(cart.ItemAdded{Line: price(int64(i))})
	}
	_, err := c.AddItem(cart.AddItem{"c", price(terms.MaxLines)})
	require.ErrorIs(t, err, cart.ErrFull)
	_, err = c.AddItem(cart.AddItem{"c", price(0)})
	require.NoError(t, err, "a line that is there may grow")
}

func TestRefusalsNameTheValue(t *testing.T) {
	t.Parallel()
	_, err := cart.Cart{}.ApplyCoupon(cart.ApplyCoupon{"c", strings.Repeat("X", 10_000)})
	require.Contains(t, err.Error(), "XXX")
	require.Less(t, len(err.Error()), 200, "but not all of a huge one")
}
