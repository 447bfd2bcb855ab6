package esdbstore_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// The official client, left alone, is dead for ever after a second, see
// section 4.1 of the protocol's description.
func TestOutageLongerThanTheClientLives(t *testing.T) {
	t.Parallel()
	srv := newServer(t, nil, nil)
	s := srv.open(nil)
	ctx := soon(t)
	_, err := s.Append(ctx, "a-1", eventstore.NoStream, events(2)...)
	require.NoError(t, err)

	srv.down()
	type result struct {
		receipt eventstore.Receipt
		err     error
	}
	written := make(chan result, 1)
	go func() {
		r, err := s.Append(ctx, "a-1", eventstore.Exact(2), event("late"))
		written <- result{r, err}
	}()
	time.Sleep(1300 * time.Millisecond) // the outage itself
	srv.up()
	r := <-written
	require.NoError(t, r.err)
	assert.EqualValues(t, 3, r.receipt.Version)
	assert.False(t, r.receipt.Repeated)
	assert.Equal(t, span(1, 3), versions(t, s, "a-1"))
}

// Not parallel, because it counts goroutines.
func TestOutagesLeaveNothingBehind(t *testing.T) {
	srv := newServer(t, nil, nil)
	s := srv.open(nil)
	ctx := soon(t)
	use := func() {
		_, err := s.Append(ctx, "a-1", eventstore.Any, event("x"))
		for errors.Is(err, eventstore.ErrUnavailable) {
			_, err = s.Append(ctx, "a-1", eventstore.Any, event("x"))
		}
		require.NoError(t, err)
	}
	use()
	before := runtime.NumGoroutine()
	for range 10 {
		var callers sync.WaitGroup
		busy, rest := context.WithCancel(ctx)
		for i := range 40 { // before, during and after
			callers.Go(func() {
				for busy.Err() == nil {
					short, cancel := context.WithTimeout(busy, 30*time.Millisecond)
					if i%2 == 0 {
						_, _ = s.Head(short)
					} else {
						_, _ = s.Append(short, fmt.Sprint("b-", i), eventstore.Any, events(3)...)
					}
					cancel()
				}
			})
		}
		time.Sleep(5 * time.Millisecond) // callers at work
		srv.down()
		time.Sleep(30 * time.Millisecond) // the outage itself
		srv.up()
		use()
		rest()
		callers.Wait()
	}
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond) // require.Eventually has goroutines of its own
	}
	assert.LessOrEqual(t, runtime.NumGoroutine(), before, "goroutines must return to what they were")
}

// lastError exhausts a sequence.
func lastError[T any](seq iter.Seq2[T, error]) (last error) {
	for _, err := range seq {
		last = err
	}
	return last
}

func TestCallersReturnInTimeDuringAnOutage(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(t *testing.T, srv *server) string{
		"refused": func(_ *testing.T, srv *server) string {
			srv.down()
			return srv.url()
		},
		"silent": func(t *testing.T, _ *server) string { // takes connections and says nothing
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, l.Close()) })
			return "esdb://" + l.Addr().String() + "?tls=false&gossipTimeout=1"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, away(t, newServer(t, nil, nil)), nil)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			start := time.Now()
			var callers sync.WaitGroup
			for i := range 50 {
				callers.Go(func() {
					var err error
					switch i % 4 {
					case 0:
						_, err = s.Append(ctx, "a-1", eventstore.NoStream, event("x"))
					case 1:
						_, err = s.Head(ctx)
					case 2:
						err = lastError(s.Read(ctx, "a-1", eventstore.ReadOptions{}))
					case 3:
						err = lastError(s.SubscribeAll(ctx, eventstore.SubscribeAllOptions{}))
					}
					assert.ErrorIs(t, err, context.DeadlineExceeded)
					var u *eventstore.UnavailableError
					if errors.As(err, &u) {
						assert.False(t, u.Uncertain, "nothing was sent")
					}
				})
			}
			callers.Wait()
			assert.Less(t, time.Since(start), 2*time.Second)
		})
	}
}

func TestCallsGiveUpWhenToldTo(t *testing.T) {
	t.Parallel()
	srv := newServer(t, nil, nil)
	srv.down()
	for name, d := range map[string]time.Duration{"once": -1, "for a while": 100 * time.Millisecond} {
		s := srv.open(&esdbstore.Options{RetryFor: d})
		start := time.Now()
		_, err := s.Append(soon(t), "a-1", eventstore.NoStream, event("x"))
		var u *eventstore.UnavailableError
		require.ErrorAs(t, err, &u, name)
		assert.False(t, u.Uncertain, name)
		assert.Less(t, time.Since(start), 5*time.Second, name)
		for _, err := range s.Read(soon(t), "a-1", eventstore.ReadOptions{}) {
			require.ErrorIs(t, err, eventstore.ErrUnavailable, name)
		}
	}
}

