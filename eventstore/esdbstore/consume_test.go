package esdbstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbstore"
)

// A tally keeps what handlers were given.
type tally struct {
	mu  sync.Mutex
	all []esdbstore.Delivery
}

func (y *tally) add(d esdbstore.Delivery) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.all = append(y.all, d)
}

func (y *tally) versions(stream string) []eventstore.Version {
	y.mu.Lock()
	defer y.mu.Unlock()
	var vs []eventstore.Version
	for _, d := range y.all {
		if d.Event.Stream == stream {
			vs = append(vs, d.Event.Version)
		}
	}
	return vs
}

func (y *tally) len() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return len(y.all)
}

// consume runs a consumer until the test ends or stop is called.
func consume(t *testing.T, g *esdbstore.Group, o *esdbstore.ConsumeOptions, handler func(context.Context, esdbstore.Delivery) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background()) // ends in Cleanup, after the test's own context
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		assert.NoError(t, g.Consume(ctx, handler, o))
	}()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return stop
}

func TestGroupsAreMadeChangedDescribedAndRemoved(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil, nil).open(nil)
	ctx := soon(t)
	_, err := s.Append(ctx, "a-1", eventstore.NoStream, events(3)...)
	require.NoError(t, err)
	for _, stream := range []string{"a-1", ""} {
		g := s.Group(stream, "reactions")
		require.ErrorIs(t, g.Delete(ctx), esdbstore.ErrGroupNotFound)
		require.ErrorIs(t, g.Update(ctx, nil), esdbstore.ErrGroupNotFound)
		require.ErrorIs(t, g.ReplayParked(ctx, 0), esdbstore.ErrGroupNotFound)
		_, err := g.Info(ctx)
		require.ErrorIs(t, err, esdbstore.ErrGroupNotFound)
		require.ErrorIs(t, g.Consume(ctx, nil, nil), esdbstore.ErrGroupNotFound)

		require.NoError(t, g.Create(ctx, &esdbstore.GroupOptions{MaxRetries: 7, Strategy: esdbstore.Pinned}))
		err = g.Create(ctx, nil)
		require.ErrorIs(t, err, esdbstore.ErrGroupExists)
		var named *esdbstore.GroupError
		require.ErrorAs(t, err, &named)
		assert.Equal(t, "reactions", named.Group)
		info, err := g.Info(ctx)
		require.NoError(t, err)
		assert.Equal(t, 7, info.MaxRetries)
		assert.Equal(t, esdbstore.Pinned, info.Strategy)
		assert.Equal(t, 30*time.Second, info.Timeout)
		require.NoError(t, g.Update(ctx, &esdbstore.GroupOptions{MaxRetries: 8}))
		info, err = g.Info(ctx)
		require.NoError(t, err)
		assert.Equal(t, 8, info.MaxRetries)
	}
	groups, err := s.Groups(ctx)
	require.NoError(t, err)
	var streams []string
	for _, g := range groups {
		streams = append(streams, g.Stream)
	}
	assert.ElementsMatch(t, []string{"a-1", "$all"}, streams)
	require.NoError(t, s.Group("a-1", "reactions").Update(ctx, &esdbstore.GroupOptions{FromEnd: true}))
	require.ErrorIs(t, s.Group("", "reactions").Update(ctx, &esdbstore.GroupOptions{FromEnd: true}), eventstore.ErrInvalid)
	require.NoError(t, s.Group("a-1", "reactions").Delete(ctx))

	for _, bad := range []esdbstore.GroupOptions{
		{Strategy: "PinnedByCorrelation"},
		{Filter: eventstore.Filter{Types: []string{"a"}, ExcludeSystem: true}},
	} {
		require.ErrorIs(t, s.Group("", "bad").Create(ctx, &bad), eventstore.ErrInvalid)
	}
	require.ErrorIs(t, s.Group("a-1", "bad").Create(ctx, &esdbstore.GroupOptions{Filter: eventstore.Filter{Types: []string{"a"}}}), eventstore.ErrInvalid)
	require.ErrorIs(t, s.Group("a-1", "bad").Create(ctx, &esdbstore.GroupOptions{ReadBatch: 500, HistoryBuffer: 20}), eventstore.ErrInvalid)
}

