package cart_test

import (
	"cmp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/aggregate/aggregatetest"
	"github.com/foldstream/foldstream/examples/shop/cart"
	"github.com/foldstream/foldstream/examples/shop/terms"
)

var carts = aggregatetest.For(
	aggregatetest.On(cart.Cart.AddItem), aggregatetest.On(cart.Cart.RemoveItem),
	aggregatetest.On(cart.Cart.ApplyCoupon), aggregatetest.On(cart.Cart.ChooseShipper),
	aggregatetest.On(cart.Cart.Checkout), aggregatetest.On(cart.Cart.Reopen))

var (
	tea    = terms.Line{SKU: "tea", Name: "Tea", Quantity: 2, UnitPriceCents: 450}
	cup    = terms.Line{SKU: "cup", Name: "Cup", Quantity: 1, UnitPriceCents: 999}
	dearer = terms.Line{SKU: "tea", Name: "Tea", Quantity: 1, UnitPriceCents: 500}
	added  = cart.ItemAdded{Line: tea}
	closed = cart.CheckedOut{Order: "o1", Customer: "ada", Lines: []terms.Line{tea}, Shipper: "post"}
)

func quantity(n int64) terms.Line {
	return terms.Line{SKU: "tea", Name: "Tea", Quantity: n, UnitPriceCents: 450}
}

func price(cents int64) terms.Line {
	return terms.Line{SKU: "tea", Name: "Tea", Quantity: 1, UnitPriceCents: cents}
}

func TestAddItem(t *testing.T) {
	t.Parallel()
	carts.Given().When(t, cart.AddItem{"c", tea}).Then(added)
	carts.Given(added).When(t, cart.AddItem{"c", tea}).Then(added)
	carts.Given().When(t, cart.AddItem{"c", quantity(0)}).Refused(terms.ErrQuantity)
	carts.Given().When(t, cart.AddItem{"c", quantity(-1)}).Refused(terms.ErrQuantity)
	carts.Given().When(t, cart.AddItem{"c", quantity(terms.MaxQuantity + 1)}).Refused(terms.ErrQuantity)
	carts.Given(cart.ItemAdded{Line: quantity(terms.MaxQuantity)}).When(t, cart.AddItem{"c", quantity(1)}).Refused(terms.ErrQuantity)
	carts.Given().When(t, cart.AddItem{"c", price(0)}).Then(cart.ItemAdded{Line: price(0)})
	carts.Given().When(t, cart.AddItem{"c", price(-1)}).Refused(terms.ErrPrice)
	carts.Given().When(t, cart.AddItem{"c", price(terms.MaxUnitCents + 1)}).Refused(terms.ErrPrice)
	carts.Given().When(t, cart.AddItem{"c", terms.Line{Quantity: 1}}).Refused(terms.ErrID)
	carts.Given().When(t, cart.AddItem{"c", terms.Line{SKU: "x", Name: "a\x00", Quantity: 1}}).Refused(terms.ErrText)
	carts.Given().When(t, cart.AddItem{"c\n", tea}).Refused(terms.ErrID)
	carts.Given(added, closed).When(t, cart.AddItem{"c", tea}).Refused(cart.ErrCheckedOut)
	carts.Given(added, closed, cart.Reopened{}).When(t, cart.AddItem{"c", tea}).Then(added)
}

func TestRemoveItem(t *testing.T) {
	t.Parallel()
	carts.Given(added).When(t, cart.RemoveItem{"c", "tea"}).Then(cart.ItemRemoved{SKU: "tea"})
	carts.Given(added).When(t, cart.RemoveItem{"c", "cup"}).Refused(cart.ErrNotInCart)
	carts.Given(added, cart.ItemRemoved{SKU: "tea"}).When(t, cart.RemoveItem{"c", "tea"}).Refused(cart.ErrNotInCart)
	carts.Given().When(t, cart.RemoveItem{"c", ""}).Refused(terms.ErrID)
	carts.Given(added, closed).When(t, cart.RemoveItem{"c", "tea"}).Refused(cart.ErrCheckedOut)
}

