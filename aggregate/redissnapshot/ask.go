package redissnapshot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// ask calls Redis, unless that is paused, for as long as Options.Timeout. By
// default a client waits for its sockets whatever its context says, so the call
// has a goroutine of its own, which ends with the client's own limits.
func ask[T any](ctx context.Context, s *Store, call func(context.Context) (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	if !s.enter() {
		return none, ErrPaused
	}
	type answer struct {
		value T
		err   error
	}
	limited, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	answers := make(chan answer, 1)
	go func() {
		v, err := call(limited)
		answers <- answer{v, err}
	}()
	var a answer
	select {
	case a = <-answers:
	case <-limited.Done():
		a.err = fmt.Errorf("no answer within %v: %w", s.opts.Timeout, limited.Err())
	}
	if err := ctx.Err(); err != nil && a.err != nil {
		return none, err // the caller's own limit says nothing about Redis
	}
	s.leave(a.err)
	return a.value, a.err
}

// enter reports whether Redis may be asked. Of those who come after a pause one
// may, and the others wait until that has worked.
func (s *Store) enter() bool {
	until := s.until.Load()
	if until == 0 {
		return true
	}
	now := time.Since(s.began)
	return int64(now) >= until && s.until.CompareAndSwap(until, int64(now+s.opts.Pause))
}

// leave begins a pause if Redis did not answer. An error that it answered with
// is an answer.
func (s *Store) leave(err error) {
	var answered redis.Error
	if err == nil || errors.As(err, &answered) {
		s.until.Store(0)
		return
	}
	s.until.Store(int64(time.Since(s.began) + s.opts.Pause))
}
