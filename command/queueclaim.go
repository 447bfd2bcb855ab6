package command

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// A claim is a command that this worker tries, or is about to.
type claim struct {
	crew   *crew
	item   *item
	stream string
	held   *eventstore.Recorded // nil if it is to be read

	// Guarded by the board's lock.
	appending eventstore.ID       // of the event on its way
	shown     *eventstore.Receipt // of that event, when the board saw it before the answer came
	cancel    context.CancelCauseFunc

	version eventstore.Version // of the stream
	attempt int
	until   time.Time // nobody else takes the command before
}

// errLost is why the context of a command ends that is somebody else's now.
var errLost = errors.New("command: it was taken over or dropped")

// lose is called when somebody else has written to the stream. The board is
// locked.
func (cl *claim) lose() {
	cl.crew.lost++
	if cl.cancel != nil {
		cl.cancel(errLost)
	}
}

// carryOut tries the command once and writes down what became of it.
func (cl *claim) carryOut() {
	c, q := cl.crew, cl.crew.q
	c.board.mu.Lock()
	died, attempts := cl.item.state == StateRunning, cl.item.attempts
	ctx, cancel := context.WithCancelCause(c.work)
	cl.cancel = cancel
	c.board.mu.Unlock()
	defer cancel(nil)
	if died && attempts >= q.opts.MaxAttempts {
		n := note{Attempt: attempts, Reason: fmt.Sprintf("its worker died %d times, the last time while it was tried", attempts)}
		cl.end(typeDeadLettered, &n, Failed)
		return
	}
	cl.attempt = attempts + 1
	if !cl.begin(ctx) {
		return
	}
	stop := cl.keep(ctx)
	receipt, err := cl.try(ctx)
	stop()
	switch outcome := OutcomeOf(err); {
	case errors.Is(context.Cause(ctx), errLost):
	case outcome == Done:
		cl.end(typeDone, &note{Attempt: cl.attempt, Receipt: &receipt}, Done)
	case outcome.Answered():
		cl.end(typeFailed, &note{Attempt: cl.attempt, Reason: reasonOf(err)}, outcome)
	case errors.Is(context.Cause(ctx), errStopped): // as if it had not been begun
		cl.end(typeRetrying, &note{Attempt: cl.attempt - 1, Due: time.Now(), Reason: reasonOf(err)}, Canceled)
	default:
		cl.fail(err, outcome)
	}
}

// fail has a command that met trouble tried again, or gives it up.
func (cl *claim) fail(err error, outcome Outcome) {
	opts := &cl.crew.q.opts
	n := note{Attempt: cl.attempt, Reason: reasonOf(err)}
	limit := opts.MaxFaults
	if outcome.Again() {
		limit = opts.MaxAttempts
	}
	if cl.attempt >= limit {
		cl.end(typeDeadLettered, &n, outcome)
		return
	}
	wait := jitter(min(opts.Backoff<<min(cl.attempt-1, 20), opts.MaxBackoff))
	if limited, ok := errors.AsType[*LimitedError](err); ok {
		wait = max(wait, limited.RetryAfter)
	}
	n.Due = time.Now().Add(wait)
	cl.end(typeRetrying, &n, outcome)
}

// begin writes that the command is being tried. Of several workers that do so
// one succeeds.
func (cl *claim) begin(ctx context.Context) bool {
	c := cl.crew
	ctx, cancel := context.WithTimeout(ctx, c.q.opts.Lease/3)
	defer cancel()
	begun := time.Now()
	err := cl.append(ctx, typeStarted, cl.started())
	if err == nil {
		cl.until = begun.Add(c.q.opts.Lease)
		return true
	}
	if !errors.Is(err, eventstore.ErrConflict) && !errors.Is(err, eventstore.ErrStreamDeleted) {
		cl.giveBack(time.Now().Add(jitter(maxPause)))
	}
	return false
}

func (cl *claim) started() *note {
	return &note{Attempt: cl.attempt, LeaseMS: cl.crew.q.opts.Lease.Milliseconds()}
}

// keep renews the lease for as long as the command takes. Nothing is started
// for a command that ends soon.
func (cl *claim) keep(ctx context.Context) (stop func()) {
	every := cl.crew.q.opts.Lease / 3
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	timer := time.AfterFunc(every, func() {
		defer close(ended)
		for ctx.Err() == nil {
			cl.renew()
			_ = pause(ctx, every)
		}
	})
	return func() {
		cancel()
		if !timer.Stop() {
			<-ended
		}
	}
}

// renew prolongs the lease, or gives the command up when that cannot be done in
// time. It is not broken off by the end of the command, which could not be
// written then.
func (cl *claim) renew() {
	ctx, cancel := context.WithDeadline(cl.crew.write, cl.until)
	defer cancel()
	begun := time.Now()
	switch err := cl.append(ctx, typeStarted, cl.started()); {
	case err == nil:
		cl.until = begun.Add(cl.crew.q.opts.Lease)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		cl.cancel(errLost)
	}
}