func TestConsumersHandleEachStreamInOrder(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil, nil).open(nil)
	ctx := soon(t)
	g := s.Group("", "reactions")
	require.NoError(t, g.Create(ctx, &esdbstore.GroupOptions{Filter: eventstore.Filter{Categories: []string{"o"}}}))
	const streams, each = 8, 30
	for range each {
		for i := range streams {
			_, err := s.Append(ctx, fmt.Sprint("o-", i), eventstore.Any, event("x"))
			require.NoError(t, err)
			_, err = s.Append(ctx, "other-1", eventstore.Any, event("x"))
			require.NoError(t, err)
		}
	}
	var seen tally
	var mu sync.Mutex
	active, atOnce := map[string]bool{}, 0
	stop := consume(t, g, &esdbstore.ConsumeOptions{Concurrency: 8, Buffer: 50}, func(_ context.Context, d esdbstore.Delivery) error {
		mu.Lock()
		assert.False(t, active[d.Event.Stream], "one at a time for each stream")
		active[d.Event.Stream] = true
		atOnce = max(atOnce, len(active))
		mu.Unlock()
		time.Sleep(time.Millisecond) // so that others could get between
		mu.Lock()
		delete(active, d.Event.Stream)
		mu.Unlock()
		seen.add(d)
		return nil
	})
	settled(t, func() bool { return seen.len() == streams*each }, "everything must be handled")
	stop()
	for i := range streams {
		assert.Equal(t, span(1, each), seen.versions(fmt.Sprint("o-", i)))
	}
	assert.Greater(t, atOnce, 2, "several streams at once")
}

func TestAnswersOfHandlers(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil, nil).open(nil)
	ctx := soon(t)
	for _, typ := range []string{"good", "parked", "skipped", "retried", "failing", "last"} {
		_, err := s.Append(ctx, "a-1", eventstore.Any, event(typ))
		require.NoError(t, err)
	}
	g := s.Group("a-1", "reactions")
	require.NoError(t, g.Create(ctx, &esdbstore.GroupOptions{MaxRetries: 2}))
	var seen tally
	var mu sync.Mutex
	replaying := false
	consume(t, g, &esdbstore.ConsumeOptions{Concurrency: 1}, func(_ context.Context, d esdbstore.Delivery) error {
		seen.add(d)
		mu.Lock()
		defer mu.Unlock()
		why := errors.New("not like this")
		switch d.Event.Type {
		case "parked":
			if !replaying {
				return esdbstore.Park(why)
			}
		case "skipped":
			return fmt.Errorf("wrapped: %w", esdbstore.Skip(why))
		case "retried":
			if d.Retries == 0 {
				return esdbstore.Retry(why)
			}
		case "failing":
			if !replaying {
				return why
			}
		}
		return nil
	})
	count := func(typ string) int {
		seen.mu.Lock()
		defer seen.mu.Unlock()
		n := 0
		for _, d := range seen.all {
			if d.Event.Type == typ {
				n++
			}
		}
		return n
	}
	settled(t, func() bool {
		info, err := g.Info(ctx)
		return err == nil && info.Parked == 2 && count("last") == 1
	}, "two events must be parked")
	assert.Equal(t, []int{1, 1, 1, 2, 3}, []int{count("good"), count("parked"), count("skipped"), count("retried"), count("failing")})

	mu.Lock()
	replaying = true
	mu.Unlock()
	require.NoError(t, g.ReplayParked(ctx, 0))
	settled(t, func() bool { return count("parked") == 2 && count("failing") == 4 }, "parked events must come again")
	require.ErrorIs(t, g.ReplayParked(ctx, -1), eventstore.ErrInvalid)
}

