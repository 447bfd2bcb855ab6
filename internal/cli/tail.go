package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/foldstream/foldstream/eventstore"
)

type tailCommand struct {
	Stream string    `arg:"" optional:"" default:"$$all" help:"Name of the stream, or $$all (${default})."`
	From   tailStart `placeholder:"start|end|N" default:"end" help:"start, end, or after this version, of $$all after this position (${default})."`
	selection
}

// Help implements kong.HelpProvider.
func (*tailCommand) Help() string {
	return `Prints events as they come, until it is interrupted. After an outage it goes on
after the last event, without gap or double. A stream need not exist yet.

Examples:

  foldstream streams tail
  foldstream streams tail order-42 --from start
  foldstream streams tail '$all' --category order --from 1234 -o json`
}

// A tailStart is where tail begins.
type tailStart struct {
	end   bool
	after uint64
}

// UnmarshalText reads start, end or a number.
func (t *tailStart) UnmarshalText(text []byte) error {
	switch string(text) {
	case "start":
		*t = tailStart{}
		return nil
	case "end":
		*t = tailStart{end: true}
		return nil
	}
	n, err := parseNumber(string(text))
	if err != nil {
		return errors.New("want start, end, or the version or position after which to begin")
	}
	*t = tailStart{after: n}
	return nil
}

// Run prints events until ctx is done, which is its normal end.
func (c *tailCommand) Run(ctx context.Context, s *streamsCommand, w *world) error {
	filter, err := c.of(c.Stream)
	if err != nil {
		return err
	}
	err = s.with(ctx, w, func(store eventstore.Store) error {
		messages, err := c.messages(ctx, store, filter)
		if err != nil {
			return err
		}
		return c.follow(messages, filter.Matcher(), s.printer(w, c.Stream))
	})
	if errors.Is(err, errInterrupted) {
		return nil
	}
	return err
}

// follow prints what is there in large writes, and then each event at once.
func (c *tailCommand) follow(messages iter.Seq2[eventstore.Message, error], matches func(stream, eventType string) bool, out printer) error {
	live := false
	for m, err := range messages {
		if err != nil {
			_ = out.flush() // what came before the error
			return err
		}
		live = live || m.Kind == eventstore.MessageCaughtUp
		if m.Kind == eventstore.MessageEvent && (matches == nil || matches(m.Event.Stream, m.Event.Type)) {
			if err := out.event(&m.Event); err != nil {
				return err
			}
		}
		if live || m.Kind != eventstore.MessageEvent {
			if err := out.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// messages looks for the end first, also when it begins elsewhere: a server
// that is not there at all is an error, one that goes away later is not.
func (c *tailCommand) messages(ctx context.Context, store eventstore.Store, filter eventstore.Filter) (iter.Seq2[eventstore.Message, error], error) {
	if c.Stream == allStreams {
		after, err := store.Head(ctx)
		if err != nil {
			return nil, err
		}
		if !c.From.end {
			after = eventstore.Position(c.From.after)
		}
		return store.SubscribeAll(ctx, eventstore.SubscribeAllOptions{After: after, Filter: filter}), nil
	}
	after, err := lastVersion(ctx, store, c.Stream)
	if err != nil {
		return nil, err
	}
	if !c.From.end {
		after = eventstore.Version(c.From.after)
	}
	return store.Subscribe(ctx, c.Stream, eventstore.SubscribeOptions{After: after}), nil
}

// lastVersion returns 0 for a stream that is not there yet.
func lastVersion(ctx context.Context, store eventstore.Store, stream string) (eventstore.Version, error) {
	for r, err := range store.Read(ctx, stream, eventstore.ReadOptions{Backwards: true, Limit: 1}) {
		if errors.Is(err, eventstore.ErrStreamNotFound) {
			return 0, nil
		}
		if err != nil {
			return 0, fmt.Errorf("find the end of %s: %w", stream, err)
		}
		return r.Version, nil
	}
	return 0, nil
}
