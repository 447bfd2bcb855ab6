package esdbserver_test

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// around puts the confirmation and caught up around events.
func around(events ...string) []string {
	return append(append([]string{"confirmed"}, events...), "caught up")
}

// Subscriptions begin after where they are told to.
func TestWhereSubscriptionsBegin(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store eventstore.Store) {
		c := stubOf(t, store)
		all, _ := seven(c)
		for _, x := range []struct {
			what string
			from change
			want []string
		}{
			{"a stream's start", ofStream("s", atStart), only("s", 0, 1, 2, 3, 4)},
			{"a revision", ofStream("s", 2), only("s", 3, 4)},
			{"the last revision", ofStream("s", 4), nil},
			{"a revision that is not there yet", ofStream("s", 5), nil},
			{"a stream's end", ofStream("s", atEnd), nil},
			{"a missing stream", ofStream("none", atStart), nil},
			{"a missing stream's end", ofStream("none", atEnd), nil},
			{"a position", ofAll(8), all},
			{"a position within", ofAll(13), all[5:]},
			{"the last position", ofAll(15), nil},
			{"the end of all", ofAll(atEnd), nil},
			{"the highest position", ofAllAt(math.MaxUint64, math.MaxUint64), nil},
		} {
			sub := c.subscribe(x.from)
			assert.Equal(t, around(x.want...), sub.next(len(x.want)+2), x.what)
		}
		assert.Len(t, c.subscribe(ofAll(atStart)).next(17), 17)
		confirmation, err := c.subscribe(ofStream("s", atStart)).call.Recv()
		require.NoError(t, err)
		_, err = eventstore.ParseID(confirmation.GetConfirmation().GetSubscriptionId())
		require.NoError(t, err)
	})
}

func TestSubscriptionsGoOnLive(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store eventstore.Store) {
		c := stubOf(t, store)
		c.mustAppend("s", 2)
		stream, late, all, end := c.subscribe(ofStream("s", 0)), c.subscribe(ofStream("late", atStart)), c.subscribe(ofAll(9)), c.subscribe(ofStream("s", atEnd))
		beyond, beyondAll := c.subscribe(ofStream("s", 3)), c.subscribe(ofAll(12))
		assert.Equal(t, around("s/1"), stream.next(3))
		assert.Equal(t, around(), late.next(2))
		assert.Equal(t, around("s/1"), all.next(3))
		assert.Equal(t, around(), end.next(2))
		assert.Equal(t, around(), beyond.next(2))
		assert.Equal(t, around(), beyondAll.next(2))
		for range 3 {
			c.mustAppend("s", 1)
			c.mustAppend("late", 1)
		}
		assert.Equal(t, only("s", 2, 3, 4), stream.next(3), "and no second caught up")
		assert.Equal(t, only("late", 0, 1, 2), late.next(3))
		assert.Equal(t, []string{"s/2", "late/0", "s/3", "late/1", "s/4", "late/2"}, all.next(6))
		assert.Equal(t, only("s", 2, 3, 4), end.next(3))
		assert.Equal(t, only("s", 4), beyond.next(1), "what lies before is left out silently")
		assert.Equal(t, []string{"s/3", "late/1"}, beyondAll.next(2))
	})
}

// Who has fallen behind by more than the 32 events that are buffered for each
// is told when it has caught up again.
func TestCaughtUpComesAgainAfterFallingBehind(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	for _, what := range []change{ofStream("s", atEnd), ofAll(atEnd)} {
		sub := c.subscribe(what) // in its turn: one that is not read falls behind
		assert.Equal(t, around(), sub.next(2))
		c.mustAppend("s", 32)
		assert.NotContains(t, sub.next(32), "caught up")
		c.mustAppend("s", 33)
		got := sub.next(34)
		assert.NotContains(t, got[:33], "caught up")
		assert.Equal(t, "caught up", got[33])
		c.mustAppend("s", 1)
		c.mustAppend("s", 1)
		assert.NotContains(t, sub.next(2), "caught up")
	}
}

