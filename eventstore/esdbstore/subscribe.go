package esdbstore

import (
	"context"
	"iter"
	"sync"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/foldstream/foldstream/eventstore"
)

// queued is how many messages wait for a subscriber here. When they are not
// taken, the server waits.
const queued = 64

// Subscribe implements [eventstore.Store]. After a loss it goes on after the
// last event, for as long as ctx lasts; a goroutine receives while the sequence is
// being pulled, and ends with it.
func (s *Store) Subscribe(ctx context.Context, stream string, opts eventstore.SubscribeOptions) iter.Seq2[eventstore.Message, error] {
	return func(yield func(eventstore.Message, error) bool) {
		if err := eventstore.CheckStream(stream); err != nil {
			yield(eventstore.Message{}, err)
			return
		}
		f := &feed{store: s, op: "subscribe to " + stream, stream: stream, version: opts.After}
		v := &viewer{feed: f, version: opts.After, yield: yield}
		v.run(ctx)
	}
}

// SubscribeAll implements [eventstore.Store]. The server applies what it can of
// the filter, see [pushed]. Otherwise it is like Subscribe.
func (s *Store) SubscribeAll(ctx context.Context, opts eventstore.SubscribeAllOptions) iter.Seq2[eventstore.Message, error] {
	return func(yield func(eventstore.Message, error) bool) {
		f := &feed{
			store: s, op: "subscribe to all streams", position: opts.After,
			filter: pushed(opts.Filter), matches: opts.Filter.Matcher(),
		}
		v := &viewer{feed: f, examined: opts.After, yield: yield}
		v.run(ctx)
	}
}

// An itemKind says what an [item] is.
type itemKind uint8

const (
	itemEvent    itemKind = iota
	itemExamined          // one event did not match
	itemProgress          // many events did not match
	itemCaughtUp          // the server has nothing more at the moment
)

// An item is what a feed hands to its viewer.
type item struct {
	kind     itemKind
	position eventstore.Position
	event    eventstore.Recorded
}

// A viewer hands the items of a feed on as messages.
type viewer struct {
	feed  *feed
	yield func(eventstore.Message, error) bool

	examined eventstore.Position // everything up to here was handed on, or did not match
	version  eventstore.Version  // of a stream's last event
	quiet    int                 // events that did not match since the last message

	live  bool   // the server has said once that there was nothing more
	owed  bool   // something was handed on or examined since the last CaughtUp
	asked bool   // end is being asked for
	known bool   // end is known
	end   uint64 // where the stream or the log ended after the last item came
}

// run yields until the subscription ends, and says why.
func (v *viewer) run(ctx context.Context) {
	if err := v.feed.store.ready(ctx); err != nil {
		v.yield(eventstore.Message{}, err)
		return
	}
	within, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	items := make(chan item, queued)
	ends := make(chan uint64, 1)
	var failure error
	working.Go(func() {
		failure = v.feed.run(within, items)
		close(items)
	})
	v.owed = true
	for {
		if err := v.feed.store.ready(ctx); err != nil {
			v.yield(eventstore.Message{}, err)
			return
		}
		it, ok, waited := v.next(ctx, items, ends, func() {
			number := v.number()
			working.Go(func() { v.feed.askEnd(within, number, ends) })
		})
		switch {
		case waited:
		case !ok:
			if failure == nil {
				failure = v.feed.store.ready(ctx)
			}
			v.yield(eventstore.Message{}, failure)
			return
		case !v.take(it):
			return
		}
	}
}

// next returns the next item. When there is none it sees to it that a CaughtUp
// comes, and waits; then it returns without an item.
func (v *viewer) next(ctx context.Context, items <-chan item, ends <-chan uint64, ask func()) (it item, ok, waited bool) {
	select {
	case it, ok = <-items:
		return it, ok, false
	default:
	}
	if v.owed && v.live {
		switch {
		case v.known && v.end == v.number():
			return item{kind: itemCaughtUp, position: v.examined}, true, false
		case v.known && v.end > v.number(), v.asked:
		default:
			v.asked, v.known = true, false
			ask()
		}
	}
	select {
	case it, ok = <-items:
		return it, ok, false
	case v.end = <-ends:
		v.asked, v.known = false, true
	case <-ctx.Done():
	case <-v.feed.store.sup.closing:
	}
	return item{}, true, true
}

// number is what counts as progress: a stream's version, or the position.
func (v *viewer) number() uint64 {
	if v.feed.stream != "" {
		return uint64(v.version)
	}
	return uint64(v.examined)
}

// take hands an item on and reports whether the subscriber wants more.
func (v *viewer) take(it item) bool {
	if it.position > v.examined {
		v.examined, v.owed = it.position, true
	}
	switch it.kind {
	case itemEvent:
		v.version, v.owed, v.quiet = it.event.Version, true, 0
		return v.yield(eventstore.Message{Kind: eventstore.MessageEvent, Position: it.event.Position, Event: it.event}, nil)
	case itemExamined:
		if v.quiet++; v.quiet < 256 {
			return true
		}
		fallthrough
	case itemProgress:
		v.quiet = 0
		return v.yield(eventstore.Message{Kind: eventstore.MessageCheckpoint, Position: v.examined}, nil)
	case itemCaughtUp:
		v.live = true
		if !v.owed {
			return true
		}
		v.owed, v.quiet = false, 0
		return v.yield(eventstore.Message{Kind: eventstore.MessageCaughtUp, Position: v.examined}, nil)
	}
	return true
}

// askEnd finds where the stream or the log ends, and sends it. Only that shows
// that nothing is on its way: the server says once that the subscription has
// caught up, and never again.
func (f *feed) askEnd(ctx context.Context, number uint64, ends chan<- uint64) {
	p := &patience{op: f.op} // for as long as the subscription lasts
	end := number            // also when there is no answer that helps
	var err error
	if f.stream == "" {
		var head eventstore.Position
		if head, err = f.store.head(ctx, p); err == nil {
			end = uint64(head)
		}
	} else {
		err = f.store.run(ctx, p, &query{
			what: f.stream,
			open: func(ctx context.Context, c *esdb.Client) (*esdb.ReadStream, error) {
				return c.ReadStream(ctx, f.stream, esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
			},
			take: func(r *eventstore.Recorded) verdict {
				end = uint64(r.Version)
				return last
			},
		})
	}
	if err != nil && ctx.Err() != nil {
		return
	}
	ends <- end // there is room: one question at a time
}
