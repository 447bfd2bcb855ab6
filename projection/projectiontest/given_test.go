package projectiontest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/memview"
	"github.com/foldstream/foldstream/projection/projectiontest"
)

type (
	placed struct {
		Customer string
		Tags     []string
		Cents    int64
	}
	paid      struct{ Cents int64 }
	cancelled struct{}
)

var events = codec.New(
	codec.Type[placed]("order.placed"),
	codec.Type[paid]("order.paid"),
	codec.Type[cancelled]("order.cancelled"),
)

type summary struct {
	Customer string
	Cents    int64
	Tags     map[string]int64
	Stamp    string
	Seen     time.Time
	hidden   int64
}

func placedFold(_ summary, e placed, m projection.Meta) (summary, error) {
	return summary{Customer: e.Customer, Cents: e.Cents, Seen: m.Created}, nil
}

func paidFold(s summary, e paid, _ projection.Meta) (summary, error) {
	if e.Cents < 0 {
		return s, errors.New("negative payment")
	}
	s.Cents -= e.Cents
	return s, nil
}

// views are all kinds in one view.
type views struct {
	summaries  *projection.Collection[summary]
	byTotal    *projection.Lookup[summary]
	customers  *projection.Index
	tags       *projection.Set
	sales      *projection.Counters
	extra      *projection.Collection[summary] // for more
	projection *projection.Projection
}

func newViews(store projection.ViewStore, more ...func(*views) projection.Part) *views {
	in := &projection.TargetOptions{View: "orders"}
	v := &views{
		summaries: projection.NewCollection[summary](store, "summaries", codec.Msgpack, in),
		customers: projection.NewIndex(store, "customers", in),
		tags:      projection.NewSet(store, "tags", in),
		sales:     projection.NewCounters(store, "sales", in),
		extra:     projection.NewCollection[summary](store, "extra", codec.Msgpack, in),
	}
	v.byTotal = projection.NewLookup(v.summaries, "by-total")
	parts := []projection.Part{
		projection.On(v.summaries, placedFold),
		projection.On(v.summaries, paidFold),
		projection.On(v.summaries, func(s summary, _ cancelled, _ projection.Meta) (summary, error) {
			return s, projection.ErrDeleteDocument
		}),
		projection.IndexBy(v.byTotal, func(_ string, s summary) []projection.Listing {
			return []projection.Listing{{Key: s.Customer, Score: float64(s.Cents)}}
		}),
		projection.OnIndex(v.customers, func(e placed, m projection.Meta) []projection.Entry {
			return []projection.Entry{{Key: e.Customer, Member: m.ID, Score: float64(e.Cents)}}
		}),
		projection.OnSet(v.tags, func(e placed, m projection.Meta) []projection.SetChange {
			changes := make([]projection.SetChange, len(e.Tags))
			for i, tag := range e.Tags {
				changes[i] = projection.SetChange{Key: tag, Member: m.ID}
			}
			return changes
		}),
		projection.OnCount(v.sales, func(e placed, _ projection.Meta) []projection.Delta {
			return []projection.Delta{{Key: e.Customer, By: 1}}
		}),
	}
	for _, part := range more {
		parts = append(parts, part(v))
	}
	v.projection = projection.New("orders", events, parts...)
	return v
}

func TestThenChecksAllKinds(t *testing.T) {
	t.Parallel()
	v := newViews(projectiontest.NewStore())
	tuesday := time.Date(2026, 6, 2, 12, 0, 0, 0, time.FixedZone("here", 3600))
	projectiontest.For(v.projection).
		Given("order-1", placed{"ada", []string{"tea", "new"}, 30}, paid{10}).
		Given("order-2", projectiontest.Event{Value: placed{"ada", []string{"tea"}, 10}, Created: tuesday}).
		Given("order-3", placed{"bob", nil, 5}, cancelled{}).
		Then(t,
			projectiontest.Document(v.summaries, "1", summary{Customer: "ada", Cents: 20, Seen: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}),
			projectiontest.Document(v.summaries, "2", summary{Customer: "ada", Cents: 10, Seen: tuesday}),
			projectiontest.NoDocument(v.summaries, "3", "4"),
			projectiontest.Found(v.byTotal, "ada", "2", "1"),
			projectiontest.Members(v.customers, "ada", projection.Member{Member: "2", Score: 10}, projection.Member{Member: "1", Score: 30}),
			projectiontest.MemberNames(v.customers, "bob", "3"),
			projectiontest.SetMembers(v.tags, "tea", "2", "1"),
			projectiontest.Counter(v.sales, "ada", 2),
			projectiontest.That(func(ctx context.Context) error {
				top, err := v.sales.Top(ctx, 1)
				if err == nil && (len(top) != 1 || top[0].Key != "ada") {
					err = fmt.Errorf("top %v", top)
				}
				return err
			}),
		)
	got, err := v.sales.Get(t.Context(), "bob")
	require.NoError(t, err)
	require.Equal(t, int64(1), got, "the store keeps what was built")
}

