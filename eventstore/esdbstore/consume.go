package esdbstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/foldstream/foldstream/eventstore"
)

// A Delivery is an event that a group hands to a consumer.
type Delivery struct {
	Event   eventstore.Recorded
	Link    *eventstore.Recorded // the link that led to Event, in a group that resolves links
	Retries int                  // how often it was delivered before
}

// ConsumeOptions configure a consumer. The zero value is ready to use.
type ConsumeOptions struct {
	Concurrency int           // handlers at once; default 4
	Buffer      int           // events that the server sends ahead of the answers; default twice Concurrency, at least 10
	Grace       time.Duration // how long handlers may go on once ctx is done; default 10 s, negative means not at all
}

// An answer is an error that says what becomes of an event.
type answer struct {
	action esdb.NackAction
	err    error
}

func (a *answer) Error() string { return a.err.Error() }
func (a *answer) Unwrap() error { return a.err }

// Park returns an error that makes the group put the event aside, with err as
// the reason, until [Group.ReplayParked].
func Park(err error) error { return &answer{esdb.NackActionPark, reason(err)} }

// Retry returns an error that makes the group deliver the event again, and park
// it after GroupOptions.MaxRetries. Any other error does the same.
func Retry(err error) error { return &answer{esdb.NackActionRetry, reason(err)} }

// Skip returns an error that makes the group go on as if the event had been
// handled.
func Skip(err error) error { return &answer{esdb.NackActionSkip, reason(err)} }

func reason(err error) error {
	if err == nil {
		return errors.New("no reason given")
	}
	return err
}

// Consume handles events of the group until ctx is done; then it lets the
// handlers that are at work finish, tells the server, and returns nil, leaving
// nothing behind. A handler that returns nil has handled the event; see [Park],
// [Retry] and [Skip] for its errors. Handlers must be idempotent: an event may
// be delivered more than once, as after a lost connection, after which
// Consume connects again for as long as it takes.
//
// Up to Concurrency handlers run at once. Events of one stream are handled one
// at a time in the order in which they were delivered; that is the order of the
// stream but for events that are retried, which come again after later ones. With
// several consumers it takes the strategy [Pinned] to keep a stream with one.
//
// It returns [ErrGroupNotFound] for a group that is not there or was deleted
// meanwhile, [ErrGroupFull], or why it is not allowed.
func (g *Group) Consume(ctx context.Context, handler func(context.Context, Delivery) error, opts *ConsumeOptions) error {
	var o ConsumeOptions
	if opts != nil {
		o = *opts
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 4
	}
	if o.Buffer <= 0 {
		o.Buffer = max(2*o.Concurrency, 10)
	}
	orDefault(&o.Grace, 10*time.Second)
	handling, stop := graceful(ctx, o.Grace)
	defer stop()
	op := fmt.Sprintf("consume group %s of %s", g.name, g.stream)
	p := &patience{op: op, since: time.Now()}
	for {
		err := g.store.ready(ctx)
		if err == nil {
			err = g.consumeOnce(ctx, handling, p, handler, o)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case g.store.ready(ctx) != nil:
			return eventstore.ErrClosed
		case !passing(err):
			return g.failure(op, err)
		}
		g.store.log.Info("lost a consumer's connection to EventStoreDB, will connect again", "group", g.name, "stream", g.stream, "err", err)
		if err := g.store.pause(ctx, p, err); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// graceful returns a context for handlers, which ends some time after ctx.
func graceful(ctx context.Context, grace time.Duration) (context.Context, func()) {
	handling, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var mu sync.Mutex
	var timer *time.Timer
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		timer = time.AfterFunc(max(grace, 0), cancel)
	})
	return handling, func() {
		stop()
		mu.Lock()
		defer mu.Unlock()
		if timer != nil {
			timer.Stop()
		}
		cancel()
	}
}

// consumeOnce consumes over one connection, until that or ctx ends and all
// handlers have.
func (g *Group) consumeOnce(ctx, handling context.Context, p *patience, handler func(context.Context, Delivery) error, o ConsumeOptions) error {
	within, l, err := g.store.sup.acquireFor(ctx, context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	defer l.release()
	connected := context.AfterFunc(ctx, func() { l.cancel(ctx.Err()) })
	sub, _, err := call(within, l, func(ctx context.Context, c *esdb.Client) (*esdb.PersistentSubscription, error) {
		o := esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: uint32(o.Buffer)}
		if g.stream == all {
			return c.SubscribeToPersistentSubscriptionToAll(ctx, g.name, o)
		}
		return c.SubscribeToPersistentSubscription(ctx, g.stream, g.name, o)
	})
	if err != nil {
		connected()
		return err
	}
	c := &consumer{store: g.store, sub: sub, handler: handler, limit: 4 * o.Buffer}
	c.changed.L = &c.mu
	if !connected() {
		_ = sub.Close()
		return ctx.Err()
	}

	var receiver, workers sync.WaitGroup
	ended := make(chan error, 1)
	receiver.Go(func() { ended <- c.receive(l, p) })
	for range o.Concurrency {
		workers.Go(func() { c.work(ctx, handling) })
	}
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.stop()
	workers.Wait()
	if ctx.Err() != nil {
		g.flush(within, l)
	}
	_ = sub.Close() // never fails
	receiver.Wait()
	return err
}

// flush makes a round trip behind the last answers, which would be lost if the
// stream were cut with them still on their way out.
func (g *Group) flush(within context.Context, l *lease) {
	ctx, cancel := context.WithTimeout(within, time.Second)
	defer cancel()
	rs, _, err := call(ctx, l, func(ctx context.Context, c *esdb.Client) (*esdb.ReadStream, error) {
		return c.ReadAll(ctx, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
	})
	if err == nil {
		_, _ = rs.Recv() // the answer does not matter
		rs.Close()
	}
}
