package aggregatetest_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/aggregate/aggregatetest"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/internal/tbtest"
)

// A little aggregate with every mistake that the kit finds, each behind a
// command or an event of its own.
type (
	event interface{ isEvent() }

	opened struct{ Owner string }
	put    struct {
		SKU string
		N   int
	}
	closed struct{ At time.Time }

	written  struct{ SKU string } // Evolve writes into the map that older states have
	appended struct{ SKU string } // … appends in place
	sorted   struct{ SKUs []string }
	guessed  struct{}
	hidden   struct{ SKU, secret string } // is stored without the secret

	box struct {
		owner string
		stock map[string]int
		log   []string
		last  float64
	}

	open  struct{ ID, Owner string }
	fill  struct{ SKUs []string }
	shut  struct{ At time.Time }
	do    struct{ Event event }
	scrub struct{}
	look  struct{}
	both  struct{}
)

func (opened) isEvent()   {}
func (put) isEvent()      {}
func (closed) isEvent()   {}
func (written) isEvent()  {}
func (appended) isEvent() {}
func (sorted) isEvent()   {}
func (guessed) isEvent()  {}
func (hidden) isEvent()   {}

var (
	errClosed = errors.New("the box is closed")
	errEmpty  = errors.New("nothing to put")
)

func (b box) Evolve(e event) box {
	switch e := e.(type) {
	case opened:
		b.owner, b.stock, b.log = e.Owner, map[string]int{}, make([]string, 0, 4)
	case put:
		stock := map[string]int{e.SKU: e.N}
		for sku, n := range b.stock {
			stock[sku] += n
		}
		b.stock = stock
	case written:
		b.stock[e.SKU]++
	case appended:
		b.log = append(b.log, e.SKU)
	case sorted:
		slices.Sort(e.SKUs)
	case guessed:
		b.last = rand.Float64()
	case closed:
		b.owner = ""
	}
	return b
}

func (b box) Open(c open) ([]event, error) { return []event{opened{c.Owner}}, nil }

func (b box) Fill(c fill) ([]event, error) {
	if b.owner == "" {
		return nil, errClosed
	}
	if len(c.SKUs) == 0 {
		return nil, fmt.Errorf("box of %s: %w", b.owner, errEmpty)
	}
	slices.Sort(c.SKUs) // a mistake, unless they are sorted
	var events []event
	for _, sku := range c.SKUs {
		events = append(events, put{sku, 1})
	}
	return events, nil
}

func (b box) Shut(c shut) ([]event, error) { return []event{closed(c)}, nil }
func (b box) Do(c do) ([]event, error)     { return []event{c.Event}, nil }

func (b box) Scrub(scrub) ([]event, error) {
	clear(b.stock)
	_ = append(b.log, "scrubbed")
	return nil, nil
}

func (b box) Look(look) ([]event, error) {
	for sku, n := range b.stock {
		return []event{put{sku, n}}, nil
	}
	return nil, nil
}

func (b box) Both(both) ([]event, error) { return []event{closed{}}, errClosed }

var boxes = aggregatetest.For(
	aggregatetest.On(box.Open), aggregatetest.On(box.Fill), aggregatetest.On(box.Shut), aggregatetest.On(box.Do),
	aggregatetest.On(box.Scrub), aggregatetest.On(box.Look), aggregatetest.On(box.Both))

func failure(t *testing.T, test func(testing.TB)) string {
	t.Helper()
	return tbtest.Failure(t, test)
}

func TestWhatIsAsExpectedPasses(t *testing.T) {
	t.Parallel()
	at := time.Now()
	assert.Empty(t, failure(t, func(t testing.TB) {
		state := boxes.Given(opened{"ada"}).When(t, fill{[]string{"cup", "tea"}}).Then(put{"cup", 1}, put{"tea", 1}).State()
		assert.Equal(t, map[string]int{"cup": 1, "tea": 1}, state.stock)
		boxes.Given().When(t, fill{}).Refused(errClosed)
		boxes.Given(opened{"ada"}).When(t, fill{}).Refused(errEmpty)
		boxes.Given(opened{"ada"}, closed{}).When(t, look{}).Nothing()
		boxes.Given().When(t, shut{at}).Then(closed{at.UTC().Round(0)})
		assert.Equal(t, "ada", boxes.Given(opened{"ada"}).State(t).owner)
		events, err := boxes.Given().When(t, func(b box) ([]event, error) { return b.Open(open{Owner: "bob"}) }).Answer()
		assert.NoError(t, err)
		assert.Len(t, events, 1)
	}))
}

