package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/foldstream/foldstream/projection"
)

// A parkedCommand deals with events that a view could not apply.
type parkedCommand struct {
	List  parkedListCommand  `cmd:"" help:"List the parked streams."`
	Show  parkedShowCommand  `cmd:"" help:"Show the parked events of a stream, and why."`
	Retry parkedRetryCommand `cmd:"" help:"Try the parked events of a stream again."`
	Drop  parkedDropCommand  `cmd:"" help:"Give up the first parked event of a stream, and try the ones behind it."`
}

// Help implements kong.HelpProvider.
func (*parkedCommand) Help() string {
	return `An event that a handler refuses, or that cannot be decoded, waits with the later
events of its stream, in order, while other streams go on. Mend the handler or
the data, then retry; or drop the event.`
}

// A parkedStream is one with its view.
type parkedStream struct {
	View string `json:"view"`
	projection.ParkedStream
}

type parkedListCommand struct {
	View string `arg:"" optional:"" help:"Name of the view; by default all views."`
}

// Help implements kong.HelpProvider.
func (*parkedListCommand) Help() string {
	return `A stream that concerns several partitions is there once for each.

Examples:

  foldstream projections parked list
  foldstream projections parked list order-summary --json | jq -r .stream`
}

// Run prints the parked streams.
func (c *parkedListCommand) Run(ctx context.Context, p *projectionsCommand, w *world) error {
	return p.with(ctx, w, func(admin *projection.Admin) error {
		all, err := c.find(ctx, admin)
		if err != nil {
			return err
		}
		if !p.table(w) {
			return printLines(w, all)
		}
		if len(all) == 0 {
			_, _ = fmt.Fprintln(w.err, "nothing is parked")
		}
		t := newTable(w.out, column{title: "VIEW"}, column{title: "STREAM"}, column{"PARTITION", true}, column{"EVENTS", true},
			column{"FIRST VERSION", true}, column{title: "TYPE"}, column{"TRIES", true}, column{title: "SINCE"}, column{title: "ERROR"})
		for _, ps := range all {
			version, typ := "", ""
			if len(ps.Events) > 0 {
				version, typ = strconv.FormatUint(uint64(ps.Events[0].Version), 10), ps.Events[0].Type
			}
			if err := t.add(shown(ps.View, maxName), shown(ps.Stream, maxName), strconv.Itoa(ps.Partition), strconv.Itoa(len(ps.Events)),
				version, shown(typ, maxName), strconv.Itoa(ps.Attempts), ps.Since.UTC().Format(timeFormat), shown(ps.Error, maxData)); err != nil {
				return err
			}
		}
		return t.flush()
	})
}

func (c *parkedListCommand) find(ctx context.Context, admin *projection.Admin) ([]parkedStream, error) {
	views := []string{c.View}
	if c.View == "" {
		summaries, err := admin.List(ctx)
		if err != nil {
			return nil, err
		}
		views = nil
		for _, s := range summaries {
			if s.Active > 0 {
				views = append(views, s.View)
			}
		}
	}
	var all []parkedStream
	for _, view := range views {
		parked, err := admin.Parked(ctx, view)
		if err != nil {
			return nil, err
		}
		for _, ps := range parked {
			all = append(all, parkedStream{view, ps})
		}
	}
	return all, nil
}

// printLines writes a line of JSON for each value.
func printLines[T any](w *world, values []T) error {
	buf := bufio.NewWriter(w.out)
	enc := newEncoder(buf)
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			return err
		}
	}
	return buf.Flush()
}

type parkedShowCommand struct {
	viewArg

	Stream string `arg:"" help:"Name of the stream."`
}

// Help implements kong.HelpProvider.
func (*parkedShowCommand) Help() string {
	return `Example:

  foldstream projections parked show order-summary order-42`
}

// Run prints the parked events of one stream.
func (c *parkedShowCommand) Run(ctx context.Context, p *projectionsCommand, w *world) error {
	return p.with(ctx, w, func(admin *projection.Admin) error {
		parked, err := admin.Parked(ctx, c.View)
		if err != nil {
			return err
		}
		var found []parkedStream
		for _, ps := range parked {
			if ps.Stream == c.Stream {
				found = append(found, parkedStream{c.View, ps})
			}
		}
		if len(found) == 0 {
			return fmt.Errorf("%w: stream %q in view %q", projection.ErrNotParked, c.Stream, c.View)
		}
		if !p.table(w) {
			return printLines(w, found)
		}
		for _, ps := range found {
			if err := ps.print(w); err != nil {
				return err
			}
		}
		return nil
	})
}

