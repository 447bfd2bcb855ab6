package redisview

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/projection"
)

// ClientCacheOptions configure a [ClientCache]. The zero value is ready to use.
type ClientCacheOptions struct {
	// MaxDocuments is how many documents are kept, those that are known to be
	// missing counted; 10,000 by default.
	MaxDocuments int
	// MaxBytes is how many bytes they may have together with their keys in
	// Redis and 128 bytes for each; 64 MiB by default.
	MaxBytes int64
	// MaxStaleness is how old what is read from memory may be in the worst
	// case, that of a connection which is dead without anybody noticing; 3 s by
	// default. As a rule it is as old as a message from Redis takes.
	MaxStaleness time.Duration
	// Logger tells of connections that were lost; default none.
	Logger *slog.Logger
}

// A ClientCache keeps documents that are read often in the memory of the
// reading process, so that a read of one is no round trip. It is for
// collections with PerKey, see [CollectionOptions]; several may share it. It
// works while Run runs; otherwise all reads go to Redis. It is safe for
// concurrent use.
//
// Redis tells of every change of what was read (CLIENT TRACKING), over the same
// connection over which the cache reads. So all that is read and all news of
// changes come in the order in which they happened in Redis, and:
//
//   - Nobody sees an older document after a newer one, of those that are read
//     through the same cache. (Uncached reads of the same documents do not count;
//     nor does what a fail-over of Redis has lost.)
//   - A read after a position, or one of a watched query, never gets less than
//     it asks for: it goes to Redis.
//   - A read sees one version of the view, and never a document that has expired.
//   - What is read from memory is as old as a message from Redis takes, and
//     never older than MaxStaleness.
type ClientCache struct {
	rdb     *redis.Client
	err     error // why the client cannot be used
	opts    ClientCacheOptions
	running atomic.Bool
	counts  struct{ hits, misses, bypassed, news atomic.Int64 }

	mu    sync.RWMutex
	link  *link // nil: read from Redis, over any connection
	links int64 // how many there were
	kept  kept
}

const (
	defaultMaxDocuments = 10_000
	defaultMaxBytes     = 64 << 20
	defaultMaxStaleness = 3 * time.Second
	minMaxStaleness     = 10 * time.Millisecond
)

// NewClientCache returns a cache for collections that are read with rdb, which
// must be a *[redis.Client]: one of a Redis Cluster, whose slots move from
// connection to connection, is refused by every read and by Run. A nil opts
// means the defaults.
func NewClientCache(rdb redis.UniversalClient, opts *ClientCacheOptions) *ClientCache {
	c := &ClientCache{}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.MaxDocuments <= 0 {
		c.opts.MaxDocuments = defaultMaxDocuments
	}
	if c.opts.MaxBytes <= 0 {
		c.opts.MaxBytes = defaultMaxBytes
	}
	if c.opts.MaxStaleness <= 0 {
		c.opts.MaxStaleness = defaultMaxStaleness
	}
	c.opts.MaxStaleness = max(c.opts.MaxStaleness, minMaxStaleness)
	if c.opts.Logger == nil {
		c.opts.Logger = slog.New(slog.DiscardHandler)
	}
	c.kept.init(c.opts.MaxDocuments, c.opts.MaxBytes)
	single, ok := rdb.(*redis.Client)
	if !ok || single == nil {
		c.err = fmt.Errorf("redisview: a client cache cannot use a client of type %T: pass a *redis.Client, or read without a client cache", rdb)
		return c
	}
	c.rdb = single
	return c
}

var (
	errCacheNeedsPerKey = errors.New("redisview: a client cache needs PerKey: documents that share a hash with their partition change with every other one; set PerKey or leave out ClientCache")
	errCacheOfOther     = errors.New("redisview: the client cache belongs to another Redis client than the collection; give both the same")
)

// attachTo has s read through the cache.
func (c *ClientCache) attachTo(s *Store, perKey bool) error {
	switch {
	case c.err != nil:
		return c.err
	case !perKey:
		return errCacheNeedsPerKey
	case s.rdb != redis.UniversalClient(c.rdb):
		return errCacheOfOther
	}
	s.cache = c
	return nil
}

// ClientCacheStats are what a [ClientCache] has done so far.
type ClientCacheStats struct {
	// Documents that were asked for: answered from memory, asked of Redis, and
	// asked of Redis because Run did not run or had no connection.
	Hits, Misses, Bypassed int64
	// Invalidations is how many changes Redis has told of.
	Invalidations int64
	// Evictions is how many documents had to go for others.
	Evictions int64
	// Documents and Bytes are what is kept now; see [ClientCacheOptions].
	Documents int
	Bytes     int64
	// Connections is how many there were, and Connected whether there is one.
	Connections int64
	Connected   bool
}

// Stats returns what the cache has done so far.
func (c *ClientCache) Stats() ClientCacheStats {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return ClientCacheStats{
		Hits: c.counts.hits.Load(), Misses: c.counts.misses.Load(), Bypassed: c.counts.bypassed.Load(),
		Invalidations: c.counts.news.Load(), Evictions: c.kept.evictions,
		Documents: len(c.kept.docs), Bytes: c.kept.bytes,
		Connections: c.links, Connected: c.link != nil,
	}
}

// Run connects to Redis, again whenever the connection is lost, until ctx is
// done, and returns nil then. While there is no connection nothing is kept. It
// returns an error when Redis refuses for good, such as a user without the
// right to CLIENT TRACKING, and [projection.ErrRunning] if it runs already.
func (c *ClientCache) Run(ctx context.Context) error {
	if c.err != nil {
		return c.err
	}
	if !c.running.CompareAndSwap(false, true) {
		return fmt.Errorf("redisview: client cache: %w", projection.ErrRunning)
	}
	defer c.running.Store(false)
	backoff := minBackoff
	for ctx.Err() == nil {
		began := c.lastLink()
		err := c.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if forGood(err) {
			return fmt.Errorf("redisview: client cache: %w", err)
		}
		c.opts.Logger.Warn("the connection of a client cache was lost, documents are read from Redis", "error", err)
		if c.lastLink() != began {
			backoff = minBackoff
		}
		timer := time.NewTimer(backoff)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		backoff = min(2*backoff, maxBackoff)
	}
	return nil
}

const (
	minBackoff = 20 * time.Millisecond
	maxBackoff = 2 * time.Second
)

func (c *ClientCache) lastLink() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.links
}
