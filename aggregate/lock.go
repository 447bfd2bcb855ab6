package aggregate

import (
	"context"
	"sync"
)

// keyedLock lets one holder at a time have each key, in the order of asking.
// The zero value is ready to use.
type keyedLock struct {
	mu   sync.Mutex
	held map[string]*turn
}

// turn is a lock that somebody holds or waits for. Waiting senders of a
// channel are served in order, which makes it fair.
type turn struct {
	ch    chan struct{} // full while held
	users int           // holder and waiters; guarded by keyedLock.mu
}

// lock waits until the key is free or ctx is done.
func (l *keyedLock) lock(ctx context.Context, key string) (unlock func(), err error) {
	l.mu.Lock()
	t := l.held[key]
	if t == nil {
		t = &turn{ch: make(chan struct{}, 1)}
		if l.held == nil {
			l.held = make(map[string]*turn)
		}
		l.held[key] = t
	}
	t.users++
	l.mu.Unlock()

	select {
	case t.ch <- struct{}{}:
		return func() {
			<-t.ch
			l.leave(key, t)
		}, nil
	case <-ctx.Done():
		l.leave(key, t)
		return nil, ctx.Err()
	}
}

func (l *keyedLock) leave(key string, t *turn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(l.held, key)
	}
}
