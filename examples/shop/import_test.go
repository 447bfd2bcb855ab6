package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/examples/shop/order"
)

// importInto imports src and returns what was reported.
func importInto(t *testing.T, f checkoutFixture, src io.Reader) (importSummary, string, error) {
	t.Helper()
	var report bytes.Buffer
	im := &importer{bus: f.bus, ledger: ledger{f.store, newEvents()}, meter: newMeter(&report, "import", -1)}
	s, err := im.run(t.Context(), src)
	require.Positive(t, s.Seconds)
	s.Seconds = 0
	return s, report.String(), err
}

const goldenFile = "\xef\xbb\xbf" + `{"type":"AddItem","cart":"c1","sku":"tea","name":"Tea","quantity":2,"unit_price_cents":450}` + "\r\n" + `
{"type":"AddItem","cart":"c1","sku":"cup","name":"Cup","quantity":1,"unit_price_cents":999,"id":"i1"}
{"type":"AddItem","cart":"c1","sku":"cup","name":"Cup","quantity":1,"unit_price_cents":999,"id":"i1"}
{"type":"AddItem","cart":"c1","sku":"pot","name":"Pot","quantity":1,"unit_price_cents":5}
{"type":"RemoveItem","cart":"c1","sku":"pot"}
   
{"type":"RemoveItem","cart":"c1","sku":"pot"}
{"type":"AddItem","cart":"c1","sku":"cup","name":"Cup","quantity":-1,"unit_price_cents":999}
{"type":"ApplyCoupon","cart":"c1","code":"TENOFF"}
{"type":"ApplyCoupon","cart":"c1","code":"FREE"}
{"type":"ChooseShipper","cart":"c1","shipper":"express"}
{"type":"Checkout","cart":"c1","order":"o1","customer":"ada"}
{"type":"PayOrder","order":"o1","amount_cents":1}
{"type":"PayOrder","order":"o1","amount_cents":2410}
{"type":"ShipOrder","order":"o1","tracking":"T1"}
{"type":"CancelOrder","order":"o1","reason":"late"}
{"type":"CancelOrder","order":"o9","reason":""}
{"type":"Refund","order":"o1"}
not json`

func TestImport(t *testing.T) {
	t.Parallel()
	f := newCheckoutFixture(t)
	s, report, err := importInto(t, f, strings.NewReader(goldenFile))
	require.NoError(t, err)
	require.Equal(t, importSummary{Lines: 18, Accepted: 10, Refused: 6, Malformed: 2}, s)
	require.Equal(t, strings.Join([]string{
		`line 8: refused: item "pot" is not in the cart`,
		`line 9: refused: quantity -1: must be from 1 to 1000000`,
		`line 11: refused: coupon "FREE" is not known; the shop takes FIVER, TENOFF`,
		`line 14: refused: order "o1" costs 2410 cents, not 1; pay exactly the total`,
		`line 17: refused: order "o1" was shipped already and cannot be cancelled`,
		`line 18: refused: there is no order "o9"`,
		`line 19: malformed: type "Refund" is not known; the types are AddItem, ApplyCoupon, CancelOrder, Checkout, ChooseShipper, PayOrder, RemoveItem, ShipOrder`,
		`line 20: malformed: not valid JSON at byte 2: invalid character 'o' in literal null (expecting 'u')`,
	}, "\n")+"\n", report)
	require.Equal(t, order.StatusShipped, f.order(t, "o1").Status())
	require.Equal(t, int64(2410), f.order(t, "o1").Placed().TotalCents)
}

