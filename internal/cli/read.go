package cli

import (
	"context"
	"iter"

	"github.com/foldstream/foldstream/eventstore"
)

type readCommand struct {
	Stream    string `arg:"" help:"Name of the stream, or $$all."`
	From      uint64 `placeholder:"N" help:"First version to read, or of $$all the first position; by default the beginning, with --backwards the end."`
	Backwards bool   `short:"b" help:"Newest first."`
	Limit     int    `short:"n" placeholder:"N" help:"At most so many events; 0 means all."`
	selection
}

// Help implements kong.HelpProvider.
func (*readCommand) Help() string {
	return `Examples:

  foldstream streams read order-42
  foldstream streams read order-42 --backwards --limit 1
  foldstream streams read '$all' --category order --type order.placed -o json | jq .data

JSON lines have the fields stream, version, position, type, id, created,
contentType, data and metadata. Data that is not JSON is in base64, which
encoding says; fields without a value are left out. A table shows the beginning
of long data, and no metadata.`
}

// Validate implements kong's interface for that.
func (c *readCommand) Validate() error { return checkLimit(c.Limit) }

func checkLimit(n int) error {
	if n < 0 {
		return wrongUsage("--limit %d is negative; 0 means no limit", n)
	}
	return nil
}

// Run prints the events.
func (c *readCommand) Run(ctx context.Context, s *streamsCommand, w *world) error {
	filter, err := c.of(c.Stream)
	if err != nil {
		return err
	}
	return s.with(ctx, w, func(store eventstore.Store) error {
		out := s.printer(w, c.Stream)
		for r, err := range c.events(ctx, store, filter) {
			if err == nil {
				err = out.event(&r)
			}
			if err != nil {
				_ = out.flush() // what came before the error
				return err
			}
		}
		return out.flush()
	})
}

// events returns what is asked for. Within a stream types are chosen here.
func (c *readCommand) events(ctx context.Context, store eventstore.Store, filter eventstore.Filter) iter.Seq2[eventstore.Recorded, error] {
	if c.Stream == allStreams {
		return store.ReadAll(ctx, eventstore.ReadAllOptions{
			From: eventstore.Position(c.From), Backwards: c.Backwards, Limit: c.Limit, Filter: filter,
		})
	}
	opts := eventstore.ReadOptions{From: eventstore.Version(c.From), Backwards: c.Backwards, Limit: c.Limit}
	matches := filter.Matcher()
	if matches == nil {
		return store.Read(ctx, c.Stream, opts)
	}
	opts.Limit = 0
	return func(yield func(eventstore.Recorded, error) bool) {
		n := 0
		for r, err := range store.Read(ctx, c.Stream, opts) {
			if err == nil && !matches(r.Stream, r.Type) {
				continue
			}
			if n++; !yield(r, err) || n == c.Limit {
				return
			}
		}
	}
}
