package groups_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/groups"
)

func TestHistoryThenLive(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 3)
		f.create("s")
		c := f.connect("s", 10)
		assert.Equal(t, []string{"0", "1", "2"}, c.next(9))
		f.append("s", 3, 2)
		f.append("other", 0, 1)
		assert.Equal(t, []string{"3", "4"}, c.next(9))
		assert.Equal(t, "Live", f.info("s").Status)
	})
}

func TestBufferIsTheMostAConsumerHolds(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 5)
		f.create("s")
		c := f.connect("s", 2)
		got := c.take(9)
		require.Len(t, got, 2)
		c.Ack(id(got[0]))
		assert.Equal(t, []string{"2"}, c.next(9))
		c.Ack(id(got[0])) // again: does not count
		c.Ack(eventstore.NewID())
		assert.Empty(t, c.next(9))
		c.Nack(groups.Skip, "", id(got[1]))
		assert.Equal(t, []string{"3"}, c.next(9))
	})
}

func TestReadAheadIsBounded(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 50)
		f.create("s", func(d *groups.Definition) { d.LiveBufferSize, d.HistoryBufferSize, d.ReadBatchSize = 4, 8, 2 })
		synctest.Wait()
		i := f.info("s")
		assert.Equal(t, 8, i.ReadBuffer)
		assert.Equal(t, "Behind", i.Status)
		c := f.connect("s", 100)
		assert.Len(t, c.take(100), 50)
		assert.Equal(t, "Live", f.info("s").Status)
	})
}

func TestStart(t *testing.T) {
	t.Parallel()
	for title, tc := range map[string]struct {
		start groups.Start
		text  string
		want  []string
	}{
		"Start":  {groups.Start{}, "0", []string{"0", "1", "2", "3", "4"}},
		"End":    {groups.Start{Kind: groups.FromEnd}, "-1", []string{"3", "4"}},
		"One":    {groups.Start{Kind: groups.FromPoint, At: 1}, "1", []string{"1", "2", "3", "4"}},
		"Zero":   {groups.Start{Kind: groups.FromPoint}, "0", []string{"0", "1", "2", "3", "4"}},
		"Beyond": {groups.Start{Kind: groups.FromPoint, At: 4}, "4", []string{"4"}},
	} {
		t.Run(title, func(t *testing.T) {
			bubble(t, func(f *fixture) {
				f.append("s", 0, 3)
				f.create("s", func(d *groups.Definition) { d.Start = tc.start })
				i := f.info("s")
				assert.Equal(t, tc.text, i.StartText())
				f.append("s", 3, 1)
				f.restart() // the end is that of the creation
				f.append("s", 4, 1)
				assert.Equal(t, tc.want, f.connect("s", 10).next(9))
			})
		})
	}
}

func TestNackActions(t *testing.T) {
	t.Parallel()
	for title, tc := range map[string]struct {
		action groups.Action
		next   []string
		parked []string
	}{
		"Unknown": {groups.Unknown, []string{"0/1", "1"}, nil},
		"Retry":   {groups.Retry, []string{"0/1", "1"}, nil},
		"Park":    {groups.Park, []string{"1", "2"}, []string{"0@s"}},
		"Skip":    {groups.Skip, []string{"1", "2"}, nil},
		"Stop":    {groups.Stop, []string{"1", "2"}, nil},
	} {
		t.Run(title, func(t *testing.T) {
			bubble(t, func(f *fixture) {
				f.append("s", 0, 3)
				f.create("s")
				c := f.connect("s", 1)
				c.Nack(tc.action, "because", id(c.one()))
				synctest.Wait()
				assert.Equal(t, tc.parked, f.read("$persistentsubscription-s::g-parked"))
				assert.Equal(t, int64(len(tc.parked)), f.info("s").Parked)
				first := c.one()
				c.Ack(id(first))
				got := []string{name(first), name(c.one())}
				assert.Equal(t, tc.next, got)
			})
		})
	}
}

// What is handed out again comes before anything new and in the order of the
// log, and it has been handed out when Nack returns.
func TestRetriesComeFirstAndInOrder(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 8)
		f.create("s")
		c := f.connect("s", 4)
		got := c.take(4)
		c.Nack(groups.Retry, "", id(got[2]), id(got[0]))
		c.Nack(groups.Retry, "", id(got[1]))
		assert.Equal(t, []string{"0/1", "2/1", "1/1"}, c.next(9))
		c.Ack(id(got[3]))
		assert.Equal(t, []string{"4"}, c.next(9))

		c.Close()
		d := f.connect("s", 10)
		assert.Equal(t, []string{"0/2", "1/2", "2/2", "4/1", "5", "6", "7"}, d.next(9))
	})
}

