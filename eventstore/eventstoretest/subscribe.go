package eventstoretest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

var subscribeClauses = []clause{
	{"SubscriptionGoesFromHistoryToLiveWithoutGapOrDouble", func(t *testing.T, f *fixture) {
		s := f.filled(5)
		one, all := f.subscribe(s, 0), f.subscribeAll(0)
		for v := eventstore.Version(1); v <= 20; v++ {
			if v > 5 {
				f.append(s, eventstore.Exact(v-1), event(int(v)))
				f.append("x"+s, eventstore.Any, event(0))
			}
			require.Equal(t, v, one.event().Version)
			require.Equal(t, v, all.event().Version)
		}
	}},
	{"SubscriptionBeginsAfterAVersionOrPosition", func(t *testing.T, f *fixture) {
		s := f.filled(5)
		p := f.read(s, eventstore.ReadOptions{})[2].Position
		got, _ := f.subscribe(s, 3).untilCaughtUp()
		assert.Equal(t, span(4, 5), versionsOf(got))
		got, _ = f.subscribeAll(p).untilCaughtUp()
		assert.Equal(t, span(4, 5), versionsOf(got))
		got, m := f.subscribe(s, 5).untilCaughtUp()
		assert.Empty(t, got)
		assert.Zero(t, m.Event)
	}},
	{"TheStreamNeedNotExistYet", func(t *testing.T, f *fixture) {
		s := f.stream("later")
		sub := f.subscribe(s, 0)
		got, _ := sub.untilCaughtUp()
		assert.Empty(t, got)
		f.append(s, eventstore.NoStream, events(1, 2)...)
		assert.EqualValues(t, 1, sub.event().Version)
		assert.EqualValues(t, 2, sub.event().Version)
	}},
	{"CaughtUpComesAfterHistoryAndAfterEachFurtherRun", func(t *testing.T, f *fixture) {
		s := f.filled(3)
		for _, sub := range []*subscriber{f.subscribe(s, 0), f.subscribeAll(0)} {
			got, m := sub.untilCaughtUp()
			n := eventstore.Version(len(got))
			assert.Equal(t, f.head(), m.Position)
			f.append(s, eventstore.Exact(n), events(1, 2)...)
			got, m = sub.untilCaughtUp()
			assert.Equal(t, span(n+1, n+2), versionsOf(got))
			assert.Equal(t, f.head(), m.Position)
		}
	}},
	{"CaughtUpComesWhenWhatWasExaminedDidNotMatch", func(t *testing.T, f *fixture) {
		sub := f.subscribeAll(0)
		_, first := sub.untilCaughtUp()
		p := f.append("x"+f.stream("other"), eventstore.Any, event(1)).Position
		got, m := sub.untilCaughtUp()
		assert.Empty(t, got)
		assert.Greater(t, m.Position, first.Position)
		assert.Equal(t, p, m.Position)
	}},
	{"EventsAreTheSameHoweverTheyAreRead", func(t *testing.T, f *fixture) {
		s := f.filled(4)
		want := f.read(s, eventstore.ReadOptions{})
		one, _ := f.subscribe(s, 0).untilCaughtUp()
		all, _ := f.subscribeAll(0).untilCaughtUp()
		assert.Equal(t, want, one)
		assert.Equal(t, want, all)
		assert.Equal(t, want, f.readAll(eventstore.ReadAllOptions{}))
	}},
	{"CancellingEndsAWaitingSubscription", func(t *testing.T, f *fixture) {
		s := f.filled(1)
		ctx, cancel := context.WithCancel(f.ctx)
		one := newSubscriber(t, f.store.Subscribe(ctx, s, eventstore.SubscribeOptions{}))
		all := newSubscriber(t, f.store.SubscribeAll(ctx, eventstore.SubscribeAllOptions{}))
		one.untilCaughtUp()
		all.untilCaughtUp()
		cancel()
		assert.Empty(t, one.fails(context.Canceled))
		assert.Empty(t, all.fails(context.Canceled))
	}},
	{"SubscribingMayStopEarlyAndBeginAgain", func(t *testing.T, f *fixture) {
		s := f.filled(3)
		seq := f.store.Subscribe(f.ctx, s, eventstore.SubscribeOptions{})
		for range 2 {
			for m, err := range seq {
				require.NoError(t, err)
				if m.Event.Version == 2 {
					break
				}
			}
		}
	}},
	{"ATombstoneEndsAStreamsSubscription", func(t *testing.T, f *fixture) {
		s := f.filled(2)
		sub, all := f.subscribe(s, 0), f.subscribeAll(0)
		sub.untilCaughtUp()
		all.untilCaughtUp()
		f.tombstone(s)
		for _, r := range sub.fails(eventstore.ErrStreamDeleted) {
			assert.Equal(t, eventstore.TypeTombstone, r.Type)
		}
		assert.Equal(t, eventstore.TypeTombstone, all.event().Type)
	}},
	{"DeletingAStreamDoesNotEndItsSubscription", func(t *testing.T, f *fixture) {
		s := f.filled(2)
		sub := f.subscribe(s, 0)
		sub.untilCaughtUp()
		f.delete(s)
		f.append(s, eventstore.NoStream, event(3))
		assert.EqualValues(t, 3, sub.event().Version)
		got, _ := f.subscribe(s, 0).untilCaughtUp()
		assert.Equal(t, span(3, 3), versionsOf(got), "history is what Read shows")
	}},
	{"HistoryIsWhatMetadataLeaves", func(t *testing.T, f *fixture) {
		s := f.filled(5)
		f.setMetadata(s, eventstore.StreamMetadata{MaxCount: 2})
		sub := f.subscribe(s, 0)
		got, _ := sub.untilCaughtUp()
		assert.Equal(t, span(4, 5), versionsOf(got))
		f.delete(s)
		got, _ = f.subscribe(s, 0).untilCaughtUp()
		assert.Empty(t, got)
	}},
}
