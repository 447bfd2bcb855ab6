package groups

import (
	"context"
	"slices"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// An Action says what becomes of an event that a consumer could not handle.
// The numbers are those of the protocol.
type Action int

// The actions of a negative acknowledgement.
const (
	Unknown Action = 0 // as Retry
	Park    Action = 1
	Retry   Action = 2
	Skip    Action = 3
	Stop    Action = 4 // as Skip
)

// A Client says who connects to a group.
type Client struct {
	From       string // network address
	Username   string
	Connection string // name of the connection
	Buffer     int    // most events to hold at once; default 10
}

// A Consumer gets events of a group. Its methods may be called by several
// goroutines at once.
type Consumer struct {
	client Client
	group  *group
	ready  chan struct{} // the outbox or the group changed; holds one signal

	// Under the group's mutex.
	outbox    []*message // held, not yet taken by Next
	held      int        // events not yet acknowledged; never above the buffer
	gone      bool
	total     int64 // events handed out
	measured  int64 // total when it was last asked for
	since     time.Time
	latencies latencies
}

const defaultBuffer = 10

// connect adds a consumer.
func (g *group) connect(client Client) (*Consumer, error) {
	if client.Buffer <= 0 {
		client.Buffer = defaultBuffer
	}
	c := &Consumer{client: client, group: g, ready: make(chan struct{}, 1), since: time.Now()}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		return nil, g.closed
	}
	if limit := g.def.MaxSubscriberCount; limit > 0 && len(g.consumers.all) >= limit {
		return nil, &FullError{g.def.Stream, g.def.Group, limit}
	}
	g.consumers.add(c)
	g.push()
	return c, nil
}

// Key returns what identifies the group.
func (c *Consumer) Key() string { return c.group.def.Key() }

// Next waits for the next event. It returns ctx's error, a [*DroppedError]
// after the group was changed, or [ErrStopped].
func (c *Consumer) Next(ctx context.Context) (Delivery, error) {
	for {
		if d, ok, err := c.TryNext(); ok || err != nil {
			return d, err
		}
		select {
		case <-c.ready:
		case <-ctx.Done():
			return Delivery{}, ctx.Err()
		}
	}
}

// TryNext is Next without waiting: it reports whether there was an event.
func (c *Consumer) TryNext() (Delivery, bool, error) {
	c.group.mu.Lock()
	defer c.group.mu.Unlock()
	switch {
	case c.group.closed != nil:
		signal(c.ready) // for others that wait
		return Delivery{}, false, c.group.closed
	case c.gone:
		signal(c.ready)
		return Delivery{}, false, &DroppedError{c.group.def.Stream, c.group.def.Group}
	case len(c.outbox) == 0:
		return Delivery{}, false, nil
	}
	m := c.outbox[0]
	c.outbox[0], c.outbox = nil, c.outbox[1:]
	m.sent = true
	if len(c.outbox) > 0 {
		signal(c.ready)
	}
	return m.Delivery, true, nil
}

// unsend takes back what Next has not returned.
func (c *Consumer) unsend(m *message) {
	if i := slices.Index(c.outbox, m); i >= 0 {
		c.outbox = slices.Delete(c.outbox, i, i+1)
	}
}

// Ack says that events were handled. Ids of events that the consumer does not
// hold, or no longer, are ignored. What there is room for now has been handed
// out when Ack returns.
func (c *Consumer) Ack(ids ...eventstore.ID) {
	now := time.Now()
	c.answer(ids, func(m *message) {
		c.latencies.add(now.Sub(m.given))
		c.group.finish(m)
	})
}

// Nack says that events were not handled, and what is to become of them. It is
// otherwise like [Consumer.Ack].
func (c *Consumer) Nack(action Action, reason string, ids ...eventstore.ID) {
	c.answer(ids, func(m *message) {
		switch action {
		case Park:
			c.group.toPark(m, "Client explicitly NAK'ed message.\n"+reason)
		case Skip, Stop:
			c.group.finish(m)
		default:
			c.group.againOrPark(m)
		}
	})
}

func (c *Consumer) answer(ids []eventstore.ID, do func(*message)) {
	g := c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil || c.gone {
		return
	}
	for _, id := range ids {
		if m := g.find(c, id); m != nil {
			g.take(m)
			do(m)
		}
	}
	g.push()
}

// Close disconnects the consumer. What it held is handed out again. Closing
// twice is harmless.
func (c *Consumer) Close() {
	g := c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil || c.gone {
		return
	}
	c.gone = true
	for _, m := range g.heldBy(c) {
		g.take(m)
		g.again(m)
	}
	g.consumers.remove(c)
	signal(c.ready)
	g.push()
}

// heldBy returns what a consumer holds.
func (g *group) heldBy(c *Consumer) []*message {
	held := make([]*message, 0, c.held)
	for _, m := range g.flight {
		for ; m != nil; m = m.next {
			if m.holder == c {
				held = append(held, m)
			}
		}
	}
	return held
}
