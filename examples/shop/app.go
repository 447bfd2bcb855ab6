package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
	"github.com/foldstream/foldstream/query"
)

// A config says where the shop keeps its things.
type config struct {
	data     string // folder of the events; empty for a temporary one
	esdbURL  string // of an EventStoreDB that holds the events instead
	redisURL string // of the views; empty for miniredis in this process
	notes    io.Writer
	log      *slog.Logger
}

// An app is the wired shop.
type app struct {
	log      *slog.Logger
	store    eventstore.Store
	commands *writeSide
	queries  *query.Bus
	views    *views
	stored   projection.ViewStore // the views once more, for comparing versions
	runner   *projection.Runner
	inMemory bool   // the views are gone when the process ends
	shared   bool   // other processes may use the store too
	owner    string // name of the worker; empty for one of its own

	closers []func() error // run backwards
}

// open wires the shop and finishes what a crash left half done. It starts no
// views, see [app.follow].
func open(ctx context.Context, c config) (_ *app, err error) {
	a := &app{log: c.log}
	defer func() {
		if err != nil {
			_ = a.close()
		}
	}()
	prefix, temporary, err := a.openStore(ctx, c)
	if err != nil {
		return nil, err
	}
	rdb, err := a.redis(ctx, c, prefix, temporary)
	if err != nil {
		return nil, err
	}
	a.wire(rdb, prefix)
	if err := errors.Join(a.commands.bus.Check(commands...), a.queries.Check(queries...)); err != nil {
		return nil, err
	}
	n, err := a.commands.checkouts.recover(ctx)
	if n > 0 {
		_, _ = fmt.Fprintf(c.notes, "finished %d checkouts that a crash had cut in two\n", n)
	}
	return a, err
}

func (a *app) wire(rdb *redis.Client, prefix string) {
	events := newEvents()
	a.commands = newWriteSide(a.store, events, a.log)
	a.stored = redisview.New(rdb, &redisview.Options{Prefix: prefix})
	a.views = newViews(a.stored, events)
	a.queries = newReadSide(a.views)
	a.runner = projection.NewRunner(a.store, &projection.Options{Logger: a.log, Owner: a.owner}, a.views.all...)
}

// follow starts the views and returns a function that stops them.
func (a *app) follow(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- a.runner.Run(ctx) }()
	return func() error {
		cancel()
		return <-ended
	}
}

// waitLevel waits until the views have what is in the store now, and shows how
// far they are.
func (a *app) waitLevel(ctx context.Context, w io.Writer) error {
	head, err := a.store.Head(ctx)
	if err != nil {
		return err
	}
	level := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { level <- a.runner.WaitLevel(ctx) }()
	var m *meter
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-level:
			if m != nil && err == nil {
				m.done(fmt.Sprintf("level at %d", head))
			}
			return err
		case <-tick.C:
			if m == nil { // short waits show nothing
				m = newMeter(w, "views", int64(head))
			}
			if low, words, err := a.lowest(ctx); err == nil {
				m.set(int64(min(low, head)), words)
			}
		}
	}
}

// lowest returns the position of the view that is behind most, and says so.
func (a *app) lowest(ctx context.Context) (eventstore.Position, string, error) {
	all, err := a.runner.Status(ctx)
	if err != nil || len(all) == 0 {
		return 0, "", err
	}
	low := all[0]
	for _, s := range all[1:] {
		if s.Position < low.Position {
			low = s
		}
	}
	words := fmt.Sprintf("%s at %d of %d, %.0f events/s", low.View, low.Position, low.Head, low.Rate)
	if low.Err != nil {
		words += fmt.Sprintf(", %s: %v", low.State, low.Err)
	}
	return low.Position, words, nil
}

func (a *app) onClose(f func() error) { a.closers = append(a.closers, f) }

// close gives back everything, the last opened first.
func (a *app) close() error {
	var errs []error
	for _, closer := range slices.Backward(a.closers) {
		errs = append(errs, closer())
	}
	a.closers = nil
	return errors.Join(errs...)
}