// Truncation holds for the history, not for what comes.
func TestTruncationInSubscriptions(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	c.mustAppend("s", 5)
	c.setMetadata("s", `{"$maxCount":2}`)
	sub := c.subscribe(ofStream("s", atStart))
	assert.Equal(t, around(only("s", 3, 4)...), sub.next(4))
	c.mustAppend("s", 5)
	assert.Equal(t, only("s", 5, 6, 7, 8, 9), sub.next(5))
	c.setMetadata("s", `{"$tb":7}`)
	assert.Equal(t, around(only("s", 7, 8, 9)...), c.subscribe(ofStream("s", 5)).next(5))
	assert.Equal(t, around("$$s/1"), c.subscribe(ofStream("$$s", atStart)).next(3), "only the last metadata counts")
}

func TestTombstonesEndSubscriptions(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store eventstore.Store) {
		c := stubOf(t, store)
		c.mustAppend("s-☃", 1)
		sub, meta := c.subscribe(ofStream("s-☃", atStart)), c.subscribe(ofStream("$$s-☃", atStart))
		assert.Equal(t, around("s-☃/0"), sub.next(3))
		assert.Equal(t, around(), meta.next(2))
		c.mustDelete(true, "s-☃")
		assert.Equal(t, []string{"s-☃/9223372036854775807"}, sub.next(1), "it is told")
		for _, over := range []subscribed{sub, meta, c.subscribe(ofStream("s-☃", atStart)), c.subscribe(ofStream("s-☃", atEnd)), c.subscribe(ofStream("s-☃", 0))} {
			code, trailer := over.end()
			assert.Equal(t, codes.FailedPrecondition, code)
			assert.Equal(t, []string{"stream-deleted"}, trailer["exception"])
			assert.Contains(t, trailer["stream-name"][0], "s-☃", "without it the Go client panics")
		}
	})
}

func TestSoftDeletesAreNotSeenBySubscriptions(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	c.mustAppend("s", 2)
	sub := c.subscribe(ofStream("s", atStart))
	assert.Equal(t, around("s/0", "s/1"), sub.next(4))
	c.mustDelete(false, "s")
	deleted := c.subscribe(ofStream("s", atStart))
	assert.Equal(t, around(), deleted.next(2))
	c.mustAppend("s", 1)
	assert.Equal(t, only("s", 2), sub.next(1))
	assert.Equal(t, only("s", 2), deleted.next(1))
}

func TestCheckpointsOfFilteredSubscriptions(t *testing.T) {
	t.Parallel()
	none := byType("", "none")
	c := stubOf(t, memstore.New(nil))
	c.mustAppend("s", 12) // 20 in all
	for _, x := range []struct {
		what    string
		changes []change
		want    []string
	}{
		{"each time, and at the end", []change{ofAll(atStart), filtered(none, 3, 3)}, []string{"checkpoint 9/9", "checkpoint 18/18", "checkpoint 20/20"}},
		{"not twice", []change{ofAll(atStart), filtered(none, 5, 2)}, []string{"checkpoint 10/10", "checkpoint 20/20"}},
		{"counted from where it begins", []change{ofAll(5), filtered(none, 10, 1)}, []string{"checkpoint 15/15", "checkpoint 20/20"}},
		{"at the end, never the highest position", []change{ofAll(atStart), filtered(none, 100, 1)}, []string{"checkpoint 20/20"}},
		{"nothing to examine", []change{ofAll(20), filtered(none, 1, 1)}, nil},
		{"from the end", []change{ofAll(atEnd), filtered(none, 1, 1)}, nil},
		{"beyond the end", []change{ofAll(30), filtered(none, 1, 1)}, nil},
		{"matching events count too", []change{ofAll(17), filtered(byType("", "t"), 2, 1)}, []string{"s/9", "s/10", "checkpoint 19/19", "s/11", "checkpoint 20/20"}},
	} {
		assert.Equal(t, around(x.want...), c.subscribe(x.changes...).next(len(x.want)+2), x.what)
	}
	assert.NotContains(t, c.subscribe(ofAll(atStart)).next(22), "checkpoint 20/20", "none without a filter")
}

