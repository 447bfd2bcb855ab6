package projection

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// item is one event on its way to one partition.
type item struct {
	ev       *shared
	hash     uint64 // of the aggregate's id, or of the first key
	reaction *reaction
	routed   *routed // nil: each binding of the type, under the aggregate's id
	first    bool    // of the items of its event, so that it is counted once
	prepared bool    // its lane has noted what it changes
}

// routed is what is known of an event that had to be decoded to learn which
// keys it touches.
type routed struct {
	event any  // *E
	ops   []op // in this partition
	err   error
	one   [1]op // what ops is, most often
}

// queue takes items from a reader to the lane of one partition. It is bounded:
// a reader that is ahead waits, and so does the event store's side.
type queue struct {
	limit int

	mu    sync.Mutex
	items []item
	upTo  eventstore.Position // all that concerns the partition up to here has been pushed
	live  bool                // the reader is level with the event store, or nearly
	idle  bool                // the lane has nothing to do until its timer is due

	ready chan struct{} // has one when there may be something new
	space chan struct{} // has one when there may be room
	ended chan struct{} // closed when nobody takes any more
}

func newQueue(limit int, upTo eventstore.Position) *queue {
	return &queue{
		limit: limit, upTo: upTo,
		ready: make(chan struct{}, 1), space: make(chan struct{}, 1), ended: make(chan struct{}),
	}
}

var (
	errEnded = errors.New("the lane has ended")
	errSlow  = errors.New("the lane does not keep up")
)

// push adds items, all of them once there is room for one. upTo says what else
// the reader has seen. A lane that is idle is not woken for nothing but that:
// then idle is true, and everything up to upTo is applied. It returns errSlow when there is no room for patience,
// if that is not 0.
func (q *queue) push(ctx context.Context, items []item, upTo eventstore.Position, live bool, patience time.Duration) (idle bool, err error) {
	var over <-chan time.Time
	select {
	case <-q.ended:
		return false, errEnded
	default:
	}
	for {
		q.mu.Lock()
		if len(q.items) < q.limit || len(items) == 0 {
			q.items = append(q.items, items...)
			q.upTo, q.live = max(q.upTo, upTo), live
			idle = q.idle && len(items) == 0
			q.idle = idle
			q.mu.Unlock()
			if !idle {
				signal(q.ready)
			}
			return idle, nil
		}
		q.mu.Unlock()
		if over == nil && patience > 0 {
			timer := time.NewTimer(patience)
			defer timer.Stop()
			over = timer.C
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-q.ended:
			return false, errEnded
		case <-over:
			return false, errSlow
		case <-q.space:
		}
	}
}

// swap takes everything and leaves spare, which must be empty, in its place.
func (q *queue) swap(spare []item) (items []item, upTo eventstore.Position, live bool) {
	q.mu.Lock()
	items, upTo, live = q.items, q.upTo, q.live
	q.items, q.idle = spare, false
	q.mu.Unlock()
	signal(q.space)
	return items, upTo, live
}

// rest says that the lane has nothing to do until its timer is due, if that is
// still so.
func (q *queue) rest(upTo eventstore.Position) {
	q.mu.Lock()
	q.idle = len(q.items) == 0 && q.upTo == upTo
	q.mu.Unlock()
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
