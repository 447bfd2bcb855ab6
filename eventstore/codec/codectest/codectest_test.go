package codectest_test

import (
	"fmt"
	"go/ast"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/codec/codectest"
)

type (
	line struct {
		SKU   string
		Cents int64
	}
	placed struct {
		Customer string
		Lines    []line
		First    *line
		By       map[string]line
		At       time.Time
		Until    *time.Time
		Total    *big.Int
		Pair     [2]uint8
		Note     any
		Cache    string `json:"-" msgpack:"-"`
		Next     *placed
	}
	careless struct {
		Name  string
		note  string //nolint:unused // what gets lost
		Lines []struct {
			SKU   string
			cents int64
		}
	}
)

// report keeps what a test would fail with.
type report struct {
	testing.TB
	errors []string
}

func (r *report) Helper() {}

func (r *report) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	for _, enc := range []codec.Encoding{codec.Msgpack, codec.JSON} {
		codectest.RoundTrip(t, codec.New(codec.Default(enc), codec.Type[placed]("order.placed"), codec.Type[time.Time]("clock.set"), codec.Type[int]("n")))
	}
}

func TestFieldsThatAreLostAreNamed(t *testing.T) {
	t.Parallel()
	r := &report{TB: t}
	codectest.RoundTrip(r, codec.New(codec.Type[careless]("order.placed", codec.As(codec.JSON))))
	assert.Equal(t, []string{
		`event "order.placed": careless.note is text 2 when it is written and  when it is read`,
		`event "order.placed": careless.Lines[0].cents is 7 when it is written and 0 when it is read`,
		`event "order.placed": careless.Lines[1].cents is 10 when it is written and 0 when it is read`,
	}, r.errors)
}

// loose takes any type, as an encoding without a check does.
type loose struct{ codec.Encoding }

func (loose) ContentType() string { return "application/loose" }

func TestTypesThatAreNotRegisteredAreNamed(t *testing.T) {
	t.Parallel()
	as := codec.As(loose{codec.JSON})
	some := []codec.Registration{codec.Type[*ast.GenDecl]("gen", as), codec.Type[*ast.BadDecl]("bad", as)}
	r := &report{TB: t}
	codectest.Covers[ast.Decl](r, codec.New(some...))
	assert.Equal(t, []string{"types that are a ast.Decl and are not registered: FuncDecl; add codec.Type for each"}, r.errors)
	codectest.Covers[ast.Decl](t, codec.New(append(some, codec.Type[*ast.FuncDecl]("func", as))...))

	r = &report{TB: t}
	codectest.Covers[line](r, codec.New())
	assert.Len(t, r.errors, 1, "its package is no package that can be imported")
}
