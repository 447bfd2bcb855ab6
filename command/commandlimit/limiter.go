// Package commandlimit holds commands to a rate, see [command.Limit]. It is a
// token bucket for each key on golang.org/x/time/rate, in bounded memory.
package commandlimit

import (
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/foldstream/foldstream/command"
)

// Options configure a [Limiter]. The zero value is ready to use.
type Options struct {
	// Burst is how many commands of a key may come at once; default as many as
	// in one period.
	Burst int
	// MaxKeys is how many keys are kept; default 10000, about 2 MB. Beyond that
	// the key that was not seen for longest is forgotten, and begins anew.
	MaxKeys int
}

// A Limiter lets through so many commands of each key in a period. It is safe
// for concurrent use, and limits this process only.
type Limiter struct {
	rate  rate.Limit
	burst int
	keys  *lru.Cache[string, *rate.Limiter]
}

var _ command.Limiter = (*Limiter)(nil)

// New returns a limiter that lets through n commands of each key in a period, on
// average. A nil opts means the defaults. It panics if n or per is not positive.
func New(n int, per time.Duration, opts *Options) *Limiter {
	if n <= 0 || per <= 0 {
		panic(fmt.Sprintf("commandlimit: %d per %v: both must be positive", n, per))
	}
	o := Options{Burst: n, MaxKeys: 10_000}
	if opts != nil && opts.Burst > 0 {
		o.Burst = opts.Burst
	}
	if opts != nil && opts.MaxKeys > 0 {
		o.MaxKeys = opts.MaxKeys
	}
	keys, err := lru.New[string, *rate.Limiter](o.MaxKeys)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &Limiter{rate: rate.Limit(float64(n) / per.Seconds()), burst: o.Burst, keys: keys}
}

// Take implements [command.Limiter].
func (l *Limiter) Take(key string) (retryAfter time.Duration, ok bool) {
	bucket := l.bucket(key)
	now := time.Now()
	if bucket.AllowN(now, 1) {
		return 0, true
	}
	// Not by a reservation that is canceled: those of many callers at once are
	// not given back in full.
	lacks := max(0, 1-bucket.TokensAt(now))
	return time.Duration(lacks / float64(l.rate) * float64(time.Second)), false
}

func (l *Limiter) bucket(key string) *rate.Limiter {
	if b, ok := l.keys.Get(key); ok {
		return b
	}
	b := rate.NewLimiter(l.rate, l.burst)
	if first, ok, _ := l.keys.PeekOrAdd(key, b); ok {
		return first // another caller was faster
	}
	return b
}
