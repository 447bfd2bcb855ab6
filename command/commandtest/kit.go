package commandtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/internal/narrate"
)

// A Kit tests an application: first [Kit.Given], then steps, each of which is
// looked at. It is used by one goroutine.
type Kit struct {
	t   testing.TB
	env Env
	app App
	ctx context.Context

	given   []string
	steps   []string
	last    *Outcome
	sent    recorder
	started bool
	wg      sync.WaitGroup
	mu      sync.Mutex
	broken  []error

	stopRunner func()
}

// Given adds events to the end of a stream before the application starts: views
// have them, new reactors do not react to them. An event is a value of a type
// that the codec knows, one [With] metadata, or an [eventstore.Event].
func (k *Kit) Given(stream string, events ...any) *Kit {
	k.t.Helper()
	if k.started {
		k.t.Fatal("commandtest: Given comes before the first step; see Kit.Append for events that come later")
	}
	k.append(stream, events)
	for _, e := range events {
		k.given = append(k.given, stream+": "+eventText(e))
	}
	return k
}

func (k *Kit) append(stream string, events []any) eventstore.Receipt {
	k.t.Helper()
	stored := make([]eventstore.Event, len(events))
	for i, e := range events {
		var err error
		if stored[i], err = k.encode(e); err != nil {
			k.t.Fatalf("commandtest: event %d for stream %q: %v", i+1, stream, err)
		}
	}
	r, err := k.env.Store.Append(k.ctx, stream, eventstore.Any, stored...)
	if err != nil {
		k.t.Fatalf("commandtest: append to stream %q: %v", stream, err)
	}
	return r
}

func (k *Kit) encode(e any) (stored eventstore.Event, err error) {
	var meta eventstore.Metadata
	if w, ok := e.(with); ok {
		e, meta = w.event, w.metadata
	}
	stored, ok := e.(eventstore.Event)
	if !ok {
		if stored, err = k.app.Codec.Encode(e); err != nil {
			return stored, err
		}
		stored.ID = eventstore.NewID()
	}
	stored.Metadata = stored.Metadata.Merge(meta)
	return stored, nil
}

// When sends a command and waits until all that it led to has come to rest. It
// has an id of its own, unless an option gives it one.
func (k *Kit) When(cmd any, opts ...command.SendOption) *Outcome {
	k.t.Helper()
	opts = append([]command.SendOption{command.WithID(fmt.Sprintf("step-%d", len(k.steps)+1))}, opts...)
	id := eventstore.OriginFromContext(command.Context(k.ctx, cmd, opts...)).CommandID
	send := func(ctx context.Context) (eventstore.Receipt, error) {
		return command.Send(ctx, k.app.Commands, cmd, opts...)
	}
	o := k.step(narrate.Text(cmd), id, send)
	o.again = send
	return o
}

// Append is a step in which somebody else appends events to a stream, such as
// another process. Events are as for [Kit.Given].
func (k *Kit) Append(stream string, events ...any) *Outcome {
	k.t.Helper()
	what := []string{"to " + stream + " are appended"}
	for _, e := range events {
		what = append(what, eventText(e))
	}
	return k.step(strings.Join(what, "\n"), "", func(context.Context) (eventstore.Receipt, error) { return k.append(stream, events), nil })
}

// Do is a step of any kind, such as a request to the application's HTTP handler
// or a command that is enqueued; what tells readers of a failure about it. The
// commands that it sends count as [Sent].
func (k *Kit) Do(what string, do func(ctx context.Context) error) *Outcome {
	k.t.Helper()
	return k.step(what, "", func(ctx context.Context) (eventstore.Receipt, error) { return eventstore.Receipt{}, do(ctx) })
}

// Advance is a step in which nothing happens but that time goes on by d: what is
// due until then happens.
func (k *Kit) Advance(d time.Duration) *Outcome {
	k.t.Helper()
	return k.step(fmt.Sprintf("%v go by", d), "", func(context.Context) (eventstore.Receipt, error) {
		k.pass(d)
		return eventstore.Receipt{}, nil
	})
}

// step does something and gathers what came of it. id is that of the command
// which is the step itself.
func (k *Kit) step(what, id string, do func(context.Context) (eventstore.Receipt, error)) *Outcome {
	k.t.Helper()
	k.start()
	k.looked()
	o := &Outcome{k: k, what: what, before: len(k.steps)}
	k.steps = append(k.steps, what)
	k.last = o
	k.sent.take()
	after := k.head()
	o.receipt, o.err = do(k.ctx)
	synctest.Wait()
	o.events = k.read(after)
	o.sent = slices.DeleteFunc(k.sent.take(), func(c carried) bool {
		own := id != "" && c.id == id
		o.seen = o.seen || own
		return own
	})
	k.ended()
	return o
}

// past tells of what was given and of the first steps.
func (k *Kit) past(steps int) []narrate.Section {
	past := []narrate.Section{{Title: "given", Lines: k.given}}
	if steps > 0 {
		past = append(past, narrate.Section{Title: "after", Lines: k.steps[:steps]})
	}
	return past
}

// looked fails the test if nobody looked at the last step.
func (k *Kit) looked() {
	k.t.Helper()
	if k.last != nil && !k.last.looked && !k.t.Failed() {
		k.t.Errorf("commandtest: nobody looked at what came of a step; call Then, Refused or Done:\n%s", k.last.what)
	}
}

func (k *Kit) head() eventstore.Position {
	k.t.Helper()
	head, err := k.env.Store.Head(k.ctx)
	if err != nil {
		k.t.Fatalf("commandtest: %v", err)
	}
	return head
}

// read returns the events after a position, without those that the store, the
// snapshots and the queues keep for themselves.
func (k *Kit) read(after eventstore.Position) []stored {
	k.t.Helper()
	var all []stored
	for r, err := range k.env.Store.ReadAll(k.ctx, eventstore.ReadAllOptions{From: after + 1, Filter: eventstore.Filter{ExcludeSystem: true}}) {
		if err != nil {
			k.t.Fatalf("commandtest: read what was appended: %v", err)
		}
		if k.ofQueue(r.Stream) {
			continue
		}
		value, err := k.app.Codec.Decode(r)
		if err != nil {
			value = fmt.Errorf("%s, which cannot be decoded: %w", r.Type, err)
		}
		several, ok := value.(eventstore.Several)
		if !ok {
			several = eventstore.Several{value}
		}
		for _, v := range several {
			all = append(all, stored{r.Clone(), v})
		}
	}
	return all
}

// ofQueue reports whether a stream is one that a queue keeps for itself.
func (k *Kit) ofQueue(stream string) bool {
	category, _ := eventstore.SplitStream(stream)
	return slices.ContainsFunc(k.app.Queues, func(q *command.Queue) bool {
		return category == q.Name() || stream == q.Name()+"_checkpoint"
	})
}
