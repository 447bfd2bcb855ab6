package esdbstore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/foldstream/foldstream/eventstore"
)

// A lease keeps a generation's client from being closed while a call or a
// sequence uses it.
type lease struct {
	sup    *supervisor
	gen    *generation
	cancel context.CancelCauseFunc

	busy sync.Mutex // held inside the client
	dead bool       // the client is closed, or about to be
}

// release ends the use of the lease by who acquired it.
func (l *lease) release() {
	l.cancel(nil)
	l.drop()
}

// hold takes a further reference for a call, and reports false when the
// supervisor is closed.
func (l *lease) hold() bool {
	l.sup.mu.Lock()
	defer l.sup.mu.Unlock()
	if l.sup.closed {
		return false
	}
	l.sup.running++
	l.gen.leases[l]++
	return true
}

func (l *lease) drop() {
	s, g := l.sup, l.gen
	s.mu.Lock()
	last := false
	if g.leases[l]--; g.leases[l] == 0 {
		delete(g.leases, l)
		last = s.forget(g) && !s.closed // Close does the rest
	}
	s.mu.Unlock()
	if last {
		g.close()
	}
}

// kill waits until nobody is inside a stream of the lease, and keeps all out.
func (l *lease) kill() {
	l.busy.Lock()
	l.dead = true
	l.busy.Unlock()
}

// receive takes the next message of a stream of the lease, whose receive
// method recv is. Only one is at it at a time, and it ends when the lease's
// context does.
func receive[T any](l *lease, recv func() (T, error)) (msg T, err error) {
	l.busy.Lock()
	defer l.busy.Unlock()
	if l.dead {
		return msg, eventstore.ErrClosed
	}
	defer func() {
		if p := recover(); p != nil {
			err = l.check(recovered(p))
		}
	}()
	msg, err = recv()
	return msg, l.check(err)
}

// check retires the client after a loss.
func (l *lease) check(err error) error {
	if err != nil && lost(err) {
		l.sup.retire(l.gen)
	}
	return err
}

// call runs f in another goroutine and returns when it has ended or when
// ctx is done, which must be the lease's. The client ignores ctx until it has a
// connection, and honours it from then on: crossed reports whether f came as far
// as that. An f that did not come as far never sends anything.
func call[T any](ctx context.Context, l *lease, f func(context.Context, *esdb.Client) (T, error)) (result T, crossed bool, err error) {
	if !l.hold() {
		return result, false, eventstore.ErrClosed
	}
	if !l.gen.gate.enter() {
		l.drop()
		l.sup.ended()
		return result, false, errRetired
	}
	type answer struct {
		result T
		err    error
	}
	c := &crossing{Context: ctx, gate: &l.gen.gate}
	answers := make(chan answer, 1)
	l.sup.workers.do(l.sup.closing, func() {
		defer l.sup.ended()
		defer l.drop()
		var a answer
		a.err = guard(func() (err error) {
			a.result, err = f(c, l.gen.client)
			return err
		})
		c.leave()
		a.err = l.check(a.err)
		answers <- a
	})
	var a answer
	select {
	case a = <-answers:
	case <-ctx.Done():
		if c.abandon() {
			return result, false, context.Cause(ctx)
		}
		// gRPC honours ctx, and lets go of what it was given. Only what the
		// client does about an error may take long.
		late := time.NewTimer(tolerance)
		defer late.Stop()
		select {
		case a = <-answers:
		case <-late.C:
			return result, true, context.Cause(ctx)
		}
	}
	return a.result, c.state.Load() == hasCrossed, a.err
}

// tolerance is how long a call may outlast its context.
const tolerance = 250 * time.Millisecond

// errRetired says that a client was retired between acquire and call.
var errRetired = &searchError{errors.New("the client was just replaced")}

// States of a crossing.
const (
	atGate int32 = iota
	hasCrossed
	isAbandoned
)

// A crossing is the context of a call. The client asks a context for its
// deadline when it has a connection and is about to use it; that tells us that
// the part which ignores contexts, and must not meet a search, is over.
type crossing struct {
	context.Context
	gate  *gate
	state atomic.Int32
}

// Deadline implements [context.Context]. It stops an abandoned call by a
// panic, because nothing may be sent any more.
func (c *crossing) Deadline() (time.Time, bool) {
	if c.state.CompareAndSwap(atGate, hasCrossed) {
		c.gate.leave()
	} else if c.state.Load() == isAbandoned {
		panic(errAbandoned)
	}
	return c.Context.Deadline()
}

var errAbandoned = errors.New("esdbstore: the caller has gone")

// abandon reports whether the call was stopped before it could use its
// connection. It still occupies the gate.
func (c *crossing) abandon() bool { return c.state.CompareAndSwap(atGate, isAbandoned) }

// leave is for a call that ended without having crossed.
func (c *crossing) leave() {
	if c.state.CompareAndSwap(atGate, isAbandoned) || c.state.Load() == isAbandoned {
		c.gate.leave()
	}
}

// guard runs f and returns a panic as an error.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = recovered(p)
		}
	}()
	return f()
}

// A gate counts who is asking a client for its connection, and can be shut.
type gate struct {
	mu     sync.Mutex
	inside int
	closed bool
	empty  chan struct{} // set when closed
}

// enter reports whether the gate is open; then leave must follow.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.closed && g.inside == 0 {
		close(g.empty)
	}
}

// shut lets nobody in, and returns what is closed when nobody is inside.
func (g *gate) shut() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed = true
		g.empty = make(chan struct{})
		if g.inside == 0 {
			close(g.empty)
		}
	}
	return g.empty
}
