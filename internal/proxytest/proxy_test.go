package proxytest_test

import (
	"bufio"
	"bytes"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/proxytest"
)

// An echo answers each line with the same line, and keeps what it was sent.
type echo struct {
	addr string
	mu   sync.Mutex
	got  bytes.Buffer
}

func startEcho(t *testing.T) *echo {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	e := &echo{addr: l.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { e.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return e
}

func (e *echo) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	buf := make([]byte, 1024)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		e.mu.Lock()
		e.got.Write(buf[:n])
		e.mu.Unlock()
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (e *echo) heard() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.got.String()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	return c
}

func ask(c net.Conn, line string) (string, error) {
	if _, err := c.Write([]byte(line + "\n")); err != nil {
		return "", err
	}
	return bufio.NewReader(c).ReadString('\n')
}

func TestWithoutFaultsEverythingGetsThrough(t *testing.T) {
	t.Parallel()
	p := proxytest.Start(t, startEcho(t).addr)
	p.Trickle(true)
	p.Delay(time.Millisecond)
	long := string(bytes.Repeat([]byte("x"), 350))
	got, err := ask(dial(t, p.Addr()), long)
	require.NoError(t, err)
	require.Equal(t, long+"\n", got)
	// The proxy counts a piece after it has written it, the client may read it before.
	require.Eventually(t, func() bool { return p.Delivered() == 351 }, 20*time.Second, time.Millisecond)
	require.EqualValues(t, 1, p.Accepted())
}

func TestFaultsAtARequest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault proxytest.Fault
		heard string
	}{
		"LoseRequest": {proxytest.LoseRequest, "one\n"},
		"LoseHalf":    {proxytest.LoseHalf, "one\nfau"},
		"LoseAnswer":  {proxytest.LoseAnswer, "one\nfault\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := startEcho(t)
			p := proxytest.Start(t, e.addr)
			p.At(func(request []byte) proxytest.Fault {
				if bytes.Contains(request, []byte("fault")) {
					return c.fault
				}
				return proxytest.None
			})
			conn := dial(t, p.Addr())
			got, err := ask(conn, "one")
			require.NoError(t, err)
			require.Equal(t, "one\n", got)
			_, err = ask(conn, "fault")
			require.Error(t, err)
			require.Eventually(t, func() bool { return e.heard() == c.heard }, 20*time.Second, time.Millisecond, "%q", e.heard())
			p.At(nil)
			_, err = ask(dial(t, p.Addr()), "fault")
			require.NoError(t, err)
		})
	}
}

func TestPointLeadsElsewhere(t *testing.T) {
	t.Parallel()
	a, b := startEcho(t), startEcho(t)
	p := proxytest.Start(t, a.addr)
	conn := dial(t, p.Addr())
	_, err := ask(conn, "a")
	require.NoError(t, err)
	p.Point("")
	_, err = ask(conn, "lost")
	require.Error(t, err)
	_, err = ask(dial(t, p.Addr()), "lost")
	require.Error(t, err)
	p.Point(b.addr)
	_, err = ask(dial(t, p.Addr()), "b")
	require.NoError(t, err)
	require.Equal(t, "a\n", a.heard())
	require.Equal(t, "b\n", b.heard())
}

func TestSwallowedAnswersDoNotCome(t *testing.T) {
	t.Parallel()
	e := startEcho(t)
	p := proxytest.Start(t, e.addr)
	p.Swallow(true)
	conn := dial(t, p.Addr())
	_, err := conn.Write([]byte("x\n"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return e.heard() == "x\n" }, 20*time.Second, time.Millisecond)
	p.Cut()
	_, err = bufio.NewReader(conn).ReadString('\n')
	require.Error(t, err)
	require.Zero(t, p.Delivered())
}