// More events than the window, or any window would do.
func TestAWindowThatIsNotGivenIs32Events(t *testing.T) {
	t.Parallel()
	none := byType("", "none")
	c := stubOf(t, memstore.New(nil))
	c.mustAppend("s", 62) // 70 in all
	assert.Equal(t, around("checkpoint 32/32", "checkpoint 64/64", "checkpoint 70/70"), c.subscribe(ofAll(atStart), filtered(none, 0, 1)).next(5))
	assert.Equal(t, around("checkpoint 64/64", "checkpoint 70/70"), c.subscribe(ofAll(atStart), filtered(none, 0, 2)).next(4))
}

// Taken as it is, it would lie after all events to come.
func TestTheHighestPositionMeansTheEnd(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	c.mustAppend("a", 1)
	end := ofAllAt(math.MaxUint64, math.MaxUint64)
	all, some := c.subscribe(end), c.subscribe(end, filtered(byStream("", "a"), 1, 1))
	assert.Equal(t, around(), all.next(2))
	assert.Equal(t, around(), some.next(2))
	c.mustAppend("a", 1)
	assert.Equal(t, []string{"a/1"}, all.next(1))
	assert.Equal(t, []string{"a/1", "checkpoint 10/10"}, some.next(2))
}

func TestCheckpointsGoOnLive(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	sub, beyond := c.subscribe(ofAll(atEnd), filtered(byStream("", "yes"), 5, 1)), c.subscribe(ofAll(20), filtered(byStream("", "yes"), 1, 1))
	assert.Equal(t, around(), sub.next(2))
	assert.Equal(t, around(), beyond.next(2))
	for range 6 { // @9 … @20
		c.mustAppend("yes", 1)
		c.mustAppend("no", 1)
	}
	assert.Equal(t, []string{
		"yes/0", "yes/1", "yes/2", "checkpoint 13/13", "yes/3", "yes/4", "checkpoint 18/18", "yes/5",
	}, sub.next(8))
	c.mustAppend("no", 2)
	assert.Equal(t, []string{"checkpoint 21/21", "checkpoint 22/22"}, beyond.next(2), "never back behind where it began")
	c.mustAppend("yes", 1)
	assert.Equal(t, []string{"checkpoint 23/23", "yes/6"}[1:], sub.next(1))
	assert.Equal(t, []string{"checkpoint 23/23"}, sub.next(1))
}

// From the last checkpoint a subscription goes on without gap or double.
func TestACheckpointIsWhereToGoOn(t *testing.T) {
	t.Parallel()
	c := stubOf(t, memstore.New(nil))
	for i := range 50 {
		c.mustAppend([]string{"no", "no", "yes"}[i%3], 1)
	}
	filter := filtered(byStream("", "yes"), 7, 1)
	whole := c.subscribe(ofAll(atStart), filter)
	seen := []string{}
	for from := int64(atStart); len(seen) < 16; {
		sub := c.subscribe(ofAll(from), filter)
		for events := []string{}; ; {
			m := sub.next(1)[0]
			var commit, prepare int64
			if strings.HasPrefix(m, "yes/") {
				events = append(events, m)
			} else if n, _ := fmt.Sscanf(m, "checkpoint %d/%d", &commit, &prepare); n == 2 {
				seen = append(seen, events...)
				from = commit
				break // lost here
			}
		}
	}
	var want []string
	for len(want) < 16 {
		if m := whole.next(1)[0]; strings.HasPrefix(m, "yes/") {
			want = append(want, m)
		}
	}
	assert.Equal(t, want, seen)
}