// try has the bus carry out the command.
func (cl *claim) try(ctx context.Context) (eventstore.Receipt, error) {
	q := cl.crew.q
	ctx, cancel := context.WithTimeout(ctx, q.opts.Timeout)
	defer cancel()
	if cl.held == nil {
		for r, err := range q.store.Read(ctx, cl.stream, eventstore.ReadOptions{Limit: 1}) {
			if err != nil {
				return eventstore.Receipt{}, err
			}
			cl.held = &r
		}
	}
	if cl.held == nil || cl.held.Type != typeEnqueued {
		return eventstore.Receipt{}, fmt.Errorf("command: stream %q has lost the command", cl.stream)
	}
	cmd, origin, err := q.open(cl.held)
	if err != nil {
		return eventstore.Receipt{}, err
	}
	return guard(ctx, q.bus, cmd, func(o *eventstore.Origin) { *o = origin })
}

// guard is Send for a worker, which must survive any handler.
func guard(ctx context.Context, b *Bus, cmd any, origin SendOption) (r eventstore.Receipt, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Command: fmt.Sprintf("%T", cmd), Value: p, Stack: debug.Stack()}
		}
	}()
	return Send(ctx, b, cmd, origin)
}

// end writes what became of the command and lets go of it.
func (cl *claim) end(eventType string, n *note, outcome Outcome) {
	c := cl.crew
	n.Outcome = &outcome
	err := cl.append(c.write, eventType, n)
	switch {
	case err != nil:
		c.q.opts.Logger.Error("what became of a command was not written; another worker will take it over", "queue", c.q.name, "command", cl.item.id, "outcome", outcome, "error", err)
	case eventType == typeRetrying:
		c.q.opts.Logger.Info("command met trouble and is tried again", "queue", c.q.name, "command", cl.item.id, "attempt", cl.attempt, "due", n.Due, "outcome", outcome, "error", n.Reason)
	case eventType == typeDeadLettered:
		c.q.opts.Logger.Error("command is dead-lettered", "queue", c.q.name, "command", cl.item.id, "attempt", n.Attempt, "outcome", outcome, "error", n.Reason)
	}
}

// append writes an event after the last one of the stream, again and again with
// the same id until it is certain what became of it. When it has succeeded the
// board knows.
func (cl *claim) append(ctx context.Context, eventType string, n *note) error {
	c, q := cl.crew, cl.crew.q
	n.Worker, n.Run = q.opts.Worker, c.run
	e := n.event(eventType)
	c.board.mu.Lock()
	cl.appending, cl.shown = e.ID, nil
	c.board.mu.Unlock()
	for wait := q.opts.Backoff; ; wait = min(2*wait, maxPause) {
		r, err := q.store.Append(ctx, cl.stream, eventstore.Exact(cl.version), e)
		if err != nil {
			r, err = cl.seen(err)
		}
		switch {
		case err == nil:
			cl.version = r.Version
			cl.note(eventType, n, r)
			return nil
		case errors.Is(err, eventstore.ErrConflict), errors.Is(err, eventstore.ErrStreamDeleted):
			cl.lost()
			return err
		case errors.Is(err, eventstore.ErrClosed), ctx.Err() != nil:
			return err
		}
		q.opts.Logger.Warn("writing about a command failed, will try again", "queue", q.name, "command", cl.item.id, "error", err)
		if pause(ctx, wait) != nil {
			return err
		}
	}
}

// seen returns the receipt of an append that failed, if its event has been seen
// in the store all the same.
func (cl *claim) seen(err error) (eventstore.Receipt, error) {
	b := cl.crew.board
	b.mu.Lock()
	defer b.mu.Unlock()
	if cl.shown == nil {
		return eventstore.Receipt{}, err
	}
	return *cl.shown, nil
}

// note tells the board what was written. It lets go of the command unless that
// has only begun.
func (cl *claim) note(eventType string, n *note, r eventstore.Receipt) {
	c := cl.crew
	now := time.Now()
	c.board.mu.Lock()
	if cl.item.claim == cl {
		if eventType != typeStarted {
			cl.item.claim = nil
		}
		c.board.change(cl.item, eventType, n, r, now, now)
		c.board.settle(cl.item, now)
		c.done[cl.item.state]++
	}
	status := Status{
		Queue: c.q.name, ID: cl.item.id, Type: cl.item.kind, Key: cl.item.key, Enqueued: cl.item.created, Changed: now, Version: r.Version, Position: r.Position,
	}
	c.board.mu.Unlock()
	if c.q.opts.Changed != nil {
		status.take(eventType, n)
		c.q.opts.Changed(status)
	}
}

// lost lets go of a command that somebody else has written to, which the board
// will see or has seen.
func (cl *claim) lost() {
	b := cl.crew.board
	b.mu.Lock()
	defer b.mu.Unlock()
	if cl.item.claim == cl {
		cl.item.claim, cl.item.contended = nil, true
		cl.lose()
	}
}

// giveBack lets go of a command that could not be begun, until a time.
func (cl *claim) giveBack(until time.Time) {
	b := cl.crew.board
	b.mu.Lock()
	defer b.mu.Unlock()
	if cl.item.claim == cl {
		cl.item.claim, cl.item.due = nil, until
		b.queue(cl.item, time.Now())
	}
}
