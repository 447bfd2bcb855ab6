package terms_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/examples/shop/terms"
)

func TestCheckID(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"a", "Größe 7", "85123A", "a/b?c#d", strings.Repeat("x", terms.MaxID)} {
		require.NoError(t, terms.CheckID("cart", id), id)
	}
	for _, id := range []string{"", " ", " a", "a ", "a\nb", "a\x00", "a\u200bb", "\xff", strings.Repeat("x", terms.MaxID+1)} {
		err := terms.CheckID("cart", id)
		require.ErrorIs(t, err, terms.ErrID, "%q", id)
		require.Contains(t, err.Error(), "cart", "the text names the field")
	}
}

func TestCheckText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", " a ", "WHITE HANGING HEART T-LIGHT HOLDER", strings.Repeat("x", terms.MaxName)} {
		require.NoError(t, terms.CheckText("name", text), text)
	}
	for _, text := range []string{"a\tb", "a\x1b[31m", "\xff", strings.Repeat("x", terms.MaxName+1)} {
		require.ErrorIs(t, terms.CheckText("name", text), terms.ErrText, "%q", text)
	}
}

func TestSumsStayInRange(t *testing.T) {
	t.Parallel()
	lines := make([]terms.Line, terms.MaxLines)
	for i := range lines {
		lines[i] = terms.Line{SKU: "s", Quantity: terms.MaxQuantity, UnitPriceCents: terms.MaxUnitCents}
		require.NoError(t, lines[i].Check())
	}
	require.Equal(t, int64(terms.MaxLines*terms.MaxQuantity*terms.MaxUnitCents), terms.Goods(lines))
}

func TestRefusalsMatchByRule(t *testing.T) {
	t.Parallel()
	err := terms.ErrQuantity.With("quantity %d", 0)
	require.ErrorIs(t, err, terms.ErrQuantity)
	require.NotErrorIs(t, err, terms.ErrPrice)
	require.EqualError(t, err, "quantity 0")
}

func TestEuros(t *testing.T) {
	t.Parallel()
	require.Equal(t, "12.34", terms.Euros(1234))
	require.Equal(t, "0.05", terms.Euros(5))
	require.Equal(t, "-3.00", terms.Euros(-300))
}