func TestThenExpectsParkedEvents(t *testing.T) {
	t.Parallel()
	v := newViews(projectiontest.NewStore())
	projectiontest.For(v.projection).
		Given("order-1", placed{"ada", []string{"tea"}, 30}, paid{-1}, paid{10}).
		Given("order-2", placed{"bob", []string{"tea"}, 30}, paid{5}).
		Given("order-3", eventstore.Event{Type: "order.paid", Data: []byte("{")}).
		Then(t,
			projectiontest.Document(v.summaries, "1", summary{Customer: "ada", Cents: 30, Seen: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}),
			projectiontest.Document(v.summaries, "2", summary{Customer: "bob", Cents: 25, Seen: time.Date(2026, 1, 1, 0, 0, 3, 0, time.UTC)}),
			projectiontest.Parked("order-1", "negative payment"),
			projectiontest.Parked("order-3", ""),
		)
}

func TestNoEventsAndManyEvents(t *testing.T) {
	t.Parallel()
	v := newViews(projectiontest.NewStore())
	projectiontest.For(v.projection).Then(t, projectiontest.NoDocument(v.summaries, "1"))
	s := projectiontest.For(v.projection)
	for i := range 500 {
		s.Given(fmt.Sprint("order-", i%100), placed{Customer: "ada", Cents: int64(i)})
	}
	s.Then(t, projectiontest.Counter(v.sales, "ada", 500))
}

// A store that is not known to stay in memory gets real time.
func TestThenOnAnotherStore(t *testing.T) {
	t.Parallel()
	opened := 0
	v := newViews(projectiontest.NewStoreOf(func() projection.ViewStore { opened++; return memview.New() }))
	projectiontest.For(v.projection).
		Given("order-1", placed{"ada", nil, 30}).
		Then(t, projectiontest.Counter(v.sales, "ada", 1))
	require.Greater(t, opened, 10)
}

