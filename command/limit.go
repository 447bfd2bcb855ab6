package command

import (
	"context"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// A Limiter holds something to a rate. It is safe for concurrent use. Package
// commandlimit has one.
type Limiter interface {
	// Take takes one from what key may have now. If there is nothing left it
	// takes nothing, and returns after how long there will be.
	Take(key string) (retryAfter time.Duration, ok bool)
}

// Limit refuses commands above the rate of l with a [*LimitedError]. All
// commands with the same key share a rate: [TenantOf], [ActorOf], or a function
// of your own, which must not fail; nil means one rate for all. A rate for one
// command type is For[C](Limit(…)).
func Limit(l Limiter, key func(ctx context.Context, cmd any) string) Middleware {
	return func(route Route, next Handler) Handler {
		return func(ctx context.Context, cmd any) (eventstore.Receipt, error) {
			whose := ""
			if key != nil {
				whose = key(ctx, cmd)
			}
			if after, ok := l.Take(whose); !ok {
				return eventstore.Receipt{}, &LimitedError{Command: route.Name, Key: whose, RetryAfter: after}
			}
			return next(ctx, cmd)
		}
	}
}
