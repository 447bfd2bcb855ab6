package esdbstore

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/foldstream/foldstream/eventstore"
)

// A supervisor gives out the official client and replaces it after a loss.
//
// That client has one goroutine that finds a node, over and over, while every
// caller waits for it without regard to contexts; when it gives up it dies and
// callers that were about to speak to it hang for ever; and it drops the old
// connection without closing it. So here each client finds a node once: a
// failed search ends it, the first loss retires it before it can search again,
// see [supervisor.logger], and it is closed when the last call that holds a
// lease on it has ended. Only when a node names another one as the leader the client
// is left to go there; if that costs its life, who hangs is freed, but a
// connection that it tried in vain stays open: nothing of it can be reached.
type supervisor struct {
	conf  esdb.Configuration
	log   *slog.Logger
	limit time.Duration // how long a client may take over what should not block

	closing chan struct{}
	workers workers

	mu      sync.Mutex
	closed  bool
	running int           // searches, and calls into a client
	idle    chan struct{} // closed when closed and nothing is running
	cur     *generation
	number  uint64 // of generations so far
	search  *search
	found   chan struct{} // closed when a node has been found; then a new one
	all     map[*generation]struct{}
}

// A search is an attempt to find a node. Everyone who needs one shares it.
type search struct {
	done chan struct{}
	err  error
}

// A generation is one official client, which has found a node.
type generation struct {
	client  *esdb.Client
	gate    gate
	once    sync.Once
	number  uint64
	retired bool              // under supervisor.mu
	leases  map[*lease]uint64 // references each, under supervisor.mu
}

// close may only be called when nobody is inside the client, or who is cannot
// get out otherwise: they then panic, and [guard] recovers it.
func (g *generation) close() {
	g.once.Do(func() { _ = g.client.Close() }) // never fails
}

func newSupervisor(conf esdb.Configuration, log *slog.Logger) *supervisor {
	conf.MaxDiscoverAttempts = 1
	return &supervisor{
		conf:    conf,
		log:     log,
		limit:   time.Duration(2*conf.GossipTimeout+1) * time.Second,
		closing: make(chan struct{}),
		idle:    make(chan struct{}),
		workers: make(workers),
		found:   make(chan struct{}),
		all:     make(map[*generation]struct{}),
	}
}

// acquire returns a lease on a connected client, and the context for calls
// with it, which Close cancels with ErrClosed.
func (s *supervisor) acquire(ctx context.Context) (context.Context, *lease, error) {
	return s.acquireFor(ctx, ctx)
}

// acquireFor is acquire where the wait for a client ends with ctx and the
// context that is returned comes from another one.
func (s *supervisor) acquireFor(ctx, parent context.Context) (context.Context, *lease, error) {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, nil, eventstore.ErrClosed
		}
		if g := s.cur; g != nil {
			within, cancel := context.WithCancelCause(parent)
			l := &lease{sup: s, gen: g, cancel: cancel}
			g.leases[l] = 1
			s.mu.Unlock()
			return within, l, nil
		}
		if s.search == nil {
			s.search = &search{done: make(chan struct{})}
			s.running++
			go s.find()
		}
		attempt := s.search
		s.mu.Unlock()
		select {
		case <-attempt.done:
			if attempt.err != nil {
				return nil, nil, attempt.err
			}
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-s.closing:
			return nil, nil, eventstore.ErrClosed
		}
	}
}

// find tries once to find a node with a new client.
func (s *supervisor) find() {
	defer s.ended()
	g := &generation{leases: make(map[*lease]uint64)}
	conf := s.conf
	conf.Logger = s.logger(g)
	err := guard(func() (err error) {
		if g.client, err = esdb.NewClient(&conf); err == nil {
			_, err = g.client.GetServerVersion() // the one call that connects and does no more
		}
		return err
	})
	s.mu.Lock()
	attempt := s.search
	s.search = nil
	ok := err == nil && !s.closed
	if ok {
		s.number++
		g.number = s.number
		s.cur = g
		s.all[g] = struct{}{}
		close(s.found)
		s.found = make(chan struct{})
	}
	s.mu.Unlock()
	if !ok && g.client != nil {
		g.close()
	}
	if err != nil {
		attempt.err = &searchError{err}
		s.log.Debug("no EventStoreDB node found", "err", err)
	}
	close(attempt.done)
}

// retire makes sure that no new call uses g; the caller's lease and those of
// others keep it open until they end. Who is stuck in it, because it searches for
// a leader and dies, is freed after the limit.
func (s *supervisor) retire(g *generation) {
	s.mu.Lock()
	first := !g.retired
	g.retired = true
	if s.cur == g {
		s.cur = nil
		s.log.Debug("lost the connection to EventStoreDB", "client", g.number)
	}
	s.mu.Unlock()
	left := g.gate.shut()
	if first {
		time.AfterFunc(s.limit, func() {
			select {
			case <-left:
			default:
				g.close()
			}
		})
	}
}

// forget reports whether g has had its last lease.
func (s *supervisor) forget(g *generation) bool {
	if !g.retired || len(g.leases) > 0 {
		return false
	}
	delete(s.all, g)
	return true
}

// current returns the number of the client in use, 0 when there is none.
func (s *supervisor) current() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur == nil {
		return 0
	}
	return s.cur.number
}

// nextFound returns a channel that is closed when a node is found.
func (s *supervisor) nextFound() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.found
}

// close ends every call and closes every client. A consumer that holds a
// sequence without pulling does not delay it.
func (s *supervisor) close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	s.cur = nil
	close(s.closing)
	if s.running == 0 {
		close(s.idle)
	}
	var leases []*lease
	var gens []*generation
	for g := range s.all {
		g.retired = true
		gens = append(gens, g)
		for l := range g.leases {
			leases = append(leases, l)
		}
	}
	s.mu.Unlock()
	for _, l := range leases {
		l.cancel(eventstore.ErrClosed)
	}
	for _, l := range leases {
		l.kill()
	}
	s.awaitRunning()
	for _, g := range gens {
		g.close()
	}
}

// ended ends what was counted as running.
func (s *supervisor) ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running--; s.closed && s.running == 0 {
		close(s.idle)
	}
}

func (s *supervisor) awaitRunning() {
	late := time.NewTimer(s.limit)
	defer late.Stop()
	select {
	case <-s.idle:
	case <-late.C:
		s.log.Warn("closing the EventStoreDB client under calls that do not end")
	}
}

// A searchError says that no node was found.
type searchError struct{ err error }

func (e *searchError) Error() string { return e.err.Error() }
func (e *searchError) Unwrap() error { return e.err }

// errPanicked is what a panic inside the client becomes.
var errPanicked = errors.New("esdbstore: the EventStoreDB client panicked")
