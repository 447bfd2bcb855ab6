package esdbstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// patience is how a call waits between tries. It is not for concurrent use.
type patience struct {
	op    string
	limit time.Duration // since the start or the last progress; 0 means for ever
	since time.Time
	tries int
}

// patience returns that of one call.
func (s *Store) patience(op string) *patience {
	return &patience{op: op, limit: s.opts.RetryFor, since: time.Now()}
}

// progress starts the patience anew.
func (p *patience) progress() {
	if p.tries > 0 {
		p.tries, p.since = 0, time.Now()
	}
}

// backoff returns the wait before try n+1, n from 1: at random between half
// and the whole of a delay that doubles each time.
func backoff(lowest, highest time.Duration, n int, random float64) time.Duration {
	d := highest
	if n < 40 {
		if shifted := lowest << (n - 1); shifted > 0 && shifted < highest {
			d = shifted
		}
	}
	return d/2 + time.Duration(random*float64(d)/2)
}

// pause waits before the next try after cause, and returns the error of the
// call when there will be none.
func (s *Store) pause(ctx context.Context, p *patience, cause error) error {
	if errors.Is(cause, errRetired) {
		return s.ready(ctx) // another one is there, or will be searched for
	}
	if p.tries == 0 {
		p.since = later(p.since, time.Now().Add(-p.limit/2)) // a call that took long has a second chance
	}
	p.tries++
	wait := backoff(s.opts.MinBackoff, s.opts.MaxBackoff, p.tries, rand.Float64())
	if p.limit != 0 {
		left := p.limit - time.Since(p.since)
		if left <= 0 {
			return &eventstore.UnavailableError{Op: p.op, Err: cause}
		}
		wait = min(wait, left)
	}
	var found <-chan struct{}
	if e := (*searchError)(nil); errors.As(cause, &e) {
		found = s.sup.nextFound() // somebody else's search may succeed first
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return s.ready(ctx)
	case <-found:
		return nil
	case <-s.sup.closing:
		return eventstore.ErrClosed
	case <-ctx.Done():
		return &eventstore.UnavailableError{Op: p.op, Err: fmt.Errorf("%w, after: %w", ctx.Err(), cause)}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