func TestLosingTheRightToReadEndsASubscription(t *testing.T) {
	t.Parallel()
	c := serve(t, memstore.New(nil), &esdbserver.Options{Users: testUsers()}).stub(t)
	admin := c.as("admin")
	admin.mustAppend("s", 1)
	admin.mustAppend("idle", 1)
	sub, idle, stays := c.as("bob").subscribe(ofStream("s", atStart)), c.as("bob").subscribe(ofStream("idle", atStart)), c.as("ada").subscribe(ofStream("s", atStart))
	assert.Equal(t, around("s/0"), sub.next(3))
	assert.Equal(t, around("idle/0"), idle.next(3))
	assert.Equal(t, around("s/0"), stays.next(3))
	admin.setMetadata("s", `{"$acl":{"$r":"ada"}}`)
	admin.setMetadata("idle", `{"$acl":{"$r":"ada"}}`)
	admin.mustAppend("s", 1)
	assert.Equal(t, only("s", 1), stays.next(1))
	for _, over := range []subscribed{sub, idle} { // also one to which nothing comes
		code, trailer := over.end()
		assert.Equal(t, codes.PermissionDenied, code)
		assert.Equal(t, []string{"access-denied"}, trailer["exception"])
	}
}

// Who does not read holds up no writer, and loses nothing.
func TestASlowReaderHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store eventstore.Store) {
		s := serve(t, store, nil)
		c := s.stub(t)
		slow, slowAll := c.subscribe(ofStream("s", atStart)), c.subscribe(ofAll(8))
		assert.Equal(t, around(), slow.next(2))
		assert.Equal(t, around(), slowAll.next(2))
		p := proposalsOf(100)
		const rounds = 30
		for range rounds { // 3 MB, more than the connection holds
			for i := range p {
				p[i].Id, p[i].Data = textID(eventstore.NewID()), []byte(strings.Repeat("x", 1000))
			}
			_, _, err := s.stub(t).append("s", wantAny, p...)
			require.NoError(t, err)
		}
		for _, sub := range []subscribed{slow, slowAll} {
			for i := range rounds * 100 {
				m := sub.next(1)[0]
				for m == "caught up" {
					m = sub.next(1)[0]
				}
				require.Equal(t, fmt.Sprintf("s/%d", i), m)
			}
		}
	})
}

// Not parallel: it looks at the goroutines of the process.
func TestCallsLeaveNoGoroutines(t *testing.T) { //nolint:paralleltest // see above
	s := serve(t, memstore.New(nil), &esdbserver.Options{Users: testUsers()})
	c := s.stub(t)
	for i := range 20 {
		ctx, cancel := context.WithCancel(as(c.ctx, []string{"admin", "bob"}[i%2]))
		one := stub{t, ctx, c.c}
		assert.Equal(t, around(), one.subscribe(ofStream("s", atStart)).next(2))
		b := one.batch()
		b.send("a", batchOptions("u", wantAny), true, batched(1, "")...)
		b.next()
		b.send("b", batchOptions("u", wantAny), false, batched(1, "")...)
		cancel()
	}
	assert.Eventually(t, func() bool {
		all := make([]byte, 1<<20)
		all = all[:runtime.Stack(all, true)]
		return !strings.Contains(string(all), "esdbserver.(*reading)") && !strings.Contains(string(all), "esdbserver.(*batches)")
	}, 10*time.Second, 10*time.Millisecond)
}

func TestTheOfficialClientSubscribes(t *testing.T) {
	t.Parallel()
	s := serve(t, memstore.New(nil), nil)
	c := s.client(t)
	seven(s.stub(t))
	sub, err := c.SubscribeToAll(t.Context(), esdb.SubscribeToAllOptions{
		From: esdb.Start{}, Filter: esdb.ExcludeSystemEventsFilter(), MaxSearchWindow: 4, CheckpointInterval: 1,
	})
	require.NoError(t, err)
	defer func() { _ = sub.Close() }()
	var got []string
	for len(got) == 0 || got[len(got)-1] != "caught up" {
		switch m := sub.Recv(); {
		case m.EventAppeared != nil:
			got = append(got, m.EventAppeared.Event.StreamID)
		case m.CheckPointReached != nil:
			got = append(got, fmt.Sprint(m.CheckPointReached.Commit))
		case m.CaughtUp != nil:
			got = append(got, "caught up")
		default:
			t.Fatalf("%+v", m)
		}
	}
	assert.Equal(t, []string{"4", "8", "s", "s", "s", "s", "12", "s", "u", "u", "15", "caught up"}, got)
}
