package esdbstore

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/foldstream/foldstream/eventstore"
)

// A feed receives a subscription, over as many connections as it takes.
type feed struct {
	store   *Store
	op      string
	stream  string // "" means all
	filter  *esdb.SubscriptionFilter
	matches func(stream, eventType string) bool

	version  eventstore.Version  // go on after this version
	position eventstore.Position // or, of all streams, after this position
	narrow   bool                // history is over, so every event examined is reported
}

// Windows of filtered subscriptions: the server says how far it is each time it
// has examined so many events. In history that must not cost much; afterwards a
// view that is asked to wait for an event that is not its own must know at once.
const (
	wide   = 4096
	narrow = 1
)

// errNarrow asks for a new subscription with the narrow window.
var errNarrow = errors.New("esdbstore: history is over")

// run receives until the subscription cannot go on, and returns why.
func (f *feed) run(ctx context.Context, items chan<- item) error {
	p := &patience{op: f.op, since: time.Now()}
	for {
		err := f.follow(ctx, p, items)
		if ended := f.store.ready(ctx); ended != nil {
			return ended
		}
		if errors.Is(err, errNarrow) {
			continue
		}
		if !passing(err) {
			return translate(f.op, f.stream, err)
		}
		f.store.log.Info("lost a subscription to EventStoreDB, will resume it", "op", f.op, "tries", p.tries, "err", err)
		if err := f.store.pause(ctx, p, err); err != nil {
			return err
		}
	}
}

// follow receives from one connection.
func (f *feed) follow(ctx context.Context, p *patience, items chan<- item) error {
	within, l, err := f.store.sup.acquire(ctx)
	if err != nil {
		return err
	}
	defer l.release()
	head, err := f.headOf(within, l)
	if err != nil {
		return err
	}
	sub, _, err := call(within, l, f.open)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Close() }() // never fails
	recv := func() (*esdb.SubscriptionEvent, error) {
		ev := sub.Recv()
		if ev.SubscriptionDropped != nil {
			return nil, ev.SubscriptionDropped.Error
		}
		return ev, nil
	}
	for {
		ev, err := receive(l, recv)
		if err != nil {
			return err
		}
		p.progress()
		it, ok := f.item(ev, head)
		if !ok {
			continue
		}
		select {
		case items <- it:
		case <-within.Done():
			return context.Cause(within)
		}
		f.position = max(f.position, it.position)
		if it.kind == itemEvent {
			f.version = it.event.Version
		}
		if it.kind == itemCaughtUp && f.filter != nil && !f.narrow {
			f.narrow = true
			return errNarrow
		}
	}
}

// headOf asks the node of a lease how far its log goes. When the server then
// says that the subscription has caught up, it has examined all that, which it
// does not say otherwise when nothing matched. Who may not know does without.
func (f *feed) headOf(ctx context.Context, l *lease) (eventstore.Position, error) {
	rs, _, err := call(ctx, l, func(ctx context.Context, c *esdb.Client) (*esdb.ReadStream, error) {
		return c.ReadAll(ctx, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
	})
	if err != nil {
		return 0, err
	}
	defer rs.Close()
	ev, err := receive(l, rs.Recv)
	switch {
	case err == nil && ev.Event != nil:
		return eventstore.Position(ev.Event.Position.Commit), nil
	case err != nil && passing(err) && !isEOF(err):
		return 0, err
	}
	return 0, nil
}

func (f *feed) open(ctx context.Context, c *esdb.Client) (*esdb.Subscription, error) {
	if f.stream != "" {
		return c.SubscribeToStream(ctx, f.stream, esdb.SubscribeToStreamOptions{From: streamStart(f.version, false)})
	}
	o := esdb.SubscribeToAllOptions{From: allStart(f.position, false)}
	if f.filter != nil {
		o.Filter, o.MaxSearchWindow, o.CheckpointInterval = f.filter, wide, 1
		if f.narrow {
			o.MaxSearchWindow = narrow
		}
	}
	return c.SubscribeToAll(ctx, o)
}

// item returns what a message of the client means, if anything.
func (f *feed) item(ev *esdb.SubscriptionEvent, head eventstore.Position) (it item, ok bool) {
	switch {
	case ev.EventAppeared != nil && ev.EventAppeared.Event != nil:
		r := f.store.recorded(ev.EventAppeared.Event)
		if f.stream == "" && r.Position <= f.position && f.position > 0 || f.stream != "" && r.Version <= f.version {
			return it, false // never, as long as the server keeps to its word
		}
		if f.matches != nil && !f.matches(r.Stream, r.Type) {
			return item{kind: itemExamined, position: r.Position}, true
		}
		return item{kind: itemEvent, position: r.Position, event: r}, true
	case ev.CheckPointReached != nil:
		p := eventstore.Position(ev.CheckPointReached.Commit)
		if p == math.MaxUint64 || p <= f.position {
			return it, false // the first is what EventStoreDB says when nothing matched: it would mean the end
		}
		if f.narrow {
			return item{kind: itemExamined, position: p}, true
		}
		return item{kind: itemProgress, position: p}, true
	case ev.CaughtUp != nil:
		return item{kind: itemCaughtUp, position: max(head, f.position)}, true
	}
	return it, false // fell behind: servers so far do not say it, and it changes nothing
}
