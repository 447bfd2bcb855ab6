package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/examples/shop/cart"
	"github.com/foldstream/foldstream/examples/shop/order"
	"github.com/foldstream/foldstream/examples/shop/terms"
)

var tea = terms.Line{SKU: "tea", Name: "Tea", Quantity: 2, UnitPriceCents: 450}

// cutStore refuses appends to streams of one category while cut is set, as if
// the process ended just before them.
type cutStore struct {
	eventstore.Store
	mu  sync.Mutex
	cut string
}

var errCut = errors.New("cut")

func (s *cutStore) setCut(category string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = category
}

func (s *cutStore) Append(ctx context.Context, stream string, expected eventstore.Expected, events ...eventstore.Event) (eventstore.Receipt, error) {
	s.mu.Lock()
	cut := s.cut
	s.mu.Unlock()
	if category, _ := eventstore.SplitStream(stream); category == cut {
		return eventstore.Receipt{}, errCut
	}
	return s.Store.Append(ctx, stream, expected, events...)
}

// checkoutFixture is the write side of a shop over a store that can be cut.
type checkoutFixture struct {
	*writeSide
	store *cutStore
}

func newCheckoutFixture(t *testing.T) checkoutFixture {
	t.Helper()
	store := &cutStore{Store: memstore.New(nil)}
	t.Cleanup(func() { _ = store.Close() })
	return checkoutFixture{newWriteSide(store, newEvents(), quiet), store}
}

func (f checkoutFixture) fill(t *testing.T, id string) {
	t.Helper()
	_, err := command.Send(t.Context(), f.bus, cart.AddItem{Cart: id, Line: tea})
	require.NoError(t, err)
}

func (f checkoutFixture) checkout(ctx context.Context, cartID, orderID, commandID string) (eventstore.Receipt, error) {
	var opts []command.SendOption
	if commandID != "" {
		opts = append(opts, command.WithID(commandID))
	}
	return command.Send(ctx, f.bus, cart.Checkout{Cart: cartID, Order: orderID, Customer: "ada"}, opts...)
}

func (f checkoutFixture) order(t *testing.T, id string) order.Order {
	t.Helper()
	o, err := f.checkouts.orders.Load(t.Context(), id)
	require.NoError(t, err)
	return o.State
}

func (f checkoutFixture) head(t *testing.T) eventstore.Position {
	t.Helper()
	head, err := f.store.Head(t.Context())
	require.NoError(t, err)
	return head
}

func TestCheckoutPlacesTheOrder(t *testing.T) {
	t.Parallel()
	f := newCheckoutFixture(t)
	f.fill(t, "c1")
	r, err := f.checkout(t.Context(), "c1", "o1", "")
	require.NoError(t, err)
	require.Equal(t, eventstore.Receipt{Stream: "order-o1", Version: 1, Position: f.head(t)}, r)
	require.Equal(t, int64(900), f.order(t, "o1").Placed().TotalCents)
	_, err = f.checkout(t.Context(), "c1", "o2", "")
	require.ErrorIs(t, err, cart.ErrCheckedOut)
}

func TestRepeatedCheckoutGivesTheFirstReceipt(t *testing.T) {
	t.Parallel()
	f := newCheckoutFixture(t)
	f.fill(t, "c1")
	first, err := f.checkout(t.Context(), "c1", "o1", "x")
	require.NoError(t, err)
	_, err = command.Send(t.Context(), f.bus, order.Pay{Order: "o1", AmountCents: 900})
	require.NoError(t, err)
	head := f.head(t)
	for _, orderID := range []string{"o1", "o2"} { // the id counts, not what comes with it
		again, err := f.checkout(t.Context(), "c1", orderID, "x")
		require.NoError(t, err)
		require.True(t, again.Repeated)
		again.Repeated = false
		require.Equal(t, first, again)
	}
	require.Equal(t, head, f.head(t), "nothing is appended")
}

func TestCheckoutWithTheIDOfAnotherCommandIsARepeat(t *testing.T) {
	t.Parallel()
	f := newCheckoutFixture(t)
	first, err := command.Send(t.Context(), f.bus, cart.AddItem{Cart: "c1", Line: tea}, command.WithID("x"))
	require.NoError(t, err)
	again, err := f.checkout(t.Context(), "c1", "o1", "x")
	require.NoError(t, err)
	require.True(t, again.Repeated)
	require.Equal(t, first.Position, again.Position)
	require.Empty(t, f.order(t, "o1").Status())
}

func TestCheckoutRefusesAnOrderIDThatIsTaken(t *testing.T) {
	t.Parallel()
	f := newCheckoutFixture(t)
	f.fill(t, "c1")
	f.fill(t, "c2")
	_, err := f.checkout(t.Context(), "c1", "o1", "")
	require.NoError(t, err)
	head := f.head(t)
	_, err = f.checkout(t.Context(), "c2", "o1", "")
	require.ErrorIs(t, err, order.ErrTaken)
	require.Equal(t, head, f.head(t), "the cart was not even closed")
}

func TestCheckoutCutInTwoIsFinishedByRepeating(t *testing.T) {
	t.Parallel()
	f := newCheckoutFixture(t)
	f.fill(t, "c1")
	f.store.setCut("order")
	_, err := f.checkout(t.Context(), "c1", "o1", "x")
	require.ErrorIs(t, err, errCut)
	f.store.setCut("")
	r, err := f.checkout(t.Context(), "c1", "o1", "x")
	require.NoError(t, err)
	require.True(t, r.Repeated)
	require.Equal(t, "order-o1", r.Stream)
	require.Equal(t, order.StatusPlaced, f.order(t, "o1").Status())
}

