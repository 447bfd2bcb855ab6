package command

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// DeduplicateOptions configure [Deduplicate]. The zero value is ready to use.
type DeduplicateOptions struct {
	Window time.Duration // for how long a receipt is remembered; default 1 minute
	Max    int           // how many receipts are remembered, the newest; default 10000
}

// Deduplicate spares the store commands that come twice to this process. A
// command that is sent again while the first is under way waits for its end and
// shares its error or receipt; one sent again after a success, within a window,
// gets the first receipt. Such receipts are marked as repeated.
//
// It knows a command by its type, its aggregate (AggregateID, if it has that
// method) and its id; commands without an id pass. Errors are not remembered,
// and when the first ended because its own sender gave up or had no more time,
// the next goes on in its place.
//
// It is an economy and not what makes repetition safe: that is the aggregate,
// which recognizes ids across processes and restarts.
func Deduplicate(opts *DeduplicateOptions) Middleware {
	d := &deduplicator{flights: make(map[sent]*flight)}
	if opts != nil {
		d.opts = *opts
	}
	if d.opts.Window <= 0 {
		d.opts.Window = time.Minute
	}
	if d.opts.Max <= 0 {
		d.opts.Max = 10_000
	}
	return func(route Route, next Handler) Handler {
		return func(ctx context.Context, cmd any) (eventstore.Receipt, error) {
			o := eventstore.OriginFromContext(ctx)
			if o == nil || o.CommandID == "" {
				return next(ctx, cmd)
			}
			return d.once(ctx, sent{route.Name, target(cmd), o.CommandID}, cmd, next)
		}
	}
}

type deduplicator struct {
	opts    DeduplicateOptions
	mu      sync.Mutex
	flights map[sent]*flight // under way or remembered
	landed  []*flight        // those remembered, oldest first
}

// sent is what a command is known by.
type sent struct{ command, target, id string }

// flight is a command that is or was carried out.
type flight struct {
	key     sent
	ended   chan struct{} // closed when the fields below are set
	receipt eventstore.Receipt
	err     error
	shared  bool // receipt and err are for others too
	at      time.Time
}

// once carries out a command, or answers with what became of the first.
func (d *deduplicator) once(ctx context.Context, key sent, cmd any, next Handler) (eventstore.Receipt, error) {
	for {
		f, first := d.enter(key)
		if first {
			defer d.land(f) // also after a panic, which is not shared
			f.receipt, f.err = next(ctx, cmd)
			o := OutcomeOf(f.err)
			f.shared = o != Late && o != Canceled
			return f.receipt, f.err
		}
		select {
		case <-f.ended:
		case <-ctx.Done():
			return eventstore.Receipt{}, fmt.Errorf("command %s: wait for the same command to end: %w", key.command, ctx.Err())
		}
		if f.shared {
			r := f.receipt
			r.Repeated = f.err == nil
			return r, f.err
		}
	}
}

// enter returns the flight of a command and whether the caller is to carry it
// out.
func (d *deduplicator) enter(key sent) (f *flight, first bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(time.Now().Add(-d.opts.Window))
	if f = d.flights[key]; f != nil {
		return f, false
	}
	f = &flight{key: key, ended: make(chan struct{})}
	d.flights[key] = f
	return f, true
}

// land lets those who wait for a flight have its end, and remembers a success.
func (d *deduplicator) land(f *flight) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.shared && f.err == nil {
		f.at = time.Now()
		d.landed = append(d.landed, f)
	} else {
		delete(d.flights, f.key)
	}
	close(f.ended)
}

// forget drops what landed before since, and what is too much.
func (d *deduplicator) forget(since time.Time) {
	n := 0
	for n < len(d.landed) && (len(d.landed)-n > d.opts.Max || d.landed[n].at.Before(since)) {
		delete(d.flights, d.landed[n].key)
		d.landed[n] = nil // for the collector
		n++
	}
	d.landed = d.landed[n:]
}
