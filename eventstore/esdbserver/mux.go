package esdbserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// helloTimeout is how long a new connection may take to say what it speaks.
const helloTimeout = 10 * time.Second

// A mux hands the connections of one listener to the gRPC server or to the
// HTTP/1.1 server, by their first bytes: HTTP/2 begins with "PRI * HTTP/2.0"
// (RFC 9113, section 3.4), and no HTTP/1.1 method begins with "PRI".
type mux struct {
	l        net.Listener
	tls      *tls.Config
	rpc, web *handOver

	mu      sync.Mutex
	fresh   map[net.Conn]struct{} // not handed over yet
	stopped bool
	sniffs  sync.WaitGroup
}

func newMux(l net.Listener, conf *tls.Config) *mux {
	if conf != nil {
		conf = conf.Clone()
		// Who offers both, such as curl, asks for /health/live: gRPC clients offer
		// HTTP/2 alone. The server's order decides (RFC 7301, section 3.2).
		conf.NextProtos = []string{"http/1.1", "h2"}
	}
	return &mux{l: l, tls: conf, rpc: newHandOver(l.Addr()), web: newHandOver(l.Addr()), fresh: make(map[net.Conn]struct{})}
}

// run accepts until the listener is closed or ctx is done.
func (m *mux) run(ctx context.Context) error {
	for delay := time.Duration(0); ; {
		c, err := m.l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = c.Close()
			}
			return nil
		}
		if ne := net.Error(nil); errors.As(err, &ne) && !errors.Is(err, net.ErrClosed) {
			delay = min(max(2*delay, 5*time.Millisecond), time.Second) // such as too many open files
			select {
			case <-time.After(delay):
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if err != nil {
			return fmt.Errorf("accept connections: %w", err)
		}
		delay = 0
		m.begin(c)
	}
}

func (m *mux) begin(c net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped {
		_ = c.Close()
		return
	}
	m.fresh[c] = struct{}{}
	m.sniffs.Go(func() {
		to, known, err := m.sniff(c)
		m.mu.Lock()
		delete(m.fresh, c)
		m.mu.Unlock()
		if err != nil || !to.give(known) {
			_ = c.Close() // a port scan, a health check, or the end
		}
	})
}

// sniff says whom a connection is for and returns it as it was.
func (m *mux) sniff(c net.Conn) (*handOver, net.Conn, error) {
	if err := c.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return nil, nil, err
	}
	inner := c
	if m.tls != nil {
		t := tls.Server(c, m.tls)
		if err := t.Handshake(); err != nil { //nolint:noctx // the deadline bounds it, and close ends it
			return nil, nil, err
		}
		inner = t
	}
	var hello [3]byte
	if _, err := io.ReadFull(inner, hello[:]); err != nil {
		return nil, nil, err
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		return nil, nil, err
	}
	known := &prefixed{Conn: inner, prefix: hello[:]}
	if string(hello[:]) == "PRI" {
		return m.rpc, known, nil
	}
	return m.web, known, nil
}

// stopAccepting closes the listener and what has not said what it wants.
func (m *mux) stopAccepting() {
	m.mu.Lock()
	m.stopped = true
	_ = m.l.Close()
	for c := range m.fresh {
		_ = c.Close()
	}
	m.mu.Unlock()
	m.sniffs.Wait()
}

func (m *mux) close() {
	_ = m.rpc.Close()
	_ = m.web.Close()
}

// A prefixed connection gives back bytes that were read from it already.
type prefixed struct {
	net.Conn
	prefix []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.prefix) == 0 {
		return p.Conn.Read(b)
	}
	n := copy(b, p.prefix)
	p.prefix = p.prefix[n:]
	return n, nil
}

// A handOver is a listener whose connections somebody else accepted.
type handOver struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandOver(addr net.Addr) *handOver {
	return &handOver{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (h *handOver) give(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.closed:
		return false
	}
}

// Accept implements [net.Listener].
func (h *handOver) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (h *handOver) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements [net.Listener].
func (h *handOver) Addr() net.Addr { return h.addr }

// ignoreClosed is for servers that may be stopped before they have begun.
func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
