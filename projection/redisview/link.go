package redisview

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// A link is the connection of a [ClientCache]. One goroutine takes what comes
// over it, answers and news of changes, strictly one after the other: what is
// kept always is what Redis held at one moment, and moments follow each other.
type link struct {
	c     *ClientCache
	conn  net.Conn
	in    respReader
	late  []string // keys that were told of in the middle of an answer; "" is all of them
	deep  bool     // in the middle of an answer
	fresh atomic.Pointer[time.Time]

	mu      sync.Mutex
	err     error // why it ends
	ended   bool
	out     []byte              // to be written
	wake    chan struct{}       // has one if there is something in out
	pending []*request          // sent, in order, without an answer
	flights map[string]*request // those that others may join, by their only key
}

var (
	errLinkLost = errors.New("the connection of the client cache was lost")
	errSilent   = errors.New("the server does not answer")
	errDemoted  = errors.New("the server is no longer the master")
)

// forGood reports whether connecting again cannot help.
func forGood(err error) bool {
	var refused redis.Error
	if !errors.As(err, &refused) {
		return false
	}
	code, text, _ := strings.Cut(refused.Error(), " ")
	return code == "NOPERM" || code == "NOPROTO" || code == "ERR" && !strings.HasPrefix(text, "max number of clients")
}

// follow makes a link and keeps it until it breaks or ctx is done.
func (c *ClientCache) follow(ctx context.Context) error {
	conn, release, err := dialRaw(ctx, c.rdb.Options())
	if err != nil {
		return err
	}
	defer release()
	l := newLink(c, conn)
	defer afterFunc(ctx, func() { l.fail(ctx.Err()) })()
	if err := l.track(); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { l.write(work) })
	wg.Go(func() { l.watch(work, c.opts.MaxStaleness) })
	if o := c.rdb.Options(); o.Addr == sentinelAddr {
		wg.Go(func() { l.stay(work, o, c.opts.MaxStaleness) })
	}
	c.attach(l)
	err = l.read()
	l.fail(err)
	c.detach()
	return l.end()
}

func newLink(c *ClientCache, conn net.Conn) *link {
	l := &link{c: c, conn: conn, wake: make(chan struct{}, 1), flights: make(map[string]*request)}
	l.in = respReader{r: bufio.NewReaderSize(conn, 64<<10), pushed: l.news}
	return l
}

// afterFunc is [context.AfterFunc], but for what it returns: that waits for f if
// f has begun.
func afterFunc(ctx context.Context, f func()) (stop func()) {
	done := make(chan struct{})
	keep := context.AfterFunc(ctx, func() {
		defer close(done)
		f()
	})
	return func() {
		if !keep() {
			<-done
		}
	}
}

const (
	connectTimeout = 5 * time.Second
	// probe is a command that every user may use.
	probe = "HELLO"
)

// dialRaw makes a connection with all that go-redis does when it makes one, and
// returns it to be used without go-redis.
func dialRaw(ctx context.Context, user *redis.Options) (net.Conn, func(), error) {
	o := wireOptions(user)
	o.Protocol = 3
	var raw net.Conn
	dial := o.Dialer
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		raw = conn
		return conn, err
	}
	client := redis.NewClient(o)
	release := func() { _ = client.Close() }
	defer afterFunc(ctx, release)()
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := client.Conn().Do(ctx, probe).Err(); err != nil {
		release()
		return nil, nil, err
	}
	return raw, release, nil
}

// track has Redis tell of changes. That it speaks RESP3 is made sure of: in
// RESP2 it would agree and never tell.
func (l *link) track() error {
	began := time.Now()
	l.fresh.Store(&began)
	if err := l.conn.SetDeadline(began.Add(connectTimeout)); err != nil {
		return err
	}
	b := appendCommand(nil, probe, "3")
	if _, err := l.conn.Write(appendCommand(b, "CLIENT", "TRACKING", "ON")); err != nil {
		return err
	}
	for _, kind := range []byte{'%', '+'} {
		v, err := l.in.next()
		if err == nil {
			err = v.refusal()
		}
		if err == nil && v.kind != kind {
			err = errProtocol
		}
		if err != nil {
			return err
		}
	}
	return l.conn.SetDeadline(time.Time{})
}

func (c *ClientCache) attach(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link = l
	c.links++
}

// detach forgets everything, before anybody is told that the link has ended.
func (c *ClientCache) detach() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link = nil
	c.kept.clear()
}

// fail has the link end. The first reason counts.
func (l *link) fail(err error) {
	l.mu.Lock()
	if l.err == nil {
		l.err = err
	}
	l.mu.Unlock()
	_ = l.conn.Close() // which wakes the goroutines that use it
}

// end tells everybody who waits, and returns why the link has ended.
func (l *link) end() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for _, q := range l.pending {
		q.err = errLinkLost
		close(q.done)
	}
	l.pending, l.flights = nil, nil
	return l.err
}
