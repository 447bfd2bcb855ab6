package eventstoretest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

var concurrencyClauses = []clause{
	{"OfTwoWritersAtTheSameVersionExactlyOneSucceeds", func(t *testing.T, f *fixture) {
		s := f.stream("1")
		for v := range eventstore.Version(20) {
			var won, lost atomic.Int32
			parallel(8, func(int) {
				switch _, err := f.store.Append(f.ctx, s, eventstore.Exact(v), event(int(v))); {
				case err == nil:
					won.Add(1)
				case errors.Is(err, eventstore.ErrConflict):
					lost.Add(1)
				}
			})
			require.EqualValues(t, 1, won.Load())
			require.EqualValues(t, 7, lost.Load())
		}
		assert.Equal(t, span(1, 20), f.versions(s, eventstore.ReadOptions{}))
	}},
	{"AppendsHappenWholeOrNotAtAll", func(t *testing.T, f *fixture) {
		s := f.stream("1")
		parallel(8, func(w int) {
			for i := range 10 {
				_, err := f.store.Append(f.ctx, s, eventstore.Any, events(w*1000+i*10, w*1000+i*10+2)...)
				assert.NoError(t, err)
			}
		})
		got := numbers(f.readAll(eventstore.ReadAllOptions{}))
		require.Len(t, got, 240)
		for i := 0; i < len(got); i += 3 {
			var n int
			_, err := fmt.Sscanf(got[i], `{"n":%d}`, &n)
			require.NoError(t, err)
			assert.Equal(t, numbersFrom(n, 3), got[i:i+3])
		}
	}},
	{"AContextThatEndsDuringAnAppendLeavesNoLie", testEndedAppends},
	{"NoReaderSeesAGapFilledLater", testNoGapFilledLater},
	{"SlowSubscriberSlowsNobody", func(t *testing.T, f *fixture) {
		s := f.filled(3)
		slow, slowAll := f.subscribe(s, 0), f.subscribeAll(0)
		slow.event()
		slowAll.event() // neither is pulled again until all is written and read
		fast := f.subscribe(s, 0)
		for i := range eventstore.Version(500) {
			f.append(s, eventstore.Exact(3+i), event(int(i)))
		}
		for v := eventstore.Version(1); v <= 503; v++ {
			require.Equal(t, v, fast.event().Version)
		}
		for v := eventstore.Version(2); v <= 503; v++ {
			require.Equal(t, v, slow.event().Version)
			require.Equal(t, v, slowAll.event().Version)
		}
	}},
	{"ManySubscribersSeeTheSame", func(t *testing.T, f *fixture) {
		const n = 200
		s := f.stream("1")
		var done sync.WaitGroup
		for i := range 8 {
			done.Go(func() {
				var seen eventstore.Version
				for m, err := range f.messages(s, i%2 == 0) {
					if !assert.NoError(t, err) {
						return
					}
					if m.Kind != eventstore.MessageEvent {
						continue
					}
					if seen++; !assert.Equal(t, seen, m.Event.Version) || seen == n {
						return
					}
				}
			})
		}
		for i := range n {
			f.append(s, eventstore.Any, event(i))
		}
		done.Wait()
	}},
}

func (f *fixture) messages(stream string, all bool) func(func(eventstore.Message, error) bool) {
	if all {
		return f.store.SubscribeAll(f.ctx, eventstore.SubscribeAllOptions{Filter: eventstore.Filter{StreamPrefixes: []string{stream}}})
	}
	return f.store.Subscribe(f.ctx, stream, eventstore.SubscribeOptions{})
}

// testNoGapFilledLater has writers at work while one reader polls and another
// follows. Whatever they saw up to a position must be all there ever is.
func testNoGapFilledLater(t *testing.T, f *fixture) {
	const writers, each = 6, 60
	var polled, followed []eventstore.Position
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	filter := eventstore.Filter{Categories: []string{f.category}}
	var readers sync.WaitGroup
	readers.Go(func() {
		for len(polled) < writers*each && ctx.Err() == nil {
			var last eventstore.Position
			if len(polled) > 0 {
				last = polled[len(polled)-1]
			}
			for r, err := range f.store.ReadAll(ctx, eventstore.ReadAllOptions{From: last, Filter: filter}) {
				if !assert.NoError(t, err) {
					return
				}
				if r.Position > last {
					polled = append(polled, r.Position)
				}
			}
		}
	})
	readers.Go(func() {
		for m, err := range f.store.SubscribeAll(ctx, eventstore.SubscribeAllOptions{Filter: filter}) {
			if !assert.NoError(t, err) {
				return
			}
			if m.Kind == eventstore.MessageEvent {
				if followed = append(followed, m.Position); len(followed) == writers*each {
					return
				}
			}
		}
	})
	parallel(writers, func(w int) {
		for i := range each {
			_, err := f.store.Append(f.ctx, f.stream(fmt.Sprint(w)), eventstore.Exact(eventstore.Version(i)), event(i))
			assert.NoError(t, err)
		}
	})
	readers.Wait()
	want := positionsOf(f.readAll(eventstore.ReadAllOptions{}))
	assert.Equal(t, want, polled)
	assert.Equal(t, want, followed)
}

// parallel runs n calls of do at once and waits for them.
func parallel(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

func numbersFrom(first, n int) []string {
	var ns []string
	for i := range n {
		ns = append(ns, fmt.Sprintf(`{"n":%d}`, first+i))
	}
	return ns
}

// testEndedAppends cancels appends while they are under way. One that then
// gives no more than the context's error must not have been written.
func testEndedAppends(t *testing.T, f *fixture) {
	s := f.stream("1")
	var mu sync.Mutex
	written := map[eventstore.ID]bool{} // what callers were told
	parallel(8, func(w int) {
		for i := range 20 {
			e := event(w*100 + i)
			ctx, cancel := endingAfter(f.ctx, i%7)
			_, err := f.store.Append(ctx, s, eventstore.Any, e)
			cancel()
			mu.Lock()
			switch {
			case err == nil:
				written[e.ID] = true
			case !errors.Is(err, eventstore.ErrUncertain):
				assert.ErrorIs(t, err, context.Canceled)
				written[e.ID] = false
			}
			mu.Unlock()
		}
	})
	f.append(s, eventstore.Any, event(1000))
	got := map[eventstore.ID]bool{}
	for _, r := range f.read(s, eventstore.ReadOptions{}) {
		got[r.ID] = true
	}
	for id, want := range written {
		assert.Equal(t, want, got[id], "told to be written: %v", want)
	}
}

// An endingContext is canceled when it is asked once too often whether it is,
// which meets a store in the middle of what it does.
type endingContext struct {
	context.Context
	cancel context.CancelFunc
	left   atomic.Int32
}

func endingAfter(ctx context.Context, asked int) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	c := &endingContext{Context: ctx, cancel: cancel}
	c.left.Store(int32(asked))
	return c, cancel
}

func (c *endingContext) ask() {
	if c.left.Add(-1) < 0 {
		c.cancel()
	}
}

func (c *endingContext) Done() <-chan struct{} {
	c.ask()
	return c.Context.Done()
}

func (c *endingContext) Err() error {
	c.ask()
	return c.Context.Err()
}