func TestImportReportsWhatIsMalformed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, line, err string }{
		{"NoObject", `[]`, "not a JSON object"},
		{"NoType", `{"cart":"c"}`, `field "type" is missing`},
		{"TypeIsNumber", `{"type":1}`, `field "type" must be text`},
		{"TypeOfOtherCase", `{"type":"addItem"}`, `type "addItem" is not known`},
		{"IDIsNumber", `{"type":"RemoveItem","cart":"c","sku":"s","id":1}`, `field "id" must be text`},
		{"Missing", `{"type":"RemoveItem","cart":"c"}`, `field "sku" is missing`},
		{"Unknown", `{"type":"RemoveItem","cart":"c","sku":"s","x":1}`, `field "x" is not known; the fields are cart, sku`},
		{"Trailing", `{"type":"RemoveItem","cart":"c","sku":"s"} x`, "not valid JSON"},
		{"TwoInALine", `{"type":"RemoveItem","cart":"c","sku":"s"}{}`, "not valid JSON"},
		{"Cut", `{"type":"RemoveItem","ca`, "not valid JSON"},
		{"Float", `{"type":"PayOrder","order":"o","amount_cents":1.5}`, "not a whole number"},
		{"BadUTF8", "{\"type\":\"RemoveItem\",\"cart\":\"\xff\",\"sku\":\"s\"}", "not valid UTF-8"},
		{"TooLong", `{"type":"` + strings.Repeat("x", maxLine) + `"}`, "longer than 1 MiB"},
		{"NULs", "\x00\x00", "not valid JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newCheckoutFixture(t)
			good := `{"type":"ApplyCoupon","cart":"c","code":"FIVER"}`
			s, report, err := importInto(t, f, strings.NewReader("\n"+tt.line+"\n"+good))
			require.NoError(t, err)
			require.Equal(t, importSummary{Lines: 2, Accepted: 1, Malformed: 1}, s)
			require.Regexp(t, "^line 2: malformed: ", report)
			require.Contains(t, report, tt.err)
			require.Equal(t, eventstore.Position(1), f.head(t))
		})
	}
}

func TestLinesOfAnyLength(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("a", maxLine)
	r := newLineReader(strings.NewReader(longest + "\r\n" + longest + "b\n" + strings.Repeat("c", 5*maxLine) + "\nd"))
	line, err := r.next()
	require.NoError(t, err)
	require.Len(t, line, maxLine)
	for range 2 {
		_, err = r.next()
		require.ErrorIs(t, err, errLongLine)
	}
	line, err = r.next()
	require.NoError(t, err)
	require.Equal(t, "d", string(line))
	require.Equal(t, 4, r.line)
	_, err = r.next()
	require.ErrorIs(t, err, io.EOF)
}

func TestEmptyImport(t *testing.T) {
	t.Parallel()
	s, report, err := importInto(t, newCheckoutFixture(t), strings.NewReader("\n\n"))
	require.NoError(t, err)
	require.Zero(t, s)
	require.Empty(t, report)
}

// facts counts the events of carts and orders.
func facts(t *testing.T, store eventstore.Store) int {
	t.Helper()
	n := 0
	for _, err := range store.ReadAll(t.Context(), eventstore.ReadAllOptions{Filter: eventstore.Filter{Categories: []string{"cart", "order"}}}) {
		require.NoError(t, err)
		n++
	}
	return n
}

// busyFile has the life of many orders; every line but the first of a cart
// depends on the one before it.
func busyFile(carts int) string {
	var b strings.Builder
	for i := range carts {
		for range 5 {
			_, _ = fmt.Fprintf(&b, `{"type":"AddItem","cart":"c%d","sku":"tea","name":"Tea","quantity":1,"unit_price_cents":100,"id":"a%d"}`+"\n", i, b.Len())
		}
		_, _ = fmt.Fprintf(&b, `{"type":"Checkout","cart":"c%d","order":"o%d","customer":"u%d","id":"b%d"}`+"\n", i, i, i%10, i)
		_, _ = fmt.Fprintf(&b, `{"type":"PayOrder","order":"o%d","amount_cents":500,"id":"c%d"}`+"\n", i, i)
		_, _ = fmt.Fprintf(&b, `{"type":"ShipOrder","order":"o%d","tracking":"T","id":"d%d"}`+"\n", i, i)
	}
	return b.String()
}

func TestImportKeepsTheOrderOfEachCartAndOrder(t *testing.T) {
	t.Parallel()
	f := newCheckoutFixture(t)
	const carts = 300
	s, report, err := importInto(t, f, strings.NewReader(busyFile(carts)))
	require.NoError(t, err)
	require.Equal(t, importSummary{Lines: carts * 8, Accepted: carts * 8}, s, report)
	head := f.head(t)
	require.Equal(t, carts*9, facts(t, f.store))

	s, _, err = importInto(t, f, strings.NewReader(busyFile(carts)))
	require.NoError(t, err)
	require.Equal(t, carts*8, s.Accepted, "the same file again is all repeats")
	require.Equal(t, head, f.head(t))
}

func TestImportStopsWhenTheStoreFails(t *testing.T) {
	t.Parallel()
	f := newCheckoutFixture(t)
	f.store.setCut("order")
	s, _, err := importInto(t, f, strings.NewReader(busyFile(800)))
	require.ErrorIs(t, err, errCut)
	require.Less(t, s.Lines, 800*8)

	f.store.setCut("")
	s, report, err := importInto(t, f, strings.NewReader(busyFile(800)))
	require.NoError(t, err)
	require.Equal(t, importSummary{Lines: 800 * 8, Accepted: 800 * 8}, s, report)
	require.Equal(t, 800*9, facts(t, f.store), "going on repeats nothing")
}