func TestRecoveryFinishesWhatACrashCut(t *testing.T) {
	t.Parallel()
	f := newCheckoutFixture(t)
	f.fill(t, "whole")
	_, err := f.checkout(t.Context(), "whole", "o-whole", "")
	require.NoError(t, err)
	f.store.setCut("order")
	for _, id := range []string{"c1", "c2"} {
		f.fill(t, id)
		_, err := f.checkout(t.Context(), id, "o-"+id, "x")
		require.ErrorIs(t, err, errCut)
	}
	f.store.setCut("")

	n, err := f.checkouts.recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Equal(t, order.StatusPlaced, f.order(t, "o-c1").Status())
	require.Equal(t, order.StatusPlaced, f.order(t, "o-c2").Status())
	head := f.head(t)
	n, err = f.checkouts.recover(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	r, err := f.checkout(t.Context(), "c1", "o-c1", "x")
	require.NoError(t, err)
	require.True(t, r.Repeated)
	require.Equal(t, head, f.head(t))
}

// TestLostRaceForAnOrderIDReopensTheCart cuts both carts after they were
// closed for the same order, which is what a lost race looks like.
func TestLostRaceForAnOrderIDReopensTheCart(t *testing.T) {
	t.Parallel()
	f := newCheckoutFixture(t)
	f.store.setCut("order")
	for _, id := range []string{"c1", "c2"} {
		f.fill(t, id)
		_, err := f.checkout(t.Context(), id, "o1", "x-"+id)
		require.ErrorIs(t, err, errCut)
	}
	f.store.setCut("")
	_, err := f.checkout(t.Context(), "c1", "o1", "x-c1")
	require.NoError(t, err)
	for range 2 { // the same command, the same answer
		_, err = f.checkout(t.Context(), "c2", "o1", "x-c2")
		require.ErrorIs(t, err, order.ErrTaken)
	}
	require.Equal(t, "c1", f.order(t, "o1").Placed().Cart)
	r, err := f.checkout(t.Context(), "c2", "o2", "y")
	require.NoError(t, err, "the cart is open again")
	require.False(t, r.Repeated)
	_, err = f.checkout(t.Context(), "c2", "o1", "x-c2")
	require.ErrorIs(t, err, order.ErrTaken, "the lost command stays lost")
	n, err := f.checkouts.recover(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestRecoveryReopensACartThatLostItsOrderID(t *testing.T) {
	t.Parallel()
	f := newCheckoutFixture(t)
	f.store.setCut("order")
	for _, id := range []string{"c1", "c2"} {
		f.fill(t, id)
		_, err := f.checkout(t.Context(), id, "o1", "")
		require.ErrorIs(t, err, errCut)
	}
	f.store.setCut("")
	n, err := f.checkouts.recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, n)
	open := 0
	for _, id := range []string{"c1", "c2"} {
		c, err := f.checkouts.carts.Load(t.Context(), id)
		require.NoError(t, err)
		if _, closed := c.State.Order(); !closed {
			open++
		}
	}
	require.Equal(t, 1, open, "one has the order, the other is open again")
}

func TestManyCartsRaceForOneOrderID(t *testing.T) {
	t.Parallel()
	f := newCheckoutFixture(t)
	const carts = 16
	errs := make([]error, carts)
	var wg sync.WaitGroup
	for i := range carts {
		f.fill(t, fmt.Sprint("c", i))
		wg.Go(func() { _, errs[i] = f.checkout(t.Context(), fmt.Sprint("c", i), "o1", "") })
	}
	wg.Wait()
	won := 0
	for i, err := range errs {
		c, loadErr := f.checkouts.carts.Load(t.Context(), fmt.Sprint("c", i))
		require.NoError(t, loadErr)
		_, closed := c.State.Order()
		require.Equal(t, err == nil, closed, "cart %d: %v", i, err)
		if err == nil {
			won++
			continue
		}
		require.ErrorIs(t, err, order.ErrTaken)
	}
	require.Equal(t, 1, won)
}

func TestAStoreThatFailsIsNoRefusal(t *testing.T) {
	t.Parallel()
	f := newCheckoutFixture(t)
	f.fill(t, "c1")
	require.NoError(t, f.store.Close())
	_, err := f.checkout(t.Context(), "c1", "o1", "")
	require.ErrorIs(t, err, eventstore.ErrClosed)
	require.False(t, isRefusal(err))
}

func TestTheLargestOrderFitsIntoAnAppend(t *testing.T) {
	t.Parallel()
	id, name := strings.Repeat("x", terms.MaxID), strings.Repeat("x", terms.MaxName)
	lines := make([]terms.Line, terms.MaxLines)
	for i := range lines {
		lines[i] = terms.Line{SKU: id, Name: name, Quantity: terms.MaxQuantity, UnitPriceCents: terms.MaxUnitCents}
		require.NoError(t, lines[i].Check())
	}
	const metadata = 1 << 10 // more than any command leaves
	for _, event := range []any{
		cart.CheckedOut{Order: id, Customer: id, Lines: lines},
		order.Placed{Cart: id, Customer: id, Lines: lines},
		order.Cancelled{Reason: name, Lines: lines},
	} {
		e, err := newEvents().Encode(event)
		require.NoError(t, err)
		require.Less(t, e.Size()+metadata, eventstore.DefaultMaxAppendSize, "%T", event)
	}
}