func TestApplyCoupon(t *testing.T) {
	t.Parallel()
	carts.Given().When(t, cart.ApplyCoupon{"c", "FIVER"}).Then(cart.CouponEntered{Code: "FIVER"})
	carts.Given().When(t, cart.ApplyCoupon{"c", "fiver"}).Refused(cart.ErrCouponUnknown)
	carts.Given(cart.CouponEntered{Code: "FIVER"}).When(t, cart.ApplyCoupon{"c", "TENOFF"}).Refused(cart.ErrCouponEntered)
	carts.Given(added, closed).When(t, cart.ApplyCoupon{"c", "FIVER"}).Refused(cart.ErrCheckedOut)
}

func TestChooseShipper(t *testing.T) {
	t.Parallel()
	carts.Given().When(t, cart.ChooseShipper{"c", "express"}).Then(cart.ShipperChosen{Shipper: "express"})
	carts.Given(cart.ShipperChosen{Shipper: "post"}).When(t, cart.ChooseShipper{"c", "post"}).Nothing()
	carts.Given(cart.ShipperChosen{Shipper: "post"}).When(t, cart.ChooseShipper{"c", "express"}).Then(cart.ShipperChosen{Shipper: "express"})
	carts.Given().When(t, cart.ChooseShipper{"c", "pigeon"}).Refused(cart.ErrShipperUnknown)
	carts.Given(added, closed).When(t, cart.ChooseShipper{"c", "express"}).Refused(cart.ErrCheckedOut)
}

func TestCheckout(t *testing.T) {
	t.Parallel()
	checkout := cart.Checkout{Cart: "c", Order: "o1", Customer: "ada"}
	carts.Given().When(t, checkout).Refused(cart.ErrEmpty)
	carts.Given(added, cart.ItemRemoved{SKU: "tea"}).When(t, checkout).Refused(cart.ErrEmpty)
	carts.Given(added, closed).When(t, checkout).Refused(cart.ErrCheckedOut)
	carts.Given(added).When(t, cart.Checkout{"c", "", "ada"}).Refused(terms.ErrID)
	carts.Given(added).When(t, cart.Checkout{"c", "o1", ""}).Refused(terms.ErrID)
}

func TestReopen(t *testing.T) {
	t.Parallel()
	carts.Given(added, closed).When(t, cart.Reopen{"c", "o1", "taken"}).Then(cart.Reopened{Order: "o1", Reason: "taken"})
	carts.Given(added, closed).When(t, cart.Reopen{"c", "o2", ""}).Refused(cart.ErrNotThisCheckout)
	carts.Given(added).When(t, cart.Reopen{"c", "o1", ""}).Refused(cart.ErrNotThisCheckout)
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
			line, shipper := price(tt.cents), cmp.Or(tt.shipper, cart.DefaultShipper)
			carts.Given(cart.ItemAdded{Line: line}, cart.CouponEntered{Code: tt.coupon}, cart.ShipperChosen{Shipper: tt.shipper}).
				When(t, cart.Checkout{Cart: "c", Order: "o", Customer: "ada"}).
				Then(cart.CheckedOut{
					Order: "o", Customer: "ada", Lines: []terms.Line{line}, Coupon: tt.coupon, Shipper: shipper, Price: tt.want,
				})
		})
	}
}

func TestLinesMergeByPrice(t *testing.T) {
	t.Parallel()
	c := carts.Given(added, cart.ItemAdded{Line: cup}, cart.ItemAdded{Line: dearer}, added).State(t)
	twice := tea
	twice.Quantity = 4
	require.Equal(t, []terms.Line{twice, cup, dearer}, c.Lines())
	require.Equal(t, []terms.Line{cup}, c.Evolve(cart.ItemRemoved{SKU: "tea"}).Lines())
}

func TestACartTakesOnlySoManyLines(t *testing.T) {
	t.Parallel()
	var full []cart.Event
	for i := range terms.MaxLines {
		full = append(full, cart.ItemAdded{Line: price(int64(i))})
	}
	carts.Given(full...).When(t, cart.AddItem{"c", price(terms.MaxLines)}).Refused(cart.ErrFull)
	carts.Given(full...).When(t, cart.AddItem{"c", price(0)}).Then(full[0]) // a line that is there may grow
}

func TestRefusalsNameTheValue(t *testing.T) {
	t.Parallel()
	_, err := cart.Cart{}.ApplyCoupon(cart.ApplyCoupon{"c", strings.Repeat("X", 10_000)})
	require.Contains(t, err.Error(), "XXX")
	require.Less(t, len(err.Error()), 200, "but not all of a huge one")
}
