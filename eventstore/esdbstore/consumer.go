package esdbstore

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// A consumer is one connection to a group, with what it has received and not
// handled yet.
type consumer struct {
	store   *Store
	sub     *esdb.PersistentSubscription
	handler func(context.Context, Delivery) error
	limit   int // received and not handled; the server counts only what it has not timed out

	sending sync.Mutex // a stream takes one sender at a time

	mu      sync.Mutex
	changed sync.Cond
	stopped bool
	waiting int              // in lanes
	lanes   map[string]*lane // of the streams that have events waiting or being handled
	ready   []*lane          // with a waiting event and no handler at work
}

// A lane holds the deliveries of one stream in order.
type lane struct {
	stream string
	queue  []job
}

// A job is a delivery with what the client wants back in the answer.
type job struct {
	delivery Delivery
	event    *esdb.ResolvedEvent
}

// receive queues what comes until the connection ends.
func (c *consumer) receive(l *lease, p *patience) error {
	recv := func() (*esdb.EventAppeared, error) {
		ev := c.sub.Recv()
		if ev.SubscriptionDropped != nil {
			return nil, ev.SubscriptionDropped.Error
		}
		return ev.EventAppeared, nil
	}
	for {
		ev, err := receive(l, recv)
		if err != nil {
			return err
		}
		p.progress()
		if ev == nil || ev.Event == nil {
			continue
		}
		if ev.Event.Event == nil { // a link to what is gone
			c.answer(ev.Event, Skip(errors.New("what the link points to is gone")))
			continue
		}
		d := Delivery{Event: c.store.recorded(ev.Event.Event), Retries: ev.RetryCount}
		if ev.Event.Link != nil {
			link := c.store.recorded(ev.Event.Link)
			d.Link = &link
		}
		if !c.queue(job{d, ev.Event}) {
			return context.Canceled
		}
	}
}

// queue adds a job to its lane. It waits while there are too many, and reports
// whether the consumer goes on.
func (c *consumer) queue(j job) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.waiting >= c.limit && !c.stopped {
		c.changed.Wait()
	}
	if c.stopped {
		return false
	}
	if c.lanes == nil {
		c.lanes = make(map[string]*lane)
	}
	s := j.delivery.Event.Stream
	ln := c.lanes[s]
	if ln == nil {
		ln = &lane{stream: s}
		c.lanes[s] = ln
		c.ready = append(c.ready, ln)
	}
	ln.queue = append(ln.queue, j)
	c.waiting++
	c.changed.Broadcast()
	return true
}

// stop makes the workers end after what they are at.
func (c *consumer) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.changed.Broadcast()
}

// work handles jobs, the oldest of the lane that waited longest, until ctx is
// done or the consumer stopped. Handlers have a context of their own.
func (c *consumer) work(ctx, handling context.Context) {
	for {
		ln, j, ok := c.take()
		if !ok || ctx.Err() != nil {
			return
		}
		c.answer(j.event, c.handler(handling, j.delivery))
		c.put(ln)
	}
}

func (c *consumer) take() (*lane, job, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.ready) == 0 && !c.stopped {
		c.changed.Wait()
	}
	if c.stopped {
		return nil, job{}, false
	}
	ln := c.ready[0]
	c.ready = c.ready[1:]
	j := ln.queue[0]
	ln.queue = ln.queue[1:]
	c.waiting--
	c.changed.Broadcast()
	return ln, j, true
}

// put gives a lane back after a job of it was handled.
func (c *consumer) put(ln *lane) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(ln.queue) == 0 {
		delete(c.lanes, ln.stream)
		return
	}
	c.ready = append(c.ready, ln)
	c.changed.Broadcast()
}

// answer tells the server what became of an event. When that fails the
// connection is gone and the event will come again.
func (c *consumer) answer(ev *esdb.ResolvedEvent, err error) {
	c.sending.Lock()
	defer c.sending.Unlock()
	var sent error
	if err == nil {
		sent = c.sub.Ack(ev)
	} else {
		action := esdb.NackActionRetry
		if a := (*answer)(nil); errors.As(err, &a) {
			action = a.action
		}
		text := err.Error()
		sent = c.sub.Nack(strings.ToValidUTF8(text[:min(len(text), maxReason)], ""), action, ev)
	}
	if sent != nil {
		c.store.log.Debug("could not answer for an event, it will be delivered again", "event", ev.OriginalEvent().EventID, "err", sent)
	}
}

// maxReason is how much of an error is sent as the reason, in bytes.
const maxReason = 1000
