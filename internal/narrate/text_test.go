package narrate_test

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/internal/narrate"
)

type (
	status string
	line   struct {
		SKU      string
		Quantity int
	}
	order struct {
		Status status
		Lines  []line
		Any    any
		total  *big.Int
		paid   time.Time
		after  time.Duration
		stock  map[string]int
		by     map[line]*line
		next   *order
		raw    []byte
		id     eventstore.ID
		done   func()
	}
)

func TestTextIsLikeGo(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	circle := &order{Status: "x"}
	circle.next = circle
	for want, v := range map[string]any{
		"nil":                            nil,
		"7":                              7,
		`"a\nb"`:                         "a\nb",
		"narrate_test.order{}":           order{},
		"&narrate_test.line{SKU: \"a\"}": &line{SKU: "a"},
		`narrate_test.order{Status: "paid", Lines: [{SKU: "tea", Quantity: 2}, {}], Any: narrate_test.line{Quantity: 1}}`: order{
			Status: "paid", Lines: []line{{"tea", 2}, {}}, Any: line{Quantity: 1},
		},
		`narrate_test.order{total: &12, paid: 2026-02-03T04:05:06Z, after: 1m0s}`: order{total: big.NewInt(12), paid: at, after: time.Minute},
		`narrate_test.order{stock: {"a": 1, "b": 2}, by: {{SKU: "x"}: &{SKU: "y"}}, next: &{}, raw: "text"}`: order{
			stock: map[string]int{"b": 2, "a": 1}, by: map[line]*line{{SKU: "x"}: {SKU: "y"}}, next: &order{}, raw: []byte("text"),
		},
		`narrate_test.order{raw: 0x0001, id: 00000000-0000-0000-0000-000000000007, done: func()}`: order{raw: []byte{0, 1}, id: eventstore.ID{15: 7}, done: func() {}},
		"[1, 2, 3, 4, 5, 6, … 94 more]": func() (all [100]int) {
			for i := range all {
				all[i] = i + 1
			}
			return all
		}(),
		`[[]]`: [][]int{{}},
		`narrate_test.order{Status: "x", next: &{Status: "x", next: &{Status: "x", next: &{Status: "x", next: &{Status: …, next: …}}}}}`: *circle,
	} {
		assert.Equal(t, want, narrate.Text(v))
	}
	long := narrate.Text(strings.Repeat("ä", 10_000))
	assert.Less(t, len(long), 700)
	assert.True(t, strings.HasSuffix(long, "ä…"))
	assert.Equal(t, []string{`"a"`, `"b"`}, narrate.Texts([]string{"a", "b"}))
}
