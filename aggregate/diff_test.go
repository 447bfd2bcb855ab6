package aggregate_test

import (
	"fmt"
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/aggregate"
)

type money struct {
	cents    int64
	currency string
}

func (m money) String() string { return fmt.Sprintf("%d %s", m.cents, m.currency) }

type shelf struct {
	Name   string
	open   bool
	price  money
	large  *big.Int
	at     time.Time
	lines  []line
	stock  map[string]int
	byID   map[int]*line
	next   *shelf
	any    any
	raw    []byte
	weight float64
	F      func()
	pair   [2]int
}

type line struct {
	SKU  string
	note *string
}

func texts(changes []aggregate.Change) []string {
	all := make([]string, len(changes))
	for i, c := range changes {
		all[i] = c.String()
	}
	return all
}

func TestDiffNamesWhatChanged(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	before := shelf{
		Name: "a", price: money{450, "EUR"}, large: big.NewInt(1), at: at, lines: []line{{"tea", new("x")}, {"cup", nil}},
		stock: map[string]int{"tea": 1, "gone": 2, "same": 3}, byID: map[int]*line{10: {SKU: "ten"}, 9: {SKU: "nine"}},
		any: 1, raw: []byte{1}, weight: math.NaN(), pair: [2]int{1, 2},
	}
	assert.Empty(t, aggregate.Diff(before, before))

	after := before
	after.Name, after.open, after.price, after.large = "b", true, money{500, "EUR"}, big.NewInt(2)
	after.at = at.Add(time.Second)
	after.lines = []line{{"tea", new("y")}, {"cup", new("new")}, {"pot", new("z")}}
	after.stock = map[string]int{"tea": 5, "more": 4, "same": 3}
	after.byID = map[int]*line{10: {SKU: "TEN"}, 9: nil}
	after.next = &shelf{}
	after.any, after.raw, after.weight, after.pair = "1", []byte{1, 2}, 2.5, [2]int{1, 3}
	want := []string{
		`Name: "a" -> "b"`,
		`open: false -> true`,
		`price: 450 EUR -> 500 EUR`,
		`large: 1 -> 2`,
		`at: 2026-02-03 04:05:06 +0000 UTC -> 2026-02-03 04:05:07 +0000 UTC`,
		`lines[0].note: "x" -> "y"`,
		`lines[1].note: (none) -> "new"`,
		`lines[2]: (none) -> {SKU:"pot" note:"z"}`,
		`stock["gone"]: 2 -> (none)`,
		`stock["more"]: (none) -> 4`,
		`stock["tea"]: 1 -> 5`,
		`byID[9]: {SKU:"nine" note:nil} -> (none)`,
		`byID[10].SKU: "ten" -> "TEN"`,
		`next: (none) -> {Name:"" open:false price:0  large:nil at:0001-01-01 00:00:00 +0000 UTC lines:nil stock:nil byID:nil next:nil any:nil raw:nil weight:0 F:func() pair:[0 0]}`,
		`any: 1 -> "1"`,
		`raw: 0x01 -> 0x0102`,
		`weight: NaN -> 2.5`,
		`pair[1]: 2 -> 3`,
	}
	for range 10 { // maps have no order, differences do
		assert.Equal(t, want, texts(aggregate.Diff(before, after)))
	}
	assert.Equal(t, aggregate.Change{Path: "open", Before: false, After: true}, aggregate.Diff(before, after)[1])
}

func TestDiffKnowsWhatIsTheSame(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	elsewhere := at.In(time.FixedZone("x", 3600))
	assert.Empty(t, aggregate.Diff(shelf{at: at, lines: []line{{note: new("x")}}}, shelf{at: elsewhere, lines: []line{{note: new("x")}}}))
	assert.Empty(t, aggregate.Diff(nil, nil))
	assert.Empty(t, aggregate.Diff(math.NaN(), math.NaN()))
	assert.Empty(t, aggregate.Diff(big.NewInt(7), big.NewInt(7)))
	assert.Equal(t, []string{`lines: nil -> []`}, texts(aggregate.Diff(shelf{}, shelf{lines: []line{}})), "an empty list is not none")
	assert.Equal(t, []string{`stock: nil -> {}`}, texts(aggregate.Diff(shelf{}, shelf{stock: map[string]int{}})), "writing to no map panics")
	assert.Equal(t, []string{`1 -> "x"`}, texts(aggregate.Diff(1, "x")))
	assert.Equal(t, []string{`(none) -> 1`}, texts(aggregate.Diff(nil, 1)))
	assert.Equal(t, []string{`cents: 1 -> 2`}, texts(aggregate.Diff(money{cents: 1}, money{cents: 2})), "what is asked about is always looked into")
}

type ring []ring

func TestDiffEndsInCircles(t *testing.T) {
	t.Parallel()
	circle := func(names ...string) *shelf {
		first := &shelf{Name: names[0]}
		last := first
		for _, n := range names[1:] {
			last.next = &shelf{Name: n}
			last = last.next
		}
		last.next = first
		return first
	}
	changes := aggregate.Diff(circle("a", "b"), circle("a", "c"))
	require.Equal(t, []string{`next.Name: "b" -> "c"`}, texts(changes))
	assert.NotEmpty(t, aggregate.Diff(circle("a"), circle("a", "b")))

	x, y := ring{nil}, ring{nil, nil}
	x[0], y[0] = x, y
	assert.Len(t, aggregate.Diff(x, y), 1)
	assert.Contains(t, aggregate.Diff(nil, circle("a"))[0].String(), "...")
}