// verify runs a scenario of two orders in a bubble and returns the error.
func verify(t *testing.T, more ...func(*views) projection.Part) string {
	t.Helper()
	s := projectiontest.For(newViews(projectiontest.NewStore(), more...).projection).
		Given("order-1", placed{"ada", []string{"tea", "new"}, 30}, placed{"ada", []string{"tea", "old"}, 30}, paid{10}).
		Given("order-2", placed{"bob", []string{"tea"}, 20})
	var err error
	synctest.Test(t, func(t *testing.T) { err = s.VerifyVirtual(t.Context()) })
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestImpureHandlersAreFound(t *testing.T) {
	t.Parallel()
	require.Empty(t, verify(t), "pure")
	var calls, tries int64
	on := func(fold func(summary, placed, projection.Meta) (summary, error)) func(*views) projection.Part {
		return func(v *views) projection.Part { return projection.On(v.extra, fold) }
	}
	for _, c := range []struct {
		name string
		part func(*views) projection.Part
		want []string
	}{
		{"clock", on(func(s summary, _ placed, _ projection.Meta) (summary, error) {
			s.Stamp = fmt.Sprint(time.Now().Year())
			return s, nil
		}), []string{`document "1" of extra`, "Stamp is", "instead of", "must depend on nothing but its arguments"}},
		{"random", on(func(s summary, _ placed, _ projection.Meta) (summary, error) {
			s.Cents = rand.Int64()
			return s, nil
		}), []string{`"1" of extra`, "two calls", "order.placed"}},
		{"memory", on(func(s summary, _ placed, _ projection.Meta) (summary, error) {
			calls++
			s.Cents = calls
			return s, nil
		}), []string{`"1" of extra`, "two calls", `"Cents":1,`, `"Cents":2,`}},
		{"map", on(func(s summary, e placed, _ projection.Meta) (summary, error) {
			if s.Tags == nil {
				s.Tags = map[string]int64{}
			}
			for _, tag := range e.Tags {
				s.Tags[tag] = e.Cents
			}
			return s, nil
		}), []string{`"1" of extra`, "changed the document that it was given", `{"new":30,"tea":30}`, `{"new":30,"old":30,"tea":30}`, "version 2"}},
		{"event", on(func(s summary, e placed, _ projection.Meta) (summary, error) {
			e.Tags[0] = "changed"
			return s, nil
		}), []string{"changed what the event refers to", "extra"}},
		{"not stored", on(func(s summary, _ placed, _ projection.Meta) (summary, error) {
			s.hidden++
			s.Cents = s.hidden
			return s, nil
		}), []string{`"1" of extra`, "not stored", "version 2"}},
		{"replay", on(func(s summary, _ placed, m projection.Meta) (summary, error) {
			s.Stamp = fmt.Sprint(m.Replay)
			return s, nil
		}), []string{`document "1" of extra: Stamp is "false" instead of "true"`, "followed", "is a replay"}},
		{"error at times", on(func(s summary, _ placed, m projection.Meta) (summary, error) {
			if tries++; tries%2 == 0 {
				return s, errors.New("now and then")
			}
			return s, nil
		}), []string{"now and then"}},
		{"keys", func(v *views) projection.Part {
			return projection.On(v.extra, placedFold, projection.Key(func(placed, projection.Meta) string { return fmt.Sprint(rand.Int()) }))
		}, []string{"different keys or changes", "extra"}},
		{"index", func(v *views) projection.Part {
			return projection.OnIndex(v.customers, func(e placed, _ projection.Meta) []projection.Entry {
				return []projection.Entry{{Key: "all", Member: e.Customer, Score: float64(time.Now().Unix())}}
			})
		}, []string{`member "ada" of "all" in customers`, "one with score"}},
		{"set", func(v *views) projection.Part {
			return projection.OnSet(v.tags, func(_ placed, m projection.Meta) []projection.SetChange {
				return []projection.SetChange{{Key: "replay", Member: m.ID, Remove: !m.Replay}}
			})
		}, []string{`member "1" of "replay" in tags: missing instead of one`}},
		{"counter", func(v *views) projection.Part {
			return projection.OnCount(v.sales, func(_ paid, _ projection.Meta) []projection.Delta {
				return []projection.Delta{{Key: "n", By: int64(time.Now().Year())}}
			})
		}, []string{`counter "n" of sales: 2001 instead of 2000`}},
		{"lookup", func(v *views) projection.Part {
			return both(projection.On(v.extra, placedFold), projection.IndexBy(projection.NewLookup(v.extra, "l"), func(string, summary) []projection.Listing {
				return []projection.Listing{{Key: "k", Score: rand.Float64()}}
			}))
		}, []string{"different listings", `"1" of l`}},
		{"parked at times", on(func(s summary, _ placed, m projection.Meta) (summary, error) {
			if !m.Replay {
				return s, errors.New("only while replaying")
			}
			return s, nil
		}), []string{"parked events", "only while replaying", "instead of none"}},
		{"parked", on(func(s summary, _ placed, _ projection.Meta) (summary, error) {
			panic("poison")
		}), []string{`version 1 of stream "order-1" (order.placed) is parked: panic: poison`}},
		{"never", on(func(s summary, _ placed, _ projection.Meta) (summary, error) {
			return s, projection.Transient(errors.New("network"))
		}), []string{"network"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := verify(t, c.part)
			for _, want := range c.want {
				require.Contains(t, text, want)
			}
		})
	}
}

func both(parts ...projection.Part) projection.Part {
	return func(p *projection.Projection) error {
		return errors.Join(parts[0](p), parts[1](p))
	}
}

func TestFailingChecksSayWhatIsThere(t *testing.T) {
	t.Parallel()
	v := newViews(projectiontest.NewStore())
	s := projectiontest.For(v.projection).Given("order-1", placed{"ada", []string{"tea"}, 30})
	for want, check := range map[string]projectiontest.Check{
		`document "1" of summaries: Cents is 30 instead of 7, Customer is "ada" instead of "bob"`: projectiontest.Document(v.summaries, "1", summary{Customer: "bob", Cents: 7, Seen: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}),
		`document "2" of summaries: missing instead of {"Customer":"bob"`:                         projectiontest.Document(v.summaries, "2", summary{Customer: "bob"}),
		`document "1" of summaries: {"Customer":"ada"`:                                            projectiontest.NoDocument(v.summaries, "2", "1"),
		`counter "ada" of sales: 1 instead of 3`:                                                  projectiontest.Counter(v.sales, "ada", 3),
		`key "ada" of index customers: ["1" at 30] instead of ["1" at 31]`:                        projectiontest.Members(v.customers, "ada", projection.Member{Member: "1", Score: 31}),
		`key "ada" of index customers: ["1"] instead of ["1" "2"]`:                                projectiontest.MemberNames(v.customers, "ada", "1", "2"),
		`key "ada" of lookup by-total: ["1"] instead of []`:                                       projectiontest.Found(v.byTotal, "ada"),
		`key "tea" of set tags: ["1"] instead of ["2"]`:                                           projectiontest.SetMembers(v.tags, "tea", "2"),
		`stream "order-1" is not parked because of "x": nothing of it is`:                         projectiontest.Parked("order-1", "x"),
	} {
		require.ErrorContains(t, s.Verify(t.Context(), check), want)
	}
	s.Given("order-1", paid{-1})
	require.ErrorContains(t, s.Verify(t.Context(), projectiontest.Parked("order-1", "x")), `it is because of "negative payment"`)
}

func TestWhatCannotBeGiven(t *testing.T) {
	t.Parallel()
	v := newViews(projectiontest.NewStore())
	require.ErrorContains(t, projectiontest.For(v.projection).Given("order-1", "a string").Verify(t.Context()), "string")
	require.ErrorIs(t, projectiontest.For(v.projection).Given("", placed{}).Verify(t.Context()), eventstore.ErrInvalid)
	elsewhere := newViews(memview.New())
	require.PanicsWithValue(t, `projectiontest: the targets of projection "orders" are in a *memview.Store; make them with projectiontest.NewStore()`,
		func() { projectiontest.For(elsewhere.projection) })
}
