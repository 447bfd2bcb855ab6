package eventstore

import (
	"context"
	"sync"
)

type (
	afterKey   struct{}
	changesKey struct{}
)

// ContextAfter returns a context in which views answer only once they have
// reached position p, see package query. Of several the highest counts.
func ContextAfter(ctx context.Context, p Position) context.Context {
	return ContextAfterReceipt(ctx, Receipt{Position: p})
}

// ContextAfterReceipt is [ContextAfter] for the position of a receipt. A view
// that can tell the version of the receipt's stream that a document was made
// of may answer with such a document before it has reached the position.
func ContextAfterReceipt(ctx context.Context, r Receipt) context.Context {
	if r.Position <= AfterFromContext(ctx) {
		return ctx
	}
	return context.WithValue(ctx, afterKey{}, r)
}

// AfterFromContext returns the position that views read in ctx must have
// reached, or 0.
func AfterFromContext(ctx context.Context) Position { return AfterReceiptFromContext(ctx).Position }

// AfterReceiptFromContext returns the receipt whose position views read in ctx
// must have reached. Its Stream is empty if only the position is known.
func AfterReceiptFromContext(ctx context.Context) Receipt {
	r, _ := ctx.Value(afterKey{}).(Receipt)
	return r
}

// Changes collects what a query depends on, so that it can be asked again when
// its answer may have changed. Views that are read in a context that carries
// one add themselves. It is safe for concurrent use.
type Changes struct {
	mu    sync.Mutex
	waits []func(context.Context)
}

// Add says that the answer depends on something whose next change wait
// returns on. wait also returns when its context is done.
func (c *Changes) Add(wait func(context.Context)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits = append(c.waits, wait)
}

// Wait returns after the next change of anything that was added, or when ctx
// is done. It reports whether there was anything to wait for.
func (c *Changes) Wait(ctx context.Context) bool {
	c.mu.Lock()
	waits := c.waits
	c.waits = nil
	c.mu.Unlock()
	if len(waits) == 0 {
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for _, wait := range waits {
		wg.Go(func() {
			defer cancel() // the first change ends the other waits
			wait(ctx)
		})
	}
	wg.Wait()
	return true
}

// ContextWithChanges returns a context in which views add themselves to c.
func ContextWithChanges(ctx context.Context, c *Changes) context.Context {
	return context.WithValue(ctx, changesKey{}, c)
}

// ChangesFromContext returns the collector that ctx carries, or nil.
func ChangesFromContext(ctx context.Context) *Changes {
	c, _ := ctx.Value(changesKey{}).(*Changes)
	return c
}
