package esdbstore_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore/esdbstore"
)

// A proxy stands between client and server and spoils the connection.
type proxy struct {
	t      *testing.T
	l      net.Listener
	target string

	deaf      atomic.Bool  // answers are swallowed
	slow      atomic.Bool  // answers come in small pieces
	delivered atomic.Int64 // bytes to the client
	accepted  atomic.Int64 // connections

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	work  sync.WaitGroup
}

func newProxy(s *server) *proxy {
	s.t.Helper()
	l, err := new(net.ListenConfig).Listen(s.t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	p := &proxy{t: s.t, l: l, target: s.addr, conns: make(map[net.Conn]struct{})}
	p.work.Go(p.accept)
	s.t.Cleanup(func() {
		assert.NoError(s.t, l.Close())
		p.cut()
		p.work.Wait()
	})
	return p
}

func (p *proxy) open(opts *esdbstore.Options) *esdbstore.Store {
	p.t.Helper()
	return open(p.t, "esdb://"+p.l.Addr().String()+"?tls=false&discoveryInterval=10", opts)
}

func (p *proxy) accept() {
	for {
		down, err := p.l.Accept()
		if err != nil {
			return
		}
		p.accepted.Add(1)
		up, err := new(net.Dialer).Dial("tcp", p.target)
		if err != nil {
			_ = down.Close()
			continue
		}
		p.mu.Lock()
		p.conns[down], p.conns[up] = struct{}{}, struct{}{}
		p.mu.Unlock()
		p.work.Go(func() { p.pipe(up, down, false) })
		p.work.Go(func() { p.pipe(down, up, true) })
	}
}

func (p *proxy) pipe(to, from net.Conn, answers bool) {
	defer func() {
		_, _ = to.Close(), from.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, to)
		delete(p.conns, from)
	}()
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if answers && p.deaf.Load() {
			n = 0
		}
		for rest := buf[:n]; len(rest) > 0; {
			piece := rest
			if answers && p.slow.Load() {
				piece = rest[:min(len(rest), 100)]
				time.Sleep(time.Millisecond)
			}
			rest = rest[len(piece):]
			if _, err := to.Write(piece); err != nil {
				return
			}
		}
		if n > 0 {
			if answers {
				p.delivered.Add(int64(n))
			}
		}
		if err != nil {
			assert.True(p.t, errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.As(err, new(*net.OpError)), "%v", err)
			return
		}
	}
}

// cut closes every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// settled waits until what a proxy or a client does has ended.
func settled(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, patience, 5*time.Millisecond, what)
}
