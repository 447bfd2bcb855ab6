package redisview

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// A peer is the other end of a link. It answers with bytes that a test chooses,
// also such as no Redis sends at will.
type peer struct {
	l    *link
	conn net.Conn
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{})
	t.Cleanup(func() { _ = rdb.Close() })
	c := NewClientCache(rdb, nil)
	near, far := net.Pipe()
	l := newLink(c, near)
	now := time.Now()
	l.fresh.Store(&now)
	c.attach(l)
	var wg sync.WaitGroup
	wg.Go(func() { l.write(t.Context()) })
	wg.Go(func() { l.fail(l.read()) })
	t.Cleanup(func() {
		_ = far.Close()
		wg.Wait()
		c.detach()
		_ = l.end()
	})
	return &peer{l, far}
}

// answer answers the next request, whatever it is.
func (p *peer) answer(text string) {
	if _, err := p.conn.Read(make([]byte, 4096)); err == nil {
		_, _ = p.conn.Write([]byte(text)) // it may end in the middle
	}
}

// ask sends a request for one document and answers it.
func (p *peer) ask(t *testing.T, key, answer string) {
	t.Helper()
	q := &request{pointerKey: "active", p: &pointer{text: "1:1:0"}, keys: []string{key}}
	go p.answer(answer)
	_, err := p.l.do(t.Context(), q, true)
	require.NoError(t, err)
	require.Equal(t, "v", string(q.docs[0]))
}

func (p *peer) keeps() []string {
	p.l.c.mu.RLock()
	defer p.l.c.mu.RUnlock()
	var keys []string
	for key := range p.l.c.kept.docs {
		keys = append(keys, key)
	}
	return keys
}

const (
	news  = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\n"
	begin = "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n"
	exec  = "*3\r\n*1\r\n$1\r\nv\r\n:-1\r\n$5\r\n1:1:0\r\n"
)

// A server may tell of a change before an answer, between its parts and, as
// Redis 6 does it for documents that expire, within one.
func TestWhatChangesBeforeAnAnswerIsWholeIsNotKept(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.ask(t, "a", begin+exec)
	p.ask(t, "b", begin+exec)
	require.ElementsMatch(t, []string{"a", "b"}, p.keeps())
	p.ask(t, "c", news+"a\r\n"+begin+exec)
	require.ElementsMatch(t, []string{"b", "c"}, p.keeps())
	p.ask(t, "d", "+OK\r\n"+news+"b\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n"+news+"d\r\n"+exec)
	require.ElementsMatch(t, []string{"c"}, p.keeps())
	p.ask(t, "e", begin+"*3\r\n*1\r\n"+news+"e\r\n"+"$1\r\nv\r\n:-1\r\n$5\r\n1:1:0\r\n")
	require.ElementsMatch(t, []string{"c"}, p.keeps())
	p.ask(t, "f", ">2\r\n$10\r\ninvalidate\r\n_\r\n"+begin+exec)
	require.ElementsMatch(t, []string{"f"}, p.keeps(), "the others were flushed")
	p.ask(t, "g", begin+"*3\r\n*1\r\n$1\r\nv\r\n:-1\r\n$5\r\n2:1:0\r\n")
	require.ElementsMatch(t, []string{"f"}, p.keeps(), "it is of a version that is not active")
	p.ask(t, "h", begin+"*3\r\n*1\r\n$1\r\nv\r\n:-2\r\n$5\r\n1:1:0\r\n")
	p.ask(t, "i", begin+"*3\r\n*1\r\n$1\r\nv\r\n:1\r\n$5\r\n1:1:0\r\n")
	require.ElementsMatch(t, []string{"f"}, p.keeps(), "they have expired")
}

// What is not understood ends the link, so that nothing is answered wrongly.
func TestALinkEndsWhenAnAnswerIsStrange(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		"-ERR no\r\n", "+OK\r\n-NOPERM no\r\n", begin + "-EXECABORT no\r\n", begin + "*-1\r\n", begin + "*2\r\n*1\r\n$1\r\nv\r\n:-1\r\n",
		begin + "*3\r\n*2\r\n$1\r\nv\r\n$1\r\nw\r\n:-1\r\n$5\r\n1:1:0\r\n", begin + "*3\r\n*1\r\n$1\r\nv\r\n+x\r\n$5\r\n1:1:0\r\n",
		begin + "*3\r\n*1\r\n$1\r\nv\r\n:-1\r\n-WRONGTYPE no\r\n", "\x00\r\n",
	} {
		p := newPeer(t)
		q := &request{pointerKey: "active", p: &pointer{text: "1:1:0"}, keys: []string{"a"}}
		go p.answer(answer)
		p.l.mu.Lock()
		p.l.send(q)
		p.l.mu.Unlock()
		require.Eventually(t, func() bool {
			p.l.mu.Lock()
			defer p.l.mu.Unlock()
			return p.l.err != nil
		}, 10*time.Second, time.Millisecond, "%q", answer)
		require.Empty(t, p.keeps())
	}
}