func (ps *parkedStream) print(w *world) error {
	_, err := fmt.Fprintf(w.out, "stream     %s\npartition  %d\nsince      %s\ntries      %d\nerror      %s\n\n",
		shown(ps.Stream, maxName), ps.Partition, ps.Since.UTC().Format(timeFormat), ps.Attempts, shown(ps.Error, 100*maxData))
	if err != nil {
		return err
	}
	t := newTable(w.out, column{"VERSION", true}, column{"POSITION", true}, column{title: "TYPE"})
	for _, e := range ps.Events {
		if err := t.add(strconv.FormatUint(uint64(e.Version), 10), strconv.FormatUint(uint64(e.Position), 10), shown(e.Type, maxName)); err != nil {
			return err
		}
	}
	return t.flush()
}

type parkedRetryCommand struct {
	viewArg

	Stream []string `arg:"" optional:"" help:"Names of streams."`
	All    bool     `help:"All parked streams of the view."`
}

// Help implements kong.HelpProvider.
func (*parkedRetryCommand) Help() string {
	return `Events are tried in order, before newer ones of their stream. The first that
still fails stays, with those behind it, and the exit code is 1.

Examples:

  foldstream projections parked retry order-summary order-42
  foldstream projections parked retry order-summary --all`
}

// Validate implements kong's interface for that.
func (c *parkedRetryCommand) Validate() error {
	if c.All == (len(c.Stream) > 0) {
		return wrongUsage("name streams of view %q, or give --all", c.View)
	}
	return nil
}

// Run has an application try again.
func (c *parkedRetryCommand) Run(ctx context.Context, p *projectionsCommand, w *world) error {
	return p.with(ctx, w, func(admin *projection.Admin) error {
		streams := c.Stream
		if c.All {
			parked, err := admin.Parked(ctx, c.View)
			if err != nil {
				return err
			}
			for _, ps := range parked {
				streams = append(streams, ps.Stream)
			}
			slices.Sort(streams)
			streams = slices.Compact(streams)
		}
		var errs []error
		for _, stream := range streams {
			if err := admin.RetryParked(ctx, c.View, stream); err != nil {
				if ctx.Err() != nil || errors.Is(err, projection.ErrNotServed) {
					return err
				}
				errs = append(errs, err)
				continue
			}
			if err := p.say(w, fmt.Sprintf("%s: stream %s is applied", c.View, stream), streamSaid{c.View, stream, "applied"}); err != nil {
				return err
			}
		}
		return errors.Join(errs...)
	})
}

type streamSaid struct {
	View   string `json:"view"`
	Stream string `json:"stream"`
	Result string `json:"result"`
}

type parkedDropCommand struct {
	viewArg

	Stream string `arg:"" help:"Name of the stream."`
	Yes    bool   `short:"y" help:"Needed, because the view will lack the event."`
}

// Help implements kong.HelpProvider.
func (*parkedDropCommand) Help() string {
	return `The event stays in the event store; this view will lack what it changes until it
is rebuilt.

Example:

  foldstream projections parked drop order-summary order-42 --yes`
}

// Validate implements kong's interface for that.
func (c *parkedDropCommand) Validate() error {
	return confirmed(c.Yes, "view %q would lack the first parked event of stream %q", c.View, c.Stream)
}

// Run gives up an event.
func (c *parkedDropCommand) Run(ctx context.Context, p *projectionsCommand, w *world) error {
	return p.with(ctx, w, func(admin *projection.Admin) error {
		err := admin.DropParked(ctx, c.View, c.Stream)
		if err != nil && strings.Contains(err.Error(), "still fails") {
			return fmt.Errorf("the first event is dropped; %w", err)
		}
		if err != nil {
			return err
		}
		return p.say(w, fmt.Sprintf("%s: the first parked event of stream %s is dropped, and what was behind it is applied", c.View, c.Stream), streamSaid{c.View, c.Stream, "dropped"})
	})
}
