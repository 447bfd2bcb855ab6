package proxytest

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A Proxy hands on what clients and a server say to each other, unless it is
// told otherwise. It is safe for concurrent use.
type Proxy struct {
	l net.Listener

	swallow   atomic.Bool
	trickle   atomic.Bool
	delay     atomic.Int64 // nanoseconds
	delivered atomic.Int64
	accepted  atomic.Int64
	fault     atomic.Pointer[func(request []byte) Fault]

	mu     sync.Mutex
	target string // empty while nothing is to get through
	ended  bool
	links  map[*link]struct{}
	work   sync.WaitGroup
}

// A Fault says what happens to a connection at a request.
type Fault int

// The faults.
const (
	None        Fault = iota
	LoseRequest       // the request is dropped and the connection cut
	LoseHalf          // half of the request is sent, then the connection cut
	LoseAnswer        // the request is sent, its answer awaited and dropped, then the connection cut
)

// Start starts a proxy of the server at target, on a loopback port of its own.
// It ends with the test.
func Start(tb testing.TB, target string) *Proxy {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("proxytest: %v", err)
	}
	p := &Proxy{l: l, target: target, links: make(map[*link]struct{})}
	p.work.Go(p.accept)
	tb.Cleanup(p.end)
	return p
}

// Addr returns the host and port that clients connect to.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// Cut closes every connection. New ones are made as before.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
	}
}

// Point cuts every connection and leads new ones to another server, or to none
// if target is empty: then they are closed at once.
func (p *Proxy) Point(target string) {
	p.mu.Lock()
	p.target = target
	p.mu.Unlock()
	p.Cut()
}

// Swallow has answers thrown away while it is on.
func (p *Proxy) Swallow(on bool) { p.swallow.Store(on) }

// Trickle has answers come in pieces of 100 bytes, one each millisecond, while
// it is on.
func (p *Proxy) Trickle(on bool) { p.trickle.Store(on) }

// Delay has each answer wait for d. Zero ends it.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// At has choose say what happens at each request, which is what one call of
// read has returned: as a rule one round trip. It is called by many goroutines.
// Nil ends it.
func (p *Proxy) At(choose func(request []byte) Fault) {
	if choose == nil {
		p.fault.Store(nil)
		return
	}
	p.fault.Store(&choose)
}

// Delivered returns the number of bytes that clients were given.
func (p *Proxy) Delivered() int64 { return p.delivered.Load() }

// Accepted returns the number of connections that clients have made.
func (p *Proxy) Accepted() int64 { return p.accepted.Load() }

func (p *Proxy) end() {
	_ = p.l.Close() // what matters is that accept ends
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.Cut()
	p.work.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.l.Accept()
		if err != nil {
			return
		}
		p.accepted.Add(1)
		p.work.Go(func() { p.serve(client) })
	}
}

// serve connects a client to the server and stays until both sides are done.
func (p *Proxy) serve(client net.Conn) {
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	if target == "" {
		_ = client.Close()
		return
	}
	server, err := new(net.Dialer).DialContext(context.Background(), "tcp", target)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{p: p, client: client, server: server}
	defer l.close()
	p.mu.Lock()
	stale := p.ended || p.target != target
	if !stale {
		p.links[l] = struct{}{}
	}
	p.mu.Unlock()
	if stale {
		return
	}
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.links, l)
	}()
	var wg sync.WaitGroup
	wg.Go(l.requests)
	wg.Go(l.answers)
	wg.Wait()
}