type failingReader struct {
	io.Reader
	err error
}

func (r failingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = r.err
	}
	return n, err
}

func TestImportStopsWhenTheFileFails(t *testing.T) {
	t.Parallel()
	src := failingReader{strings.NewReader("{\"type\":\"ApplyCoupon\",\"cart\":\"c\",\"code\":\"FIVER\"}\n{\"type"), io.ErrUnexpectedEOF}
	s, report, err := importInto(t, newCheckoutFixture(t), src)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.LessOrEqual(t, s.Lines, 1)
	require.Empty(t, report, "the cut line is not called malformed")
}

func TestImportIsStopped(t *testing.T) {
	t.Parallel()
	f := newCheckoutFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	t.Cleanup(func() { _ = w.Close() })
	done := make(chan error, 1)
	go func() {
		im := &importer{bus: f.bus, ledger: ledger{f.store, newEvents()}, meter: newMeter(io.Discard, "import", -1)}
		_, err := im.run(ctx, r)
		done <- err
	}()
	_, err := io.WriteString(w, `{"type":"ApplyCoupon","cart":"c","code":"FIVER"}`+"\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return f.head(t) == 1 }, 10*time.Second, time.Millisecond,
		"a line is decided although the file has not ended")
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

func BenchmarkImport(b *testing.B) {
	src := busyFile(2000)
	for b.Loop() {
		store, err := logstore.Open(b.TempDir(), nil)
		require.NoError(b, err)
		im := &importer{bus: newWriteSide(store, newEvents(), quiet).bus, ledger: ledger{store, newEvents()}, meter: newMeter(io.Discard, "import", -1)}
		s, err := im.run(b.Context(), strings.NewReader(src))
		require.NoError(b, err)
		b.ReportMetric(float64(s.Lines)/s.Seconds, "lines/s")
		require.NoError(b, store.Close())
	}
}

func TestImportAgainChangesNothing(t *testing.T) {
	t.Parallel()
	f := newCheckoutFixture(t)
	file := strings.Join([]string{
		`{"type":"AddItem","cart":"A","sku":"s","name":"n","quantity":1,"unit_price_cents":1000,"id":"a1"}`,
		`{"type":"ChooseShipper","cart":"A","shipper":"post","id":"a2"}`,
		`{"type":"ChooseShipper","cart":"A","shipper":"post","id":"a3"}`, // accepted without an event
		`{"type":"ChooseShipper","cart":"A","shipper":"express","id":"a4"}`,
		`{"type":"RemoveItem","cart":"B","sku":"s","id":"b1"}`, // refused, and not refused the second time
		`{"type":"AddItem","cart":"B","sku":"s","name":"n","quantity":1,"unit_price_cents":1000,"id":"b2"}`,
		`{"type":"AddItem","cart":"C","sku":"s","name":"n","quantity":1,"unit_price_cents":1000,"id":"b2"}`, // on another cart
	}, "\n")
	s, report, err := importInto(t, f, strings.NewReader(file))
	require.NoError(t, err)
	require.Equal(t, importSummary{Lines: 7, Accepted: 6, Refused: 1}, s)
	require.Contains(t, report, "line 5: refused")
	head := f.head(t)
	for range 2 {
		s, _, err = importInto(t, f, strings.NewReader(file))
		require.NoError(t, err)
		require.Equal(t, importSummary{Lines: 7, Accepted: 7}, s)
		require.Equal(t, head, f.head(t), "a line whose id was seen before has no effect")
	}
	for _, err := range f.store.Read(t.Context(), "cart-C", eventstore.ReadOptions{}) {
		require.ErrorIs(t, err, eventstore.ErrStreamNotFound)
	}
}

func TestImportStopsBeforeLinesThatHaveNotBegun(t *testing.T) {
	t.Parallel()
	f := newCheckoutFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	line := `{"type":"AddItem","cart":"c","sku":"s","name":"n","quantity":1,"unit_price_cents":1}` + "\n"
	done := make(chan error, 1)
	go func() {
		im := &importer{bus: f.bus, ledger: ledger{f.store, newEvents()}, meter: newMeter(io.Discard, "import", -1)}
		_, err := im.run(ctx, strings.NewReader(strings.Repeat(line, 10_000)))
		done <- err
	}()
	require.Eventually(t, func() bool { return f.head(t) >= 1 }, 10*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.Less(t, int(f.head(t)), 10_000)
}
