package logstore

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
)

// Group commit without a goroutine of its own: who finds nobody at work
// becomes the leader, carries out all that is queued with one write and one
// sync, answers, and hands the lead to the first that came meanwhile.

type requestState uint8

const (
	queued  requestState = iota
	leading              // has been given the lead, but does not know it yet
	taken                // is being carried out
	done
)

type request struct {
	op    streamrules.Op
	sync  bool // no op: force what was written before to the disk
	size  int
	state requestState  // guarded by queue.mu
	wake  chan struct{} // has room for one value, and gets one when state becomes leading or done

	receipt eventstore.Receipt
	err     error
	written bool // is part of what the leader has not yet synced
}

type queue struct {
	mu      sync.Mutex
	idle    sync.Cond // on mu: busy became false
	waiting []*request
	spare   []*request // memory for the next waiting
	busy    bool       // somebody leads
	refuse  error      // why nothing is accepted any more
}

// batchSize is how many bytes of events one write takes in, if more are
// waiting.
const batchSize = 4 << 20

// do carries out op and returns when it is durable.
func (s *Store) do(ctx context.Context, op streamrules.Op) (eventstore.Receipt, error) {
	if err := s.alive(ctx); err != nil {
		return eventstore.Receipt{}, err
	}
	r := requests.Get().(*request)
	r.op = op
	for i := range op.Events {
		r.size += op.Events[i].Size()
	}
	receipt, err := s.submit(ctx, r)
	if r.state == done { // nobody else holds it
		*r = request{wake: r.wake}
		requests.Put(r)
	}
	return receipt, err
}

// requests are those that are used again, each with its channel.
var requests = sync.Pool{New: func() any { return &request{wake: make(chan struct{}, 1)} }}

// force returns when all that was acknowledged before has reached the disk.
func (s *Store) force(ctx context.Context) error {
	if err := s.alive(ctx); err != nil {
		return err
	}
	_, err := s.submit(ctx, &request{sync: true, wake: make(chan struct{}, 1)})
	return err
}

// submit returns when r is answered.
func (s *Store) submit(ctx context.Context, r *request) (eventstore.Receipt, error) {
	if leads, err := s.queue.enter(r); err != nil {
		return eventstore.Receipt{}, err
	} else if !leads {
		if leads, err := s.queue.await(ctx, r); !leads {
			return r.receipt, err
		}
	}
	s.lead(r, s.queue.take())
	return r.receipt, r.err
}

// lead carries out batch and answers it, also when the store's clock panics.
func (s *Store) lead(own *request, batch []*request) {
	panicked := true
	defer func() {
		if panicked {
			s.fail(errPanicked, nil)
			for _, r := range batch {
				if !r.written && r.err == nil {
					r.receipt, r.err = eventstore.Receipt{}, s.failure
				}
			}
		}
		s.queue.finish(own, batch, s.failure)
	}()
	s.commit(batch)
	panicked = false
}

var errPanicked = errors.New("a panic while appending")

// enter queues r and reports whether its caller now leads.
func (q *queue) enter(r *request) (leads bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.refuse != nil {
		return false, q.refuse
	}
	q.waiting = append(q.waiting, r)
	if !q.busy {
		q.busy = true
		return true, nil
	}
	return false, nil
}

// await returns once r was answered, or its caller leads, or ctx is done
// before anybody took r.
func (q *queue) await(ctx context.Context, r *request) (leads bool, err error) {
	ended := ctx.Done()
	if ended == nil {
		<-r.wake // cheaper than to select
		return r.state == leading, r.err
	}
	select {
	case <-r.wake:
	case <-ended:
		if q.withdraw(r) {
			return false, ctx.Err()
		}
		<-r.wake // it is being carried out; the answer is near
	}
	return r.state == leading, r.err
}

// withdraw takes r out of the queue unless it has been taken.
func (q *queue) withdraw(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.state == taken || r.state == done {
		return false
	}
	i := slices.Index(q.waiting, r)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	if r.state == leading {
		q.handOn()
	}
	return true
}

// take returns the requests for one write, at least one: the first is the
// leader's own.
func (q *queue) take() []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.waiting) && (n == 0 || size+q.waiting[n].size <= batchSize) {
		q.waiting[n].state = taken
		size += q.waiting[n].size
		n++
	}
	batch := q.waiting[:n]
	q.waiting = append(q.spare[:0], q.waiting[n:]...)
	q.spare = nil
	return batch
}

// finish answers batch and hands the lead on. Requests that still wait are
// answered too when the store has failed.
func (q *queue) finish(own *request, batch []*request, failure error) {
	q.mu.Lock()
	if q.refuse == nil && failure != nil {
		q.refuse = failure
	}
	for _, r := range batch {
		r.state = done
	}
	if q.refuse != nil {
		for _, r := range q.waiting {
			r.state, r.err = done, q.refuse
		}
		batch = append(batch, q.waiting...)
		q.waiting = nil
	}
	q.handOn()
	q.mu.Unlock()
	for _, r := range batch {
		if r != own {
			r.wake <- struct{}{}
		}
	}
	clear(batch)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare = batch
}

// handOn gives the lead to the first that waits; the lock is held.
func (q *queue) handOn() {
	if len(q.waiting) == 0 {
		q.busy = false
		q.idle.Broadcast()
		return
	}
	q.waiting[0].state = leading
	q.waiting[0].wake <- struct{}{}
}

// shut lets nothing in any more and waits for the leader to finish.
func (q *queue) shut() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refuse = eventstore.ErrClosed
	for q.busy {
		q.idle.Wait()
	}
}