func TestConsumersConnectAgain(t *testing.T) {
	t.Parallel()
	srv := newServer(t, nil, nil)
	p := newProxy(srv)
	s := p.open(nil)
	ctx := soon(t)
	g := s.Group("a-1", "reactions")
	require.NoError(t, g.Create(ctx, nil))
	const n = 200
	var seen tally
	stop := consume(t, g, nil, func(_ context.Context, d esdbstore.Delivery) error {
		seen.add(d)
		return nil
	})
	for i := range n {
		_, err := srv.store.Append(ctx, "a-1", eventstore.Any, event("x"))
		require.NoError(t, err)
		switch {
		case i%50 == 25:
			p.Cut()
		case i == n/2:
			srv.down()
			srv.up()
		}
		settled(t, func() bool { return slices.Contains(seen.versions("a-1"), eventstore.Version(i+1)) }, "every event comes")
	}
	stop()
	vs := seen.versions("a-1")
	slices.Sort(vs)
	assert.Equal(t, span(1, n), slices.Compact(vs), "at least once")
}

func TestStoppingAConsumerFinishesWhatItIsAt(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil, nil).open(nil)
	ctx := soon(t)
	_, err := s.Append(ctx, "a-1", eventstore.NoStream, events(3)...)
	require.NoError(t, err)
	g := s.Group("a-1", "reactions")
	require.NoError(t, g.Create(ctx, nil))
	var seen tally
	begun, finish := make(chan struct{}), make(chan struct{})
	var once sync.Once
	consuming, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- g.Consume(consuming, func(ctx context.Context, d esdbstore.Delivery) error {
			once.Do(func() { close(begun) })
			<-finish
			seen.add(d)
			return ctx.Err()
		}, nil)
	}()
	<-begun
	cancel()
	close(finish)
	require.NoError(t, <-ended)
	assert.Equal(t, span(1, 1), seen.versions("a-1"), "nothing is begun after the end")

	consume(t, g, nil, func(_ context.Context, d esdbstore.Delivery) error {
		seen.add(d)
		return nil
	})
	settled(t, func() bool { return seen.len() >= 3 }, "the others come")
	assert.Equal(t, span(1, 3), seen.versions("a-1"), "what was answered does not come again")
}

func TestConsumersEndWithTheGroupAndTheStore(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil, nil).open(nil)
	ctx := soon(t)
	for _, end := range []struct {
		do   func(g *esdbstore.Group) error
		want error
	}{
		{func(g *esdbstore.Group) error { return g.Delete(ctx) }, esdbstore.ErrGroupNotFound},
		{func(*esdbstore.Group) error { return s.Close() }, eventstore.ErrClosed},
	} {
		g := s.Group("a-1", "reactions")
		require.NoError(t, g.Create(ctx, nil))
		ended := make(chan error, 1)
		go func() {
			ended <- g.Consume(ctx, func(context.Context, esdbstore.Delivery) error { return nil }, nil)
		}()
		settled(t, func() bool {
			info, err := g.Info(ctx)
			return err == nil && len(info.Consumers) == 1
		}, "the consumer must be connected")
		require.NoError(t, end.do(g))
		require.ErrorIs(t, <-ended, end.want)
	}
}

func TestAFullGroupSaysSo(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil, nil).open(nil)
	ctx := soon(t)
	g := s.Group("a-1", "reactions")
	require.NoError(t, g.Create(ctx, &esdbstore.GroupOptions{MaxConsumers: 1}))
	nothing := func(context.Context, esdbstore.Delivery) error { return nil }
	consume(t, g, nil, nothing)
	settled(t, func() bool {
		info, err := g.Info(ctx)
		return err == nil && len(info.Consumers) == 1
	}, "the consumer must be connected")
	require.ErrorIs(t, g.Consume(ctx, nothing, nil), esdbstore.ErrGroupFull)
}
