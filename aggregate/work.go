package aggregate

import (
	"context"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync/atomic"

	"github.com/foldstream/foldstream/eventstore"
)

// A work is a command of one aggregate that is to be carried out.
type work[S, E any] struct {
	ctx      context.Context
	decide   func(S) ([]E, error)
	rule     rule
	origin   *eventstore.Origin // nil when there is none in ctx
	id       string             // of the command
	hash     uint64             // of id, when it was given
	given    bool               // the id was given, so the command may come again
	first    eventstore.ID      // of its first event
	attempts int                // that ended in a conflict

	party *party       // who is carried out together; set once out of the queue
	phase atomic.Int32 // of phases below, once in the queue
	done  chan struct{}

	// The answer.
	receipt  eventstore.Receipt
	err      error
	panicked *PanicError
	exited   bool // decide ended its goroutine

	// While it is carried out.
	last   int         // how many events of the draft there are with those of this
	wrote  bool        // some of them are its own
	same   *work[S, E] // an earlier one with the same id
	tried  bool        // it was tried without a look at the store
	single bool        // it must be appended by itself
}

// Phases of a work that somebody else carries out.
const (
	waiting  int32 = iota // nothing of it is written
	decided               // it may be written
	leftover              // its caller has gone
)

// begin makes w the command of ctx.
func (w *work[S, E]) begin(ctx context.Context, decide func(S) ([]E, error)) {
	w.ctx, w.decide = ctx, decide
	w.origin = eventstore.OriginFromContext(ctx)
	if w.origin != nil && w.origin.CommandID != "" {
		w.id, w.given = w.origin.CommandID, true
		w.hash = hashID(w.id)
	} else {
		w.first = eventstore.NewID()
	}
}

// metadata returns what the events of w have in common. Every event names the
// command that led to it.
func (w *work[S, E]) metadata() eventstore.Metadata { return w.origin.EventMetadata(w.first) }

// eventID makes the id of the nth event. The same command on the same stream
// gives the same ids, which is what lets a store recognize an append whose
// answer was lost.
func (w *work[S, E]) eventID(stream string, n int) eventstore.ID {
	if w.given {
		return eventstore.DeriveID(stream, w.id, strconv.Itoa(n))
	}
	id := w.first
	id[14] += byte((n + 1) >> 8)
	id[15] += byte(n + 1)
	return id
}

// ask has w decide from a state. A panic in somebody else's goroutine is kept
// for the caller of w.
func (w *work[S, E]) ask(stream string, b baseline[S]) (facts []E, err error) {
	if err := w.rule.check(stream, b.version); err != nil {
		return nil, &RefusedError{Stream: stream, Version: b.version, Err: err}
	}
	if w.party != nil {
		w.exited = true
		defer func() {
			if p := recover(); p != nil {
				err = w.panics(p)
			}
		}()
	}
	facts, err = w.decide(b.state)
	w.exited = false
	if err != nil {
		return nil, &RefusedError{Stream: stream, Version: b.version, Err: err}
	}
	return facts, nil
}

// panics keeps a panic for the caller of w.
func (w *work[S, E]) panics(p any) *PanicError {
	w.exited = false
	if w.panicked, _ = p.(*PanicError); w.panicked == nil {
		w.panicked = newPanic(p)
	}
	return w.panicked
}

// A PanicError is what a caller of Execute panics with when decide, or Evolve,
// panicked in the goroutine of another caller.
type PanicError struct {
	Value any
	Stack []byte // of that goroutine
}

// newPanic is called where the panic is recovered.
func newPanic(value any) *PanicError { return &PanicError{Value: value, Stack: debug.Stack()} }

func (e *PanicError) Error() string { return fmt.Sprintf("%v\n\n%s", e.Value, e.Stack) }

// Unwrap returns Value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// again lets w be decided once more, unless its caller has gone.
func (w *work[S, E]) again() bool {
	return w.party == nil || w.phase.CompareAndSwap(decided, waiting) || w.phase.Load() == waiting
}

func (w *work[S, E]) fail(err error) {
	w.err = err
	w.settle()
}

// settle tells the caller of w that it is answered. w must not be looked at
// afterwards: the caller may use it for another command.
func (w *work[S, E]) settle() { w.done <- struct{}{} }

// A party is the callers whose commands are carried out together. What is done
// for them ends when all of them have gone.
type party struct {
	left   atomic.Int32
	cancel context.CancelFunc
}

func (p *party) leave() {
	if p.left.Add(-1) == 0 {
		p.cancel()
	}
}
