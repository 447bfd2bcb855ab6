package groups

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// A group hands out the events of one definition. Its mutex is never held
// while anything waits: not for the store, and not for a consumer, who takes
// what it is given from an outbox of its own.
type group struct {
	def     Definition
	store   eventstore.Store
	log     *slog.Logger
	wants   func(stream, eventType string) bool // nil means every event
	started time.Time

	cancel    context.CancelFunc // ends run; set before run is called
	done      chan struct{}      // closed when run has ended
	room      chan struct{}      // the read-ahead got shorter; holds one signal
	work      chan struct{}      // something is to be written; holds one signal
	replaying chan struct{}      // held by who replays

	mu        sync.Mutex
	closed    error // set once no consumer may connect or answer any more
	consumers consumers
	queue     []*message // read ahead
	queued    int        // bytes in queue
	retries   []*message // to hand out again, in the order of their points
	flight    map[eventstore.ID]*message
	inFlight  int
	fresh     list // of everything but replayed events
	replays   list
	examined  uint64 // everything up to this point was read
	live      bool   // nothing more is there to read

	parking     []*message // to be parked, in this order
	parked      int64      // parked events that were not replayed
	parkedFirst eventstore.Version
	truncated   eventstore.Version // what was written of parkedFirst

	checkpoint   uint64    // last written
	checkpointed time.Time // when
	since        int       // events dealt with since
	total        int64     // events dealt with
	measured     int64     // total when it was last asked for
}

func newGroup(def Definition, store eventstore.Store, log *slog.Logger) (*group, error) {
	wants, err := def.matcher()
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", def.Key(), err)
	}
	now := time.Now()
	return &group{
		def: def, store: store, wants: wants, started: now, checkpointed: now,
		log:       log.With("stream", def.Stream, "group", def.Group),
		done:      make(chan struct{}),
		room:      make(chan struct{}, 1),
		work:      make(chan struct{}, 1),
		replaying: make(chan struct{}, 1),
		flight:    make(map[eventstore.ID]*message),
		consumers: newConsumers(def.Strategy),
	}, nil
}

// run carries the group until ctx is done, and then saves what is left to save.
func (g *group) run(ctx context.Context) {
	defer close(g.done)
	var wg sync.WaitGroup
	wg.Go(func() { g.fill(ctx) })
	g.keep(ctx)
	wg.Wait()
}

// stop drops the consumers for a reason and returns when the group has ended.
func (g *group) stop(reason error) {
	g.drop(reason)
	g.cancel()
	<-g.done
}

// drop disconnects every consumer. What they hold is not lost: the checkpoint
// lies below it.
func (g *group) drop(reason error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		return
	}
	g.closed = reason
	for _, c := range g.consumers.all {
		c.outbox = nil
		signal(c.ready)
	}
}

// push hands out what consumers have room for, what was handed out before
// first. The caller holds mu.
func (g *group) push() {
	if g.consumers.free <= 0 || len(g.retries)+len(g.queue) == 0 {
		return
	}
	now := time.Now()
	waiting := len(g.queue)
	g.retries = g.handOut(g.retries, now, false)
	g.queue = g.handOut(g.queue, now, true)
	if len(g.queue) < waiting {
		signal(g.room)
	}
}

func (g *group) handOut(messages []*message, now time.Time, queued bool) []*message {
	var passed []*message // whose consumer has no room
	for len(messages) > 0 && g.consumers.free > 0 {
		m := messages[0]
		messages[0], messages = nil, messages[1:]
		c := g.consumers.choose(m)
		if c == nil {
			passed = append(passed, m)
			continue
		}
		if queued {
			g.queued -= m.bytes
		}
		g.give(c, m, now)
	}
	if len(passed) > 0 {
		return append(passed, messages...)
	}
	return messages
}

func (g *group) give(c *Consumer, m *message, now time.Time) {
	m.holder, m.sent, m.given, m.due = c, false, now, time.Time{}
	if g.def.MessageTimeout > 0 {
		m.due = now.Add(g.def.MessageTimeout)
	}
	id := m.Original().ID
	m.next = g.flight[id]
	g.flight[id] = m
	g.inFlight++
	g.consumers.free--
	c.held++
	c.total++
	c.outbox = append(c.outbox, m)
	signal(c.ready)
}

// find returns the message with an id that a consumer holds, or nil.
func (g *group) find(c *Consumer, id eventstore.ID) *message {
	m := g.flight[id]
	for m != nil && m.holder != c {
		m = m.next
	}
	return m
}

// take takes a message from its holder.
func (g *group) take(m *message) {
	id, c := m.Original().ID, m.holder
	switch first := g.flight[id]; {
	case first != m:
		for first.next != m {
			first = first.next
		}
		first.next = m.next
	case m.next != nil:
		g.flight[id] = m.next
	default:
		delete(g.flight, id)
	}
	g.inFlight--
	g.consumers.free++
	c.held--
	if !m.sent {
		c.unsend(m)
	}
	m.holder, m.next = nil, nil
}

// again puts m among those to hand out again.
func (g *group) again(m *message) {
	m.RetryCount++
	g.retries = insert(g.retries, m)
}

// againOrPark gives up on m once it was handed out too often.
func (g *group) againOrPark(m *message) {
	if m.RetryCount >= g.def.MaxRetryCount {
		g.toPark(m, fmt.Sprintf("Reached retry count of %d", g.def.MaxRetryCount))
		return
	}
	g.again(m)
}

// toPark has m parked. It stays outstanding until that is durable.
func (g *group) toPark(m *message, reason string) {
	m.park = parking{id: eventstore.NewID(), added: time.Now().UTC(), reason: reason}
	g.parking = append(g.parking, m)
	signal(g.work)
}

// finish has done with m.
func (g *group) finish(m *message) {
	g.total++
	fresh := m.list == &g.fresh
	m.list.remove(m)
	if fresh {
		g.advance()
	}
}

// advance counts one more event dealt with.
func (g *group) advance() {
	g.since++
	if g.def.MaxCheckpointCount > 0 && g.since >= g.def.MaxCheckpointCount {
		signal(g.work)
	}
}

// completed returns the point below which everything is dealt with.
func (g *group) completed() uint64 {
	if m := g.fresh.first; m != nil {
		return m.before
	}
	return g.examined
}

// expire takes back what consumers have held for too long.
func (g *group) expire(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.def.MessageTimeout <= 0 || g.closed != nil {
		return
	}
	var late []*message
	for _, m := range g.flight {
		for ; m != nil; m = m.next {
			if !now.Before(m.due) {
				late = insert(late, m)
			}
		}
	}
	for _, m := range late {
		g.take(m)
		g.againOrPark(m)
	}
	g.push()
}

// signal puts a signal into a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
