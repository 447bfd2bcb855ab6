// Package backoff waits between attempts that collided.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Longest is what no wait exceeds.
const Longest = 100 * time.Millisecond

// Wait waits before the nth repetition, of which the first is 0: a random part
// of base, doubled with each repetition, up to [Longest]. It returns the
// context's error when that is done first.
func Wait(ctx context.Context, base time.Duration, n int) error {
	t := time.NewTimer(rand.N(min(base<<min(n, 10), Longest) + 1))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