func TestAFailureTellsTheStory(t *testing.T) {
	t.Parallel()
	assert.Equal(t, `aggregatetest_test.box decides otherwise
  given
    aggregatetest_test.opened{Owner: "ada"}
    aggregatetest_test.put{SKU: "pot", N: 2}
  in the state
    aggregatetest_test.box{owner: "ada", stock: {"pot": 2}, log: []}
  when
    aggregatetest_test.fill{SKUs: ["cup", "tea"]}
  expected
    aggregatetest_test.put{SKU: "cup", N: 2}
    aggregatetest_test.closed{}
    aggregatetest_test.closed{}
  got
    aggregatetest_test.put{SKU: "cup", N: 1}
    aggregatetest_test.put{SKU: "tea", N: 1}
  because
    event 1, N is 1 instead of 2
    event 2 is of type aggregatetest_test.put instead of aggregatetest_test.closed
    event 3 is missing: aggregatetest_test.closed{}
`, failure(t, func(t testing.TB) {
		boxes.Given(opened{"ada"}, put{"pot", 2}).When(t, fill{[]string{"cup", "tea"}}).Then(put{"cup", 2}, closed{}, closed{})
	}))
	assert.Equal(t, `aggregatetest_test.box decides otherwise
  given
    nothing
  in the state
    aggregatetest_test.box{}
  when
    aggregatetest_test.fill{}
  expected
    nothing
  got
    a refusal: the box is closed
  because
    it was refused
`, failure(t, func(t testing.TB) { boxes.Given().When(t, fill{}).Nothing() }))
}

func TestFailures(t *testing.T) {
	t.Parallel()
	full := []event{opened{"ada"}, put{"cup", 1}, put{"tea", 1}, put{"pot", 1}}
	for name, c := range map[string]struct {
		test func(t testing.TB)
		want string
	}{
		"accepted instead of refused": {
			func(t testing.TB) { boxes.Given().When(t, open{"1", "ada"}).Refused(errClosed) },
			"  expected\n    a refusal: the box is closed\n  got\n    aggregatetest_test.opened{Owner: \"ada\"}\n  because\n    it was not refused\n",
		},
		"refused for another reason": {
			func(t testing.TB) { boxes.Given().When(t, fill{}).Refused(errEmpty) },
			"    a refusal: the box is closed\n  because\n    it was refused with another error\n",
		},
		"refused with events": {
			func(t testing.TB) { boxes.Given().When(t, both{}).Refused(errClosed) },
			"  because\n    it was refused, and led to events, which would be lost\n",
		},
		"refused without an error": {
			func(t testing.TB) { boxes.Given().When(t, fill{}).Refused(nil) },
			"Refused needs the error that is expected",
		},
		"one too many": {
			func(t testing.TB) { boxes.Given().When(t, open{"1", "ada"}).Nothing() },
			"event 1 is one too many: aggregatetest_test.opened{Owner: \"ada\"}",
		},
		"unknown command": {
			func(t testing.TB) { aggregatetest.For(aggregatetest.On(box.Open)).Given().When(t, fill{}) },
			"aggregatetest: no decision is about aggregatetest_test.fill: give On(aggregatetest_test.box.…) to For, which has aggregatetest_test.open",
		},
		"nobody looks": {
			func(t testing.TB) { boxes.Given().When(t, open{}) },
			"aggregatetest_test.go:",
		},
		"a map is written": {
			func(t testing.TB) { boxes.Given(opened{"ada"}, written{"x"}).When(t, open{}).Then(opened{}) },
			"event 2, aggregatetest_test.written{SKU: \"x\"}: Evolve changed the state that it was given, which others may have, from\n" +
				"      aggregatetest_test.box{owner: \"ada\", stock: {}, log: []}\n      to\n      aggregatetest_test.box{owner: \"ada\", stock: {\"x\": 1}, log: []}\n      clone maps",
		},
		"of a decided event": {
			func(t testing.TB) { boxes.Given(opened{"ada"}).When(t, do{written{"x"}}).Then(written{"x"}) },
			"event 2, aggregatetest_test.written{SKU: \"x\"}: Evolve changed",
		},
		"a slice is appended to": {
			func(t testing.TB) { boxes.Given(opened{"ada"}, appended{"x"}).State(t) },
			"event 2, aggregatetest_test.appended{SKU: \"x\"}: Evolve appended to a slice",
		},
		"an event is changed": {
			func(t testing.TB) { boxes.Given(sorted{[]string{"b", "a"}}).State(t) },
			"Evolve changed what the event refers to",
		},
		"Evolve is not a function": {
			func(t testing.TB) { boxes.Given(guessed{}).State(t) },
			"event 1, aggregatetest_test.guessed{}: Evolve gives another state the second time",
		},
		"the command is changed": {
			func(t testing.TB) {
				boxes.Given(opened{"ada"}).When(t, fill{[]string{"b", "a"}}).Then(put{"a", 1}, put{"b", 1})
			},
			"the decision changed what the command refers to",
		},
		"the state is changed": {
			func(t testing.TB) { boxes.Given(opened{"ada"}, put{"a", 1}).When(t, scrub{}).Nothing() },
			"the decision changed the state",
		},
		"the decision appends": {
			func(t testing.TB) { boxes.Given(opened{"ada"}).When(t, scrub{}).Nothing() },
			"the decision appended to a slice of the state",
		},
		"the order of a map": {
			func(t testing.TB) { _, _ = boxes.Given(full...).When(t, look{}).Answer() },
			"asked again it decides otherwise: [aggregatetest_test.put{SKU: ",
		},
		"the clock": {
			func(t testing.TB) {
				now := func(box) ([]event, error) { return []event{closed{time.Now()}}, nil }
				_, _ = boxes.Given().When(t, now).Answer()
			},
			"  when\n    a func(aggregatetest_test.box) ([]aggregatetest_test.event, error)\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := failure(t, c.test)
			assert.Contains(t, got, c.want)
		})
	}
}

