package projection

import (
	"context"
	"sync"

	"github.com/foldstream/foldstream/eventstore"
)

// item is one event on its way to one partition.
type item struct {
	rec      eventstore.Recorded
	reaction *reaction
	id       string // of the aggregate
	event    any    // *E; nil: decoded by the worker
	ops      []op   // nil: each binding of the type, under id
	first    bool   // of the items of its event, so that it is counted once
	err      error  // it could not be told which keys the event touches
}

// queue takes items from the reader to the worker of one partition. It is
// bounded: a reader that is ahead waits, and so does the event store's side.
type queue struct {
	limit int

	mu    sync.Mutex
	items []item
	upTo  eventstore.Position // all that concerns the partition up to here has been pushed

	ready chan struct{} // has one when there may be something new
	space chan struct{} // has one when there may be room
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, ready: make(chan struct{}, 1), space: make(chan struct{}, 1)}
}

// push adds items, all of them once there is room for one. upTo says what else
// the reader has seen.
func (q *queue) push(ctx context.Context, items []item, upTo eventstore.Position) error {
	for {
		q.mu.Lock()
		if len(q.items) < q.limit || len(items) == 0 {
			q.items = append(q.items, items...)
			q.upTo = max(q.upTo, upTo)
			q.mu.Unlock()
			signal(q.ready)
			return nil
		}
		q.mu.Unlock()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-q.space:
		}
	}
}

// swap takes everything and leaves spare, which must be empty, in its place.
func (q *queue) swap(spare []item) ([]item, eventstore.Position) {
	q.mu.Lock()
	items := q.items
	q.items = spare
	upTo := q.upTo
	q.mu.Unlock()
	signal(q.space)
	return items, upTo
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
