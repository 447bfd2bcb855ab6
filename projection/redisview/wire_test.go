package redisview_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

// A deafConn loses what the server says once it has sent a transaction.
type deafConn struct {
	net.Conn
	deaf  *atomic.Bool // lose the reply to the next transaction
	execs *atomic.Int64
	lost  bool
}

func (c *deafConn) Write(p []byte) (int, error) {
	if n := bytes.Count(p, []byte("\r\nexec\r\n")); n > 0 {
		c.execs.Add(int64(n))
		c.lost = c.deaf.Load()
	}
	return c.Conn.Write(p)
}

func (c *deafConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.lost && err == nil {
		_ = c.Conn.Close()
		return 0, errors.New("connection reset by test")
	}
	return n, err
}

// A batch whose reply was lost was carried out. Sent again, it would be
// carried out twice, or, worse, over a connection that watches nothing.
func TestABatchWhoseReplyWasLostIsNotSentAgain(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	var deaf atomic.Bool
	var execs atomic.Int64
	rdb := redis.NewClient(&redis.Options{
		MaxRetries: 5,
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", srv.Addr())
			if err != nil {
				return nil, err
			}
			return &deafConn{Conn: conn, deaf: &deaf, execs: &execs}, nil
		},
	})
	t.Cleanup(func() { _ = rdb.Close() })
	store := redisview.New(rdb, nil)
	create(t, store)
	session := acquire(t, store)
	before := execs.Load()
	deaf.Store(true)
	require.ErrorContains(t, session.Commit(t.Context(), sized(1, 3)), "uncertain")
	require.Equal(t, before+1, execs.Load())
	require.ErrorContains(t, session.Commit(t.Context(), sized(1, 3)), "acquire another")
	require.Equal(t, before+1, execs.Load())
	deaf.Store(false)
	require.EqualValues(t, 1, requireExact(t, store, 3))
	require.EqualValues(t, 1, acquire(t, store).Checkpoint().Position)
}

// A pausedConn stops once between a transaction and what is sent with it.
type pausedConn struct {
	net.Conn
	between *atomic.Pointer[func()]
}

func (c *pausedConn) Write(p []byte) (int, error) {
	exec := []byte("\r\nexec\r\n")
	i := bytes.Index(p, exec)
	if i < 0 {
		return c.Conn.Write(p)
	}
	pause := c.between.Swap(nil)
	if pause == nil {
		return c.Conn.Write(p)
	}
	i += len(exec)
	if n, err := c.Conn.Write(p[:i]); err != nil {
		return n, err
	}
	(*pause)()
	n, err := c.Conn.Write(p[i:])
	return i + n, err
}

// Between its transaction and its next WATCH a session sees nothing: only the
// value that it reads then tells that it was overtaken.
func TestATakeOverBetweenCommitAndWatchFences(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	var between atomic.Pointer[func()]
	rdb := redis.NewClient(&redis.Options{
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", srv.Addr())
			if err != nil {
				return nil, err
			}
			return &pausedConn{Conn: conn, between: &between}, nil
		},
	})
	t.Cleanup(func() { _ = rdb.Close() })
	store, other := redisview.New(rdb, nil), redisview.New(srv.Client(t), nil)
	create(t, store)
	session := acquire(t, store)
	var newer projection.Session
	overtake := func() {
		for { // until the server has carried out the transaction
			if cks, err := other.Checkpoints(t.Context(), view, 1); err != nil || cks[0].Position == 1 {
				break
			}
		}
		newer = acquire(t, other)
	}
	between.Store(&overtake)
	require.NoError(t, session.Commit(t.Context(), sized(1, 3)), "it was written before the take-over")
	require.ErrorIs(t, session.Commit(t.Context(), sized(2, 3)), projection.ErrFenced)
	require.EqualValues(t, 1, newer.Checkpoint().Position)
	require.NoError(t, newer.Commit(t.Context(), sized(2, 3)))
	require.EqualValues(t, 2, requireExact(t, store, 3))
}

// The options of a client are normalized: no timeout is 0 then, which for a
// new client means 5 seconds.
func TestSessionsKeepTheTimeoutsOfTheirClient(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	for _, timeout := range []time.Duration{-2, -1, 0, 30 * time.Second} {
		rdb := redis.NewClient(&redis.Options{Addr: srv.Addr(), ReadTimeout: timeout, WriteTimeout: timeout})
		t.Cleanup(func() { _ = rdb.Close() })
		got := redis.NewClient(redisview.WireOptions(rdb.Options()))
		t.Cleanup(func() { _ = got.Close() })
		require.Equal(t, rdb.Options().ReadTimeout, got.Options().ReadTimeout)
		require.Equal(t, rdb.Options().WriteTimeout, got.Options().WriteTimeout)
		require.Equal(t, 0, got.Options().MaxRetries)
	}
}

func TestSessionsWorkOverASocketAndWithRESP2(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	for _, o := range []*redis.Options{{Addr: srv.Socket()}, {Addr: srv.Addr(), Protocol: 2}, {Addr: srv.Addr(), DB: 3}} {
		rdb := redis.NewClient(o)
		t.Cleanup(func() { _ = rdb.Close() })
		store := redisview.New(rdb, &redisview.Options{Prefix: t.Name() + o.Addr + string(rune('0'+o.Protocol))})
		create(t, store)
		require.NoError(t, acquire(t, store).Commit(t.Context(), sized(1, 3)))
		require.EqualValues(t, 1, requireExact(t, store, 3))
		require.NoError(t, store.Activate(t.Context(), view, 1))
		top, err := store.Top(t.Context(), view, "counts", 1)
		require.NoError(t, err)
		require.Equal(t, []projection.Count{{Key: "c", Value: 1}}, top)
	}
}