func TestAFaultIsToldOnce(t *testing.T) {
	t.Parallel()
	got := failure(t, func(t testing.TB) {
		boxes.Given(opened{"ada"}, written{"x"}).When(t, open{}).Then(opened{}).Then(opened{})
	})
	assert.Equal(t, 1, strings.Count(got, "Evolve changed"), got)
}

func TestCodec(t *testing.T) {
	t.Parallel()
	stored := boxes.Codec(codec.New(
		codec.Type[opened]("box.opened"), codec.Type[put]("box.put"), codec.Type[closed]("box.closed"),
		codec.Type[sorted]("box.sorted"), codec.Type[hidden]("box.hidden", codec.As(codec.JSON))))
	assert.Empty(t, failure(t, func(t testing.TB) {
		at := time.Now()
		stored.Given(opened{"ada"}, put{"cup", 1}, sorted{}, sorted{[]string{}}).When(t, shut{at}).Then(closed{at})
	}), "times and empty lists may come back in another form")
	assert.Contains(t, failure(t, func(t testing.TB) { stored.Given(appended{}).State(t) }),
		`event 1, aggregatetest_test.appended{}: it cannot be stored: `)
	assert.Contains(t, failure(t, func(t testing.TB) { stored.Given().When(t, do{hidden{"tea", "x"}}).Then(hidden{"tea", "x"}) }),
		`event 1, aggregatetest_test.hidden{SKU: "tea", secret: "x"}: what comes back from the store, secret is "" instead of "x"`)
}

func TestADecider(t *testing.T) {
	t.Parallel()
	lamp := aggregatetest.ForDecider(aggregate.Decider[bool, string, int]{
		Decide: func(c string, on bool) ([]int, error) {
			if on {
				return nil, errClosed
			}
			return []int{len(c)}, nil
		},
		Evolve:  func(_ bool, n int) bool { return n > 2 },
		Initial: true,
	})
	assert.Empty(t, failure(t, func(t testing.TB) {
		lamp.Given().When(t, "x").Refused(errClosed)
		assert.True(t, lamp.Given(1).When(t, "long").Then(4).State())
	}))
	assert.Equal(t, "aggregatetest: int is no command of the decider, which takes string", failure(t, func(t testing.TB) { lamp.Given().When(t, 1) }))
}

func TestTwoDecisionsAboutOneCommand(t *testing.T) {
	t.Parallel()
	assert.PanicsWithValue(t, "aggregatetest: two decisions are about aggregatetest_test.open", func() {
		aggregatetest.For(aggregatetest.On(box.Open), aggregatetest.On(box.Open))
	})
}