func TestConnectionCutMidAppend(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		expected eventstore.Expected
		repeated bool
	}{
		{eventstore.Exact(1), true},
		{eventstore.Any, false},
	} {
		t.Run(tt.expected.String(), func(t *testing.T) {
			t.Parallel()
			under := memstore.New(nil)
			p := newProxy(newServer(t, under, nil))
			s := p.open(nil)
			ctx := soon(t)
			first, err := s.Append(ctx, "a-1", eventstore.NoStream, event("first"))
			require.NoError(t, err)

			p.Swallow(true) // the request arrives, the answer does not
			type result struct {
				receipt eventstore.Receipt
				err     error
			}
			answer := make(chan result, 1)
			go func() {
				unnamed := event("third")
				unnamed.ID = eventstore.ID{} // the store's own id must be the same each time
				r, err := s.Append(ctx, "a-1", tt.expected, event("second"), unnamed)
				answer <- result{r, err}
			}()
			settled(t, func() bool {
				head, err := under.Head(ctx)
				return err == nil && head > first.Position
			}, "the server must have written it")
			p.Swallow(false)
			p.Cut()

			r := <-answer
			if tt.repeated {
				require.NoError(t, r.err)
				assert.EqualValues(t, 3, r.receipt.Version)
				assert.False(t, r.receipt.Repeated, "it was this call that wrote it")
			} else {
				var u *eventstore.UnavailableError
				require.ErrorAs(t, r.err, &u)
				assert.True(t, u.Uncertain)
			}
			assert.Equal(t, span(1, 3), versions(t, under, "a-1"), "exactly one copy")
		})
	}
}

// What cannot have been sent is tried again, whatever it expects.
func TestAWriteWithoutAConnectionIsCertain(t *testing.T) {
	t.Parallel()
	srv := newServer(t, nil, nil)
	s := srv.open(nil)
	ctx := soon(t)
	_, err := s.Append(ctx, "a-1", eventstore.Any, event("x"))
	require.NoError(t, err)
	for range 3 {
		srv.down()
		var writers sync.WaitGroup
		for range 10 {
			writers.Go(func() {
				_, err := s.Append(ctx, "a-1", eventstore.Any, event("x"))
				assert.NoError(t, err)
			})
		}
		writers.Go(func() {
			_, err := s.Delete(ctx, "a-1", eventstore.StreamExists)
			assert.NoError(t, err)
		})
		time.Sleep(20 * time.Millisecond) // the outage itself
		srv.up()
		writers.Wait()
		_, err := s.Append(ctx, "a-1", eventstore.Any, event("x"))
		require.NoError(t, err)
	}
	assert.LessOrEqual(t, len(versions(t, s, "a-1")), 34, "none twice")
}

func TestSubscriptionsResumeWithoutGapOrDouble(t *testing.T) {
	t.Parallel()
	const n = 400
	under := memstore.New(nil)
	srv := newServer(t, under, nil)
	p := newProxy(srv)
	s := p.open(nil)
	ctx := soon(t)
	all := func(f eventstore.Filter) iter.Seq2[eventstore.Message, error] {
		return s.SubscribeAll(ctx, eventstore.SubscribeAllOptions{Filter: f})
	}
	var followers sync.WaitGroup
	for name, seq := range map[string]iter.Seq2[eventstore.Message, error]{
		"stream":   s.Subscribe(ctx, "a-1", eventstore.SubscribeOptions{}),
		"filtered": all(eventstore.Filter{Categories: []string{"a"}}),
		"types":    all(eventstore.Filter{Types: []string{"counted"}, StreamPrefixes: []string{"a-"}}),
	} {
		followers.Go(func() {
			want, reached := eventstore.Version(1), eventstore.Position(0)
			for m, err := range seq {
				if !assert.NoError(t, err, name) || !assert.GreaterOrEqual(t, m.Position, reached, name) {
					return
				}
				if reached = m.Position; m.Kind != eventstore.MessageEvent {
					continue
				}
				if !assert.Equal(t, want, m.Event.Version, name) || want == n {
					return
				}
				want++
			}
		})
	}
	for i := range n {
		_, err := under.Append(ctx, "a-1", eventstore.Any, event("counted"))
		require.NoError(t, err)
		_, err = under.Append(ctx, "b-1", eventstore.Any, event("counted"))
		require.NoError(t, err)
		switch {
		case i == n/2:
			srv.down()
			srv.up()
		case i%40 == 0:
			p.Cut()
		}
		if i%10 == 0 {
			time.Sleep(time.Millisecond) // spreads the writes over the outages
		}
	}
	followers.Wait()
	assert.Greater(t, p.Accepted(), int64(1))
}