func TestGivesUpAfterMaxRetryCount(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 2)
		f.create("s", func(d *groups.Definition) { d.MaxRetryCount = 2 })
		c := f.connect("s", 1)
		for _, want := range []string{"0", "0/1", "0/2"} {
			d := c.one()
			assert.Equal(t, want, name(d))
			c.Nack(groups.Retry, "", id(d))
		}
		assert.Equal(t, "1", name(c.one()))
		for e, err := range f.store.Read(f.Context(), "$persistentsubscription-s::g-parked", eventstore.ReadOptions{}) {
			require.NoError(t, err)
			assert.Equal(t, "Reached retry count of 2", e.Metadata.Get("reason"))
			assert.Equal(t, "0", e.Metadata.Get("subscriptionEventNumber"))
			_, err := time.Parse(time.RFC3339Nano, e.Metadata.Get("added"))
			assert.NoError(t, err)
		}
	})
}

func TestTimeout(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 4)
		f.create("s", func(d *groups.Definition) { d.MessageTimeout, d.MaxRetryCount = 5*time.Second, 1 })
		c := f.connect("s", 2)
		assert.Equal(t, []string{"0", "1"}, c.next(9))
		pass(4900 * time.Millisecond)
		assert.Empty(t, c.next(9))
		pass(1100 * time.Millisecond)
		assert.Equal(t, []string{"0/1", "1/1"}, c.next(9))
		pass(6 * time.Second)
		assert.Equal(t, []string{"2", "3"}, c.next(9))
		assert.Equal(t, []string{"0@s", "1@s"}, f.read("$persistentsubscription-s::g-parked"))
	})
}

// What timed out before the consumer took it does not pile up in its outbox.
func TestTimeoutOfWhatWasNotTaken(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 3)
		f.create("s", func(d *groups.Definition) { d.MessageTimeout = time.Second })
		c := f.connect("s", 2)
		pass(time.Minute / 10)
		assert.LessOrEqual(t, len(c.take(9)), 2)
		assert.Equal(t, 2, f.info("s").InFlight)
	})
}

func TestNoTimeout(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 1)
		f.create("s", func(d *groups.Definition) { d.MessageTimeout = 0 })
		c := f.connect("s", 2)
		assert.Equal(t, []string{"0"}, c.next(9))
		pass(time.Hour)
		assert.Empty(t, c.next(9))
	})
}

// An event id may occur twice in a stream; each of the two is handed out.
func TestSameIDTwice(t *testing.T) {
	bubble(t, func(f *fixture) {
		e := eventstore.Event{ID: eventstore.NewID(), Type: "t", Data: []byte("x")}
		_, err := f.store.Append(f.Context(), "s", eventstore.Exact(0), e)
		require.NoError(t, err)
		_, err = f.store.Append(f.Context(), "s", eventstore.Exact(1), e)
		require.NoError(t, err)
		f.create("s")
		c := f.connect("s", 5)
		require.Len(t, c.take(9), 2)
		c.Ack(e.ID)
		assert.Equal(t, 1, f.info("s").InFlight)
		c.Ack(e.ID)
		assert.Equal(t, 0, f.info("s").InFlight)
	})
}

func TestMaxSubscriberCount(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.create("s", func(d *groups.Definition) { d.MaxSubscriberCount = 1 })
		c := f.connect("s", 1)
		_, err := f.Connect(f.Context(), "s", "g", groups.Client{})
		var full *groups.FullError
		require.ErrorAs(t, err, &full)
		c.Close()
		c.Close()
		_, err = c.Next(f.Context())
		require.Error(t, err)
		f.connect("s", 1)
	})
}

func TestStopEndsConsumers(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.create("s")
		c := f.connect("s", 1)
		f.halt()
		_, err := c.Next(f.Context())
		require.ErrorIs(t, err, groups.ErrStopped)
		require.ErrorIs(t, f.Create(f.Context(), define("u")), groups.ErrStopped)
		f.run()
	})
}

func TestCallsWaitForRun(t *testing.T) {
	bubble(t, func(f *fixture) {
		m := groups.New(f.store, nil)
		ctx, cancel := context.WithTimeout(f.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, m.Create(ctx, define("s")), context.DeadlineExceeded)
	})
}
