package esdbstore_test

import (
	"iter"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

// caughtUp pulls until the next CaughtUp and returns its position and the
// events before it.
func caughtUp(t *testing.T, pull func() (eventstore.Message, error, bool)) (eventstore.Position, int) {
	t.Helper()
	for n := 0; ; {
		m, err, ok := pull()
		require.True(t, ok)
		require.NoError(t, err)
		switch m.Kind {
		case eventstore.MessageEvent:
			n++
		case eventstore.MessageCaughtUp:
			return m.Position, n
		}
	}
}

// The server says once that a subscription has caught up, and of events that do
// not match only what the window makes it say.
func TestASubscriptionKeepsUpWithEventsThatAreNotItsOwn(t *testing.T) {
	t.Parallel()
	proxy := newProxy(newServer(t, nil, nil))
	proxy.Trickle(true) // a message at a time
	s := proxy.open(nil)
	ctx := soon(t)
	for name, filter := range map[string]eventstore.Filter{
		"pushed":     {Categories: []string{"mine"}},
		"not pushed": {StreamPrefixes: []string{"mine", ""}, Types: []string{"mine"}},
	} {
		pull, stop := iter.Pull2(s.SubscribeAll(ctx, eventstore.SubscribeAllOptions{Filter: filter}))
		defer stop()
		caughtUp(t, pull)
		for range 5 {
			r, err := s.Append(ctx, "other-1", eventstore.Any, events(2)...)
			require.NoError(t, err)
			p := eventstore.Position(0)
			for p < r.Position {
				p, _ = caughtUp(t, pull)
			}
			assert.Equal(t, r.Position, p, name)
		}
		r, err := s.Append(ctx, "mine-1", eventstore.Any, event("mine"), event("mine"), event("mine"))
		require.NoError(t, err)
		p, n := caughtUp(t, pull)
		assert.Equal(t, r.Position, p, name)
		assert.Equal(t, 3, n, "never in the middle of what is there")
	}
}

func TestManyEventsThatDoNotMatchAreReported(t *testing.T) {
	t.Parallel()
	srv := newServer(t, nil, nil)
	s := srv.open(nil)
	ctx := soon(t)
	for range 10 {
		_, err := srv.store.Append(ctx, "other-1", eventstore.Any, events(1000)...)
		require.NoError(t, err)
	}
	checkpoints := 0
	for m, err := range s.SubscribeAll(ctx, eventstore.SubscribeAllOptions{Filter: eventstore.Filter{Categories: []string{"mine"}}}) {
		require.NoError(t, err)
		if m.Kind == eventstore.MessageCaughtUp {
			break
		}
		require.Equal(t, eventstore.MessageCheckpoint, m.Kind)
		checkpoints++
	}
	assert.GreaterOrEqual(t, checkpoints, 2)
	assert.Less(t, checkpoints, 10)
}
