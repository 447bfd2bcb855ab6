package terms

import "fmt"

// Bounds of what can be sold. They are chosen so that no sum of money in the
// shop can leave an int64, and no cart outgrows one append of an event store.
const (
	MaxID        = 128           // bytes of an id
	MaxName      = 256           // bytes of a name or another text
	MaxLines     = 2000          // of a cart
	MaxQuantity  = 1_000_000     // of a line
	MaxUnitCents = 1_000_000_000 // of a line
)

// A Line is a quantity of one product at one price. Its fields are stored in
// events under these names.
type Line struct {
	SKU            string `json:"sku"`
	Name           string `json:"name"`
	Quantity       int64  `json:"quantity"`
	UnitPriceCents int64  `json:"unit_price_cents"`
}

// Cents returns the price of the whole line.
func (l Line) Cents() int64 { return l.Quantity * l.UnitPriceCents }

// Check refuses a line that cannot be sold.
func (l Line) Check() error {
	if err := CheckID("sku", l.SKU); err != nil {
		return err
	}
	if err := CheckText("name", l.Name); err != nil {
		return err
	}
	if l.Quantity < 1 || l.Quantity > MaxQuantity {
		return ErrQuantity.With("quantity %d: must be from 1 to %d", l.Quantity, MaxQuantity)
	}
	if l.UnitPriceCents < 0 || l.UnitPriceCents > MaxUnitCents {
		return ErrPrice.With("unit_price_cents %d: must be from 0 to %d", l.UnitPriceCents, MaxUnitCents)
	}
	return nil
}

// Goods returns the price of all lines.
func Goods(lines []Line) int64 {
	var sum int64
	for _, l := range lines {
		sum += l.Cents()
	}
	return sum
}

// Euros writes cents for people: 1234 as 12.34.
func Euros(cents int64) string {
	sign := ""
	if cents < 0 {
		sign, cents = "-", -cents
	}
	return fmt.Sprintf("%s%d.%02d", sign, cents/100, cents%100)
}
