package cart

import (
	"maps"
	"slices"

	"github.com/foldstream/foldstream/examples/shop/terms"
)

// DefaultShipper brings the goods when nobody was chosen. It costs nothing, so
// nobody pays for what they did not choose.
const DefaultShipper = "post"

// A Price says how the amount to pay came about.
type Price struct {
	GoodsCents    int64
	DiscountCents int64
	ShippingCents int64
	TotalCents    int64
}

// coupons maps a code to the discount on the goods.
var coupons = map[string]func(goods int64) int64{
	// Part of a cent is not given away: the discount is rounded down.
	"TENOFF": func(goods int64) int64 { return goods / 10 },
	"FIVER":  func(goods int64) int64 { return min(500, goods) },
}

// shippers maps a shipper to its fee in cents.
var shippers = map[string]int64{DefaultShipper: 0, "express": 700}

// Coupons returns the codes that the shop knows.
func Coupons() []string { return slices.Sorted(maps.Keys(coupons)) }

// Shippers returns the shippers that the shop knows.
func Shippers() []string { return slices.Sorted(maps.Keys(shippers)) }

func priceOf(lines []terms.Line, coupon, shipper string) Price {
	p := Price{GoodsCents: terms.Goods(lines), ShippingCents: shippers[shipper]}
	if discount, ok := coupons[coupon]; ok {
		p.DiscountCents = discount(p.GoodsCents)
	}
	p.TotalCents = p.GoodsCents - p.DiscountCents + p.ShippingCents
	return p
}