func TestReadsResumeWithoutGapOrDouble(t *testing.T) {
	t.Parallel()
	const n = 3000
	under := memstore.New(nil)
	srv := newServer(t, under, nil)
	p := newProxy(srv)
	s := p.open(nil)
	ctx := soon(t)
	for range n / 100 {
		_, err := under.Append(ctx, "a-1", eventstore.Any, events(100)...)
		require.NoError(t, err)
	}
	mine := eventstore.Filter{Categories: []string{"a"}}
	for name, tt := range map[string]struct {
		seq       iter.Seq2[eventstore.Recorded, error]
		backwards bool
	}{
		"stream":        {s.Read(ctx, "a-1", eventstore.ReadOptions{}), false},
		"stream, back":  {s.Read(ctx, "a-1", eventstore.ReadOptions{Backwards: true}), true},
		"all":           {s.ReadAll(ctx, eventstore.ReadAllOptions{Filter: mine}), false},
		"all, back":     {s.ReadAll(ctx, eventstore.ReadAllOptions{Filter: mine, Backwards: true}), true},
		"stream, limit": {s.Read(ctx, "a-1", eventstore.ReadOptions{Limit: n}), false},
	} {
		seen := 0
		for r, err := range tt.seq {
			require.NoError(t, err, name)
			want := eventstore.Version(seen + 1)
			if tt.backwards {
				want = eventstore.Version(n - seen)
			}
			require.Equal(t, want, r.Version, name)
			if seen++; seen%700 == 0 {
				p.Cut()
			}
		}
		assert.Equal(t, n, seen, name)
	}
}

func TestSlowSubscriberIsNotBufferedFor(t *testing.T) {
	t.Parallel()
	under := memstore.New(nil)
	p := newProxy(newServer(t, under, nil))
	s := p.open(nil)
	ctx := soon(t)
	big := event("big")
	big.ContentType, big.Data = eventstore.ContentTypeBinary, make([]byte, 10_000)
	const n = 3000 // 30 MB
	for range n {
		big.ID = eventstore.NewID()
		_, err := under.Append(ctx, "a-1", eventstore.Any, big)
		require.NoError(t, err)
	}
	pull, stop := iter.Pull2(s.Subscribe(ctx, "a-1", eventstore.SubscribeOptions{}))
	defer stop()
	_, err, _ := pull()
	require.NoError(t, err)
	_, err = s.Append(ctx, "b-1", eventstore.Any, events(100)...)
	require.NoError(t, err, "others go on")
	assert.Less(t, p.Delivered(), int64(16<<20), "what nobody takes must stay with the server")
	for i := range n - 1 {
		m, err, ok := pull()
		require.True(t, ok)
		require.NoError(t, err)
		if m.Kind == eventstore.MessageEvent {
			require.EqualValues(t, i+2, m.Event.Version)
		}
	}
}

func TestCloseUnderCalls(t *testing.T) {
	t.Parallel()
	srv := newServer(t, nil, nil)
	for i := range 50 {
		s := srv.open(nil)
		ctx := soon(t)
		if i%2 == 0 {
			_, err := s.Head(ctx)
			require.NoError(t, err)
		}
		var callers sync.WaitGroup
		began := make(chan struct{}, 16)
		until := func(f func() error) {
			callers.Go(func() {
				for {
					began <- struct{}{}
					if err := f(); err != nil {
						assert.ErrorIs(t, err, eventstore.ErrClosed)
						return
					}
					<-began
				}
			})
		}
		for c := range 4 {
			until(func() error {
				_, err := s.Append(ctx, fmt.Sprint("a-", c), eventstore.Any, event("x"))
				return err
			})
		}
		until(func() error { return lastError(s.ReadAll(ctx, eventstore.ReadAllOptions{})) })
		until(func() error { return lastError(s.SubscribeAll(ctx, eventstore.SubscribeAllOptions{})) })
		settled(t, func() bool { return len(began) >= 4 }, "callers must be at work")
		require.NoError(t, s.Close())
		require.NoError(t, s.Close())
		callers.Wait()
	}
}

func TestCloseDuringAnOutage(t *testing.T) {
	t.Parallel()
	srv := newServer(t, nil, nil)
	s := srv.open(nil)
	ctx := soon(t)
	_, err := s.Head(ctx)
	require.NoError(t, err)
	srv.down()
	errs := make(chan error, 20)
	for range cap(errs) {
		go func() {
			_, err := s.Head(ctx)
			errs <- err
		}()
	}
	time.Sleep(20 * time.Millisecond) // some callers wait, some search
	require.NoError(t, s.Close())
	for range cap(errs) {
		require.ErrorIs(t, <-errs, eventstore.ErrClosed)
	}
}
