package commandtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/internal/narrate"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/query"
)

// A Check is what a step must have led to, see [Outcome.Then].
type Check struct {
	expected []string
	run      func(ctx context.Context, o *Outcome) []string
	stream   string // whose events it knows
	all      bool   // it knows all events
	view     string // in which it expects parked events
	parked   string // of this stream
}

var anything = Check{all: true, run: func(context.Context, *Outcome) []string { return nil }}

// with is an event with metadata.
type with struct {
	event    any
	metadata eventstore.Metadata
}

// With is an event that has these pairs in its metadata: in [Kit.Given] and
// [Kit.Append] it gets them, in [Events] it must have them, among others.
func With(event any, pairs ...string) any { return with{event, eventstore.NewMetadata(pairs...)} }

func eventText(e any) string {
	w, ok := e.(with)
	if !ok {
		return narrate.Text(e)
	}
	var pairs []string
	for key, value := range w.metadata.All() {
		pairs = append(pairs, key+"="+value)
	}
	return fmt.Sprintf("%s with %s", narrate.Text(w.event), strings.Join(pairs, ", "))
}

// Events says which events were appended to a stream, in this order and no
// others. Metadata counts for those [With] some.
func Events(stream string, events ...any) Check {
	c := Check{stream: stream}
	wanted := make([]any, len(events))
	for i, e := range events {
		c.expected = append(c.expected, stream+": "+eventText(e))
		if w, ok := e.(with); ok {
			e = w.event
		}
		wanted[i] = e
	}
	if len(events) == 0 {
		c.expected = []string{stream + ": nothing"}
	}
	c.run = func(_ context.Context, o *Outcome) []string {
		var got []any
		var stored []stored
		for _, e := range o.events {
			if e.Stream == stream {
				got, stored = append(got, e.value), append(stored, e)
			}
		}
		wrong := narrate.Differences(stream+": event", wanted, got)
		for i := range min(len(events), len(stored)) {
			if w, ok := events[i].(with); ok {
				wrong = append(wrong, metadata(fmt.Sprintf("%s: event %d", stream, i+1), w.metadata, stored[i].Metadata)...)
			}
		}
		return wrong
	}
	return c
}

func metadata(what string, want, got eventstore.Metadata) []string {
	var wrong []string
	for key, value := range want.All() {
		if have, ok := got.Lookup(key); !ok {
			wrong = append(wrong, fmt.Sprintf("%s has no metadata %q", what, key))
		} else if have != value {
			wrong = append(wrong, fmt.Sprintf("%s, metadata %q is %q instead of %q", what, key, have, value))
		}
	}
	return wrong
}

// AnyEvents says that anything may have been appended to a stream.
func AnyEvents(stream string) Check {
	c := anything
	c.stream, c.all, c.expected = stream, false, []string{stream + ": anything"}
	return c
}

// Sent says which further commands were carried out, in any order and no
// others: those that handlers and reactors sent, and those of queues whose time
// had come. A command that was tried several times counts once, and one that
// failed counts too.
func Sent(commands ...any) Check {
	c := Check{expected: []string{"no further command"}}
	if len(commands) > 0 {
		c.expected = nil
	}
	for _, cmd := range commands {
		c.expected = append(c.expected, "sent "+narrate.Text(cmd))
	}
	c.run = func(_ context.Context, o *Outcome) []string {
		if o.again != nil && !o.seen {
			return []string{"the kit does not hear of commands; give Env.Middleware to the bus"}
		}
		missing := slices.Clone(commands)
		var wrong []string
		for _, sent := range o.sent {
			i := slices.IndexFunc(missing, func(cmd any) bool { return len(narrate.Difference("", cmd, sent.cmd)) == 0 })
			if i < 0 {
				wrong = append(wrong, "nobody expected that it sent "+sent.String())
				continue
			}
			missing = slices.Delete(missing, i, i+1)
		}
		for _, cmd := range missing {
			wrong = append(wrong, "it did not send "+narrate.Text(cmd))
		}
		return wrong
	}
	return c
}

// Answer says what a query is answered with, once its views have all events.
func Answer[R, Q any](q Q, want R) Check {
	text := narrate.Text(q)
	return Check{
		expected: []string{text + " answered with " + narrate.Text(want)},
		run: func(ctx context.Context, o *Outcome) []string {
			if o.k.app.Queries == nil {
				return []string{"the App has no Queries that could answer " + text}
			}
			got, err := query.Ask[R](ctx, o.k.app.Queries, q, query.AfterPosition(o.k.head()))
			if err != nil {
				return []string{fmt.Sprintf("the answer to %s is the error %v", text, err)}
			}
			return narrate.Difference("the answer to "+text, want, got)
		},
	}
}

// Document says which document of a view is under a key.
func Document[T any](c *projection.Collection[T], key string, want T) Check {
	what := fmt.Sprintf("document %q of %s", key, c.Name())
	return Check{
		expected: []string{what + ": " + narrate.Text(want)},
		run: func(ctx context.Context, _ *Outcome) []string {
			got, err := c.Get(ctx, key)
			switch {
			case errors.Is(err, projection.ErrNotFound):
				return []string{what + " is missing"}
			case err != nil:
				return []string{fmt.Sprintf("%s cannot be read: %v", what, err)}
			}
			return narrate.Difference(what, want, got)
		},
	}
}

// Parked says that a view or reactor has parked events of a stream, because of
// an error that contains reason.
func Parked(view, stream, reason string) Check {
	return Check{
		view: view, parked: stream,
		expected: []string{fmt.Sprintf("view %q has parked events of stream %q because of %q", view, stream, reason)},
		run: func(ctx context.Context, o *Outcome) []string {
			streams, err := o.k.app.Runner.Parked(ctx, view)
			if err != nil {
				return []string{fmt.Sprintf("what view %q has parked cannot be looked at: %v", view, err)}
			}
			for _, ps := range streams {
				if ps.Stream == stream && strings.Contains(ps.Error, reason) {
					return nil
				}
			}
			return []string{fmt.Sprintf("view %q has parked nothing of stream %q because of %q", view, stream, reason)}
		},
	}
}

// That is a check of your own: an error ends the test.
func That(what string, check func(ctx context.Context) error) Check {
	return Check{expected: []string{what}, run: func(ctx context.Context, _ *Outcome) []string {
		if err := check(ctx); err != nil {
			return []string{fmt.Sprintf("%s: %v", what, err)}
		}
		return nil
	}}
}
