package aggregate

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/foldstream/foldstream/aggregate/internal/backoff"
	"github.com/foldstream/foldstream/eventstore"
)

// An ExecuteOption is an option of [Repository.Execute] and [Handle].
type ExecuteOption func(*rule)

// Execute loads the aggregate with an id, has decide return new events from
// its state, and appends them. On a conflict with another process it loads and
// decides again, up to Options.Retries times or until ctx is done, and then
// returns the [*eventstore.ConflictError]. An error from decide comes back as
// a [*RefusedError], and nothing is appended.
//
// Callers for one aggregate take turns in the order in which they came. Those
// that wait while an append is under way are carried out together: each
// decides from what those before it decided, and all of their events are
// appended in one step, so that a busy aggregate keeps pace with the store.
// decide may therefore run in another goroutine, while its caller waits.
//
// When ctx is done before the turn has come, nothing was done and the error is
// that of ctx. Later, the error is an [*eventstore.UnavailableError] that is
// uncertain.
//
// A command changes an aggregate once: a second Execute of the same aggregate
// in the same command is a repeat, and returns the receipt of the first. Let
// one decide return all the events, or send a command with an id of its own.
// On a store whose positions are not consecutive, commands that were appended
// together all have the position of the last of their events.
func (r *Repository[S, E]) Execute(ctx context.Context, id string, decide func(S) ([]E, error), opts ...ExecuteOption) (eventstore.Receipt, error) {
	stream, err := r.stream(id)
	if err != nil {
		return eventstore.Receipt{}, err
	}
	if err := ctx.Err(); err != nil {
		return eventstore.Receipt{}, fmt.Errorf("aggregate %s: not begun: %w", stream, err)
	}
	w := r.works.Get().(*work[S, E])
	w.begin(ctx, decide)
	for _, opt := range opts {
		opt(&w.rule)
	}
	c := r.cells.acquire(stream)
	defer r.cells.release(c)
	c.mu.Lock()
	if c.busy {
		c.queue = append(c.queue, w)
		c.mu.Unlock()
		return r.await(c, w)
	}
	c.busy = true
	c.mu.Unlock()
	defer r.leave(c)
	return r.alone(c, w)
}

// alone carries out w in the goroutine of its caller.
func (r *Repository[S, E]) alone(c *cell[S, E], w *work[S, E]) (eventstore.Receipt, error) {
	group := [1]*work[S, E]{w}
	r.carryOut(w.ctx, c, group[:])
	<-w.done
	return r.answer(w)
}

// leave hands the aggregate on to those who wait, if there are any.
func (r *Repository[S, E]) leave(c *cell[S, E]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		c.busy = false
		return
	}
	r.cells.acquire(c.stream)
	go r.drain(c)
}

// answer returns what became of w, and keeps w for another command.
func (r *Repository[S, E]) answer(w *work[S, E]) (eventstore.Receipt, error) {
	receipt, err, panicked, exited := w.receipt, w.err, w.panicked, w.exited
	*w = work[S, E]{done: w.done}
	r.works.Put(w)
	switch {
	case exited:
		runtime.Goexit()
	case panicked != nil:
		panic(panicked)
	}
	return receipt, err
}

// await waits until somebody has carried out w, or its context is done.
func (r *Repository[S, E]) await(c *cell[S, E], w *work[S, E]) (eventstore.Receipt, error) {
	select {
	case <-w.done:
		return r.answer(w)
	case <-w.ctx.Done():
	}
	cause := context.Cause(w.ctx)
	if c.remove(w) {
		return eventstore.Receipt{}, fmt.Errorf("aggregate %s: wait for its turn: %w", c.stream, cause)
	}
	phase := w.phase.Swap(leftover)
	w.party.leave()
	select {
	case <-w.done: // in the last moment
		return r.answer(w)
	default:
	}
	if phase == waiting {
		return eventstore.Receipt{}, fmt.Errorf("aggregate %s: wait for its turn: %w", c.stream, cause)
	}
	return eventstore.Receipt{}, &eventstore.UnavailableError{Op: "append to " + c.stream, Uncertain: true, Err: cause}
}

// remove takes w out of the queue, and reports whether it was there.
func (c *cell[S, E]) remove(w *work[S, E]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.queue {
		if c.queue[i] == w {
			c.queue = append(c.queue[:i], c.queue[i+1:]...)
			return true
		}
	}
	return false
}

// drain carries out what waits until nothing does. It has a hold of the cell.
func (r *Repository[S, E]) drain(c *cell[S, E]) {
	var group []*work[S, E]
	finished := false
	defer func() {
		if !finished {
			c.rescue(group, recover())
			go r.drain(c)
		}
	}()
	for {
		ctx, cancel := c.take(&group, r.opts.Group)
		if len(group) == 0 {
			break
		}
		r.carryOut(ctx, c, group)
		cancel()
	}
	finished = true
	r.cells.release(c)
}

// take moves the works that have waited longest into group, or ends the
// business of the cell when there are none.
func (c *cell[S, E]) take(group *[]*work[S, E], limit int) (context.Context, context.CancelFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.queue), limit)
	*group = append((*group)[:0], c.queue[:n]...)
	c.queue = slices.Delete(c.queue, 0, n)
	if n == 0 {
		c.busy = false
		return nil, nil
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel((*group)[0].ctx))
	p := &party{cancel: cancel}
	p.left.Store(int32(n))
	for _, w := range *group {
		w.party = p
	}
	return ctx, cancel
}

// rescue answers the works that a panic of Evolve or of the codec has left, or
// one whose decide ended the goroutine; the others wait again.
func (c *cell[S, E]) rescue(group []*work[S, E], panicked any) {
	var rest []*work[S, E]
	if panicked != nil {
		panicked = newPanic(panicked) // once for all
	}
	for _, w := range group {
		switch {
		case w == nil:
		case panicked != nil:
			_ = w.panics(panicked)
			w.settle()
		case w.exited:
			w.settle()
		case w.again():
			rest = append(rest, w)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(rest, c.queue...)
}

// carryOut has every work of the group answered. Those it has not yet answered
// are in group.
func (r *Repository[S, E]) carryOut(ctx context.Context, c *cell[S, E], group []*work[S, E]) {
	for conflicts := 0; len(group) > 0; {
		d := r.drafts.Get().(*draft[S, E])
		err := r.attempt(ctx, c, group, d)
		n := copy(group, d.retry)
		clear(group[n:])
		group = group[:n]
		conflict := errors.Is(err, eventstore.ErrConflict)
		blind := d.blind
		if err == nil || conflict { // else the store may still be reading it
			d.free(r)
		}
		if !conflict || blind || n == 0 {
			continue
		}
		if backoff.Wait(ctx, r.opts.Backoff, conflicts) != nil {
			for _, w := range group {
				w.settle() // with the conflict, which says more than the deadline
			}
			return
		}
		conflicts++
	}
}
