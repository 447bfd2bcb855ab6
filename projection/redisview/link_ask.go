package redisview

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// do sends a request, waits for the answer and returns q; errLinkLost means that
// there is none, and that the cache has another link or none by now. Unless it
// is to be alone, a request for the same document that is under way may be
// returned instead: nothing that anybody has seen yet is newer than its answer.
func (l *link) do(ctx context.Context, q *request, alone bool) (*request, error) {
	if len(q.keys) != 1 {
		alone = true
	}
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return nil, errLinkLost
	}
	if other := l.joinable(q, alone); other != nil {
		q = other
	} else {
		l.send(q)
		if !alone {
			l.flights[q.keys[0]] = q
		}
	}
	l.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-q.done:
	}
	return q, q.err
}

func (l *link) joinable(q *request, alone bool) *request {
	if alone {
		return nil
	}
	if other := l.flights[q.keys[0]]; other != nil && other.p.text == q.p.text {
		return other
	}
	return nil
}

// send has q written. The lock is held.
func (l *link) send(q *request) {
	q.done = make(chan struct{})
	q.sent = time.Now()
	l.out = q.append(l.out)
	l.pending = append(l.pending, q)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// write writes what is to be sent, all that has come together at once.
func (l *link) write(ctx context.Context) {
	var b []byte
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		l.mu.Lock()
		b, l.out = l.out, b[:0]
		l.mu.Unlock()
		if _, err := l.conn.Write(b); err != nil {
			l.fail(err)
			return
		}
		if cap(b) > maxSpare {
			b = nil
		}
	}
}

const maxSpare = 1 << 20 // bytes of a buffer that is used again

// watch asks from time to time whether Redis is there, and ends the link if it
// is not: then its news does not come either.
func (l *link) watch(ctx context.Context, patience time.Duration) {
	tick := time.NewTicker(patience / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			l.mu.Lock()
			silent := len(l.pending) > 0 && now.Sub(l.pending[0].sent) > patience
			if len(l.pending) == 0 {
				l.send(&request{probe: true})
			}
			l.mu.Unlock()
			if silent {
				l.fail(errSilent)
				return
			}
		}
	}
}

// sentinelAddr is what go-redis has for an address when it asks Sentinels for it.
const sentinelAddr = "FailoverClient"

// stay ends the link when new connections go to another server: one that is cut
// off from its Sentinels does not know that it is no longer the master.
func (l *link) stay(ctx context.Context, o *redis.Options, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		conn, err := o.Dialer(ctx, o.Network, o.Addr)
		if err != nil {
			continue
		}
		now := conn.RemoteAddr().String()
		_ = conn.Close()
		if now != l.conn.RemoteAddr().String() {
			l.fail(errDemoted)
			return
		}
	}
}
