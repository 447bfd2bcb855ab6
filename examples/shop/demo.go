package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/examples/shop/terms"
	"github.com/foldstream/foldstream/query"
)

// How big the demonstration is.
const (
	demoShoppers  = 8   // at once
	demoCarts     = 480 // each with some eight commands
	demoCustomers = 40
)

// catalogue is what the shoppers buy.
var catalogue = []terms.Line{
	{SKU: "tea-assam", Name: "Assam, 250 g", UnitPriceCents: 890},
	{SKU: "tea-sencha", Name: "Sencha, 100 g", UnitPriceCents: 1250},
	{SKU: "tea-mint", Name: "Mint, 50 g", UnitPriceCents: 390},
	{SKU: "cup-blue", Name: "Cup, blue", UnitPriceCents: 1490},
	{SKU: "cup-white", Name: "Cup, white", UnitPriceCents: 1290},
	{SKU: "pot-iron", Name: "Pot, cast iron", UnitPriceCents: 6400},
	{SKU: "pot-glass", Name: "Pot, glass", UnitPriceCents: 3850},
	{SKU: "strainer", Name: "Strainer", UnitPriceCents: 275},
	{SKU: "tin-small", Name: "Tin, small", UnitPriceCents: 450},
	{SKU: "sugar", Name: "Candy sugar, 500 g", UnitPriceCents: 320},
}

// A demoReport is the account of a demonstration.
type demoReport struct {
	Commands   int64       `json:"commands"` // sent
	Rejected   int64       `json:"rejected"` // of them, by rules of the business
	Events     uint64      `json:"events"`   // in the store, those of earlier runs included
	Views      int         `json:"views"`
	Rebuild    demoRebuild `json:"rebuild"`
	Mismatches int64       `json:"mismatches"` // answers that were not what was written
}

// demoRebuild says how all views were rebuilt: from how many events.
type demoRebuild struct {
	Events  uint64  `json:"events"`
	Seconds float64 `json:"seconds"`
	Equal   bool    `json:"equal"`
}

// demo counts what a demonstration does.
type demo struct {
	*app
	run        string // makes the ids of this run its own
	commands   atomic.Int64
	rejected   atomic.Int64
	mismatches atomic.Int64
	notes      io.Writer
}

// runDemo is what shop does without a subcommand.
func runDemo(ctx context.Context, a *app, asJSON bool, out, notes io.Writer) (err error) {
	stop := a.follow(ctx)
	defer func() { err = joinStop(err, stop) }()
	if err := a.waitLevel(ctx, notes); err != nil {
		return err
	}
	say := out
	if asJSON {
		say = io.Discard
	}
	d := &demo{app: a, run: eventstore.NewID().String()[:8], notes: notes}
	report, err := d.play(ctx, say)
	if err != nil {
		return err
	}
	if asJSON {
		if err := json.NewEncoder(out).Encode(report); err != nil {
			return err
		}
	}
	if report.Mismatches > 0 || !report.Rebuild.Equal {
		return fmt.Errorf("%d answers did not match what was written, rebuilt views equal: %t", report.Mismatches, report.Rebuild.Equal)
	}
	return nil
}

func (d *demo) play(ctx context.Context, say io.Writer) (demoReport, error) {
	old, err := d.count(ctx)
	if err != nil {
		return demoReport{}, err
	}
	if old > 0 {
		_, _ = fmt.Fprintf(say, "The store has %d events of earlier runs; this one goes on from them.\n", old)
	}
	before, err := d.sales(ctx)
	if err != nil {
		return demoReport{}, err
	}
	start := time.Now()
	if err := d.shop(ctx); err != nil {
		return demoReport{}, err
	}
	took := time.Since(start)
	all, err := d.count(ctx)
	if err != nil {
		return demoReport{}, err
	}
	_, _ = fmt.Fprintf(say, "%d shoppers sent %d commands in %.2f s: %d events written, %d commands refused by a rule.\n",
		demoShoppers, d.commands.Load(), took.Seconds(), all-old, d.rejected.Load())
	if err := d.waitLevel(ctx, d.notes); err != nil {
		return demoReport{}, err
	}
	if err := d.compare(ctx, before); err != nil {
		return demoReport{}, err
	}
	_, _ = fmt.Fprintf(say, "Every answer was read through the query bus after its write, and every order compared with its events: %d mismatches.\n", d.mismatches.Load())
	rebuilt, err := d.rebuildAll(ctx, all)
	if err != nil {
		return demoReport{}, err
	}
	_, _ = fmt.Fprintf(say, "All %d views were rebuilt from %d events in %.2f s; equal to the live ones: %t.\n",
		len(d.views.all), all, rebuilt.Seconds, rebuilt.Equal)
	return demoReport{
		Commands: d.commands.Load(), Rejected: d.rejected.Load(), Events: all, Views: len(d.views.all),
		Rebuild: rebuilt, Mismatches: d.mismatches.Load(),
	}, d.best(ctx, say)
}

// best shows a view.
func (d *demo) best(ctx context.Context, say io.Writer) error {
	top, err := query.Ask[[]Sold](ctx, d.queries, TopProducts{N: 3})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprint(say, "Best sellers:")
	for _, s := range top {
		_, _ = fmt.Fprintf(say, " %s (%d)", s.SKU, s.Units)
	}
	_, _ = fmt.Fprintln(say)
	return nil
}

func (d *demo) rebuildAll(ctx context.Context, events uint64) (demoRebuild, error) {
	all := demoRebuild{Events: events, Equal: true}
	for _, view := range d.runner.Views() {
		r, err := d.rebuild(ctx, view, d.notes)
		if err != nil {
			return all, err
		}
		all.Seconds += r.Seconds
		all.Equal = all.Equal && r.Equal
	}
	return all, nil
}

// shop has all carts filled and ordered by several goroutines.
func (d *demo) shop(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	carts := make(chan int)
	errs := make([]error, demoShoppers)
	var wg sync.WaitGroup
	for i := range demoShoppers {
		wg.Go(func() {
			for n := range carts {
				if errs[i] = d.visit(ctx, n); errs[i] != nil {
					cancel()
					return
				}
			}
		})
	}
	for n := range demoCarts {
		select {
		case carts <- n:
		case <-ctx.Done():
		}
	}
	close(carts)
	wg.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return errors.Join(errs...)
}
