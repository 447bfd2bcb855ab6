package proxytest

import (
	"net"
	"sync/atomic"
	"time"
)

// pieceSize is what comes at once of an answer that trickles.
const pieceSize = 100

// A link is one client's connection.
type link struct {
	p              *Proxy
	client, server net.Conn
	losing         atomic.Bool // the next answer is dropped and the connection cut
}

func (l *link) close() {
	_ = l.client.Close()
	_ = l.server.Close()
}

// requests hands on what the client says until one side ends.
func (l *link) requests() {
	defer l.close()
	buf := make([]byte, 1<<20) // a request is to come whole
	for {
		n, err := l.client.Read(buf)
		if n > 0 && !l.request(buf[:n]) {
			return
		}
		if err != nil {
			return
		}
	}
}

// request hands on one request and reports whether the connection lives on.
func (l *link) request(r []byte) bool {
	fault := None
	if choose := l.p.fault.Load(); choose != nil {
		fault = (*choose)(r)
	}
	switch fault {
	case LoseRequest:
		return false
	case LoseHalf:
		_, _ = l.server.Write(r[:len(r)/2]) // it is cut anyway
		return false
	case LoseAnswer:
		l.losing.Store(true)
	case None:
	}
	_, err := l.server.Write(r)
	return err == nil
}

// answers hands on what the server says until one side ends.
func (l *link) answers() {
	defer l.close()
	buf := make([]byte, 64<<10)
	for {
		n, err := l.server.Read(buf)
		if n > 0 && (l.losing.Load() || !l.answer(buf[:n])) {
			return
		}
		if err != nil {
			return
		}
	}
}

func (l *link) answer(a []byte) bool {
	if d := l.p.delay.Load(); d > 0 {
		time.Sleep(time.Duration(d))
	}
	for len(a) > 0 && !l.p.swallow.Load() {
		piece := a
		if l.p.trickle.Load() {
			piece = a[:min(len(a), pieceSize)]
			time.Sleep(time.Millisecond)
		}
		n, err := l.client.Write(piece)
		l.p.delivered.Add(int64(n))
		if err != nil {
			return false
		}
		a = a[len(piece):]
	}
	return true
}
