package groups_test

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/groups"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

const parked = "$persistentsubscription-s::g-parked"

// parkAll parks the first n events of s.
func (c *consumer) parkAll(n int) {
	c.f.Helper()
	for range n {
		c.Nack(groups.Park, "bad", id(c.one()))
	}
	synctest.Wait()
	require.EqualValues(c.f, n, c.f.info("s").Parked)
}

func TestReplay(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 6)
		f.create("s")
		c := f.connect("s", 1)
		c.parkAll(4)
		d := c.one()
		require.NoError(t, f.ReplayParked(f.Context(), "s", "g", 2, true))
		assert.EqualValues(t, 2, f.info("s").Parked)
		c.Nack(groups.Retry, "", id(d))
		assert.Equal(t, []string{"4/1"}, c.next(9)) // before what is replayed
		c.Ack(id(d))
		first := c.one()
		assert.Equal(t, "0", name(first))
		assert.Equal(t, parked, first.Link.Stream)
		c.Ack(first.Event.ID) // not the link's
		assert.Empty(t, c.next(9))
		c.Nack(groups.Retry, "", id(first))
		assert.Equal(t, "0/1", name(c.one()))
		c.Ack(id(first))
		second := c.one()
		assert.Equal(t, "1", name(second))
		pass(2 * time.Second)
		assert.Equal(t, []string{"1@s", "2@s", "3@s"}, f.read(parked)) // 1 is still held

		require.NoError(t, f.ReplayParked(f.Context(), "s", "g", 0, false))
		c.Nack(groups.Park, "again", id(second))
		third := c.one()
		assert.Equal(t, "2", name(third))
		c.Ack(id(third))
		c.Ack(id(c.one()))
		assert.Equal(t, "5", name(c.one()))
		pass(2 * time.Second)
		assert.Equal(t, []string{"1@s"}, f.read(parked))
		assert.EqualValues(t, 1, f.info("s").Parked)
		f.restart()
		assert.EqualValues(t, 1, f.info("s").Parked)
	})
}

func TestReplayEdges(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 1)
		f.create("s")
		require.NoError(t, f.ReplayParked(f.Context(), "s", "g", 0, false)) // nothing is parked
		var failed *groups.FailedError
		require.ErrorAs(t, f.ReplayParked(f.Context(), "s", "g", -1, true), &failed)
		var missing *groups.NotFoundError
		require.ErrorAs(t, f.ReplayParked(f.Context(), "s", "other", 0, false), &missing)

		c := f.connect("s", 1)
		c.parkAll(1)
		_, err := f.store.Delete(f.Context(), "s", eventstore.Any)
		require.NoError(t, err)
		require.NoError(t, f.ReplayParked(f.Context(), "s", "g", 0, false))
		assert.Empty(t, c.next(1)) // its target is gone
		assert.Zero(t, f.info("s").Parked)
		pass(2 * time.Second)
		assert.Empty(t, f.read(parked))
	})
}

// A replay that was not dealt with is still parked after the engine ended.
func TestReplayIsNotLost(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 2)
		f.create("s")
		c := f.connect("s", 1)
		c.parkAll(2)
		require.NoError(t, f.ReplayParked(f.Context(), "s", "g", 0, false))
		c.Ack(id(c.one()))
		assert.Equal(t, "1", name(c.one()))
		f.restart()
		assert.EqualValues(t, 1, f.info("s").Parked)
		require.NoError(t, f.ReplayParked(f.Context(), "s", "g", 0, false))
		assert.Equal(t, "1", name(f.connect("s", 1).one()))
	})
}

func TestLinks(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("a", 0, 2)
		f.link("s", "1@a")
		f.link("s", "7@a")
		f.link("s", "0@none")
		f.link("s", "nonsense")
		f.create("s", func(d *groups.Definition) { d.ResolveLinkTos = true })
		c := f.connect("s", 10)
		got := c.take(9)
		require.Len(t, got, 4)
		assert.Equal(t, "1", name(got[0]))
		assert.Equal(t, "s", got[0].Link.Stream)
		assert.Equal(t, "gone", name(got[1]))
		assert.Equal(t, "gone", name(got[2]))
		assert.Equal(t, "nonsense", name(got[3]))
		assert.Nil(t, got[3].Link)
		for _, d := range got {
			c.Nack(groups.Park, "", id(d))
		}
		synctest.Wait()
		assert.Equal(t, []string{"1@a", "7@a", "0@none", "3@s"}, f.read(parked))

		f.create("a", func(d *groups.Definition) { d.ResolveLinkTos = false })
		f.link("a", "0@s")
		assert.Equal(t, []string{"0", "1", "0@s"}, f.connect("a", 10).next(9))
	})
}

// failing refuses to write what the groups write while broken is set.
type failing struct {
	eventstore.Store
	broken atomic.Bool
}

func (s *failing) Append(ctx context.Context, stream string, e eventstore.Expected, events ...eventstore.Event) (eventstore.Receipt, error) {
	if s.broken.Load() && strings.HasPrefix(stream, "$persistentsubscription-") {
		return eventstore.Receipt{}, &eventstore.UnavailableError{Op: "append", Err: errors.New("broken")}
	}
	return s.Store.Append(ctx, stream, e, events...)
}

// What cannot be parked now is parked later, and no checkpoint passes it.
func TestParkingIsNotLost(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.halt()
		store := &failing{Store: f.store}
		f.store = store
		f.run()
		f.append("s", 0, 100)
		f.create("s", func(d *groups.Definition) { d.MaxCheckpointCount = 1 })
		c := f.connect("s", 100)
		got := c.take(100)
		store.broken.Store(true)
		for _, d := range got[:50] {
			c.Nack(groups.Park, strings.Repeat("long ", 10_000), id(d))
		}
		c.Ack(id(got[50]))
		pass(10 * time.Second)
		assert.Empty(t, f.read(parked))
		f.restart() // to no avail
		assert.Equal(t, "0", name(f.connect("s", 1).one()))

		f.halt()
		f.run()
		c = f.connect("s", 100)
		for _, d := range c.take(50) {
			c.Nack(groups.Park, strings.Repeat("long ", 10_000), id(d))
		}
		store.broken.Store(false)
		pass(2 * time.Second)
		names := f.read(parked)
		require.Len(t, names, 50)
		for i, n := range names {
			assert.Equal(t, strconv.Itoa(i)+"@s", n)
		}
		assert.Equal(t, []string{`"49"`}, f.read(checkpoints))
	})
}

// A reason counts twice, as JSON and as pairs. However little the store takes at once, events are parked, if need be without
// the reason.
func TestParkingFitsIntoAnAppend(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.halt()
		f.store = memstore.New(&memstore.Options{MaxAppendSize: 24 << 10})
		f.run()
		f.append("s", 0, 4)
		f.create("s")
		c := f.connect("s", 4)
		got := c.take(4)
		c.Nack(groups.Park, strings.Repeat("x", 9<<10), id(got[0]), id(got[1]))
		synctest.Wait()
		f.halt()
		f.store = smaller{f.store}
		f.run()
		c = f.connect("s", 4)
		got = c.take(4)
		require.Len(t, got, 4)
		c.Nack(groups.Park, strings.Repeat("x", 9<<10), id(got[3]))
		synctest.Wait()
		var reasons []int
		for e, err := range f.store.Read(f.Context(), parked, eventstore.ReadOptions{}) {
			require.NoError(t, err)
			reasons = append(reasons, len(e.Metadata.Get("reason")))
		}
		assert.Equal(t, []int{8 << 10, 8 << 10, 0}, reasons)
	})
}

// smaller takes less in one append than its Store.
type smaller struct{ eventstore.Store }

func (s smaller) Append(ctx context.Context, stream string, e eventstore.Expected, events ...eventstore.Event) (eventstore.Receipt, error) {
	if err := eventstore.CheckEvents(stream, 4<<10, events); err != nil {
		return eventstore.Receipt{}, err
	}
	return s.Store.Append(ctx, stream, e, events...)
}

func TestTombstone(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 1)
		f.create("s")
		c := f.connect("s", 5)
		synctest.Wait()
		_, err := f.store.Tombstone(f.Context(), "s", eventstore.Any)
		require.NoError(t, err)
		got := c.take(9)
		require.Len(t, got, 2)
		assert.Equal(t, eventstore.TypeTombstone, got[1].Event.Type)
		f.restart() // nothing more is there to read, and that is no fault
		assert.Empty(t, f.connect("s", 5).next(9))
		f.create(groups.All, func(d *groups.Definition) { d.Filter = &groups.Filter{Prefixes: []string{"s"}} })
		assert.Len(t, f.connect(groups.All, 5).take(9), 2)
	})
}

// A read that fails is tried again from where it was.
type flaky struct {
	eventstore.Store
	left atomic.Int32
}

func (s *flaky) Subscribe(ctx context.Context, stream string, opts eventstore.SubscribeOptions) iter.Seq2[eventstore.Message, error] {
	return func(yield func(eventstore.Message, error) bool) {
		for m, err := range s.Store.Subscribe(ctx, stream, opts) {
			if m.Kind == eventstore.MessageEvent && s.left.Add(-1) == 0 {
				yield(eventstore.Message{}, errors.New("lost"))
				return
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

func TestReadingGoesOnAfterAFailure(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.halt()
		store := &flaky{Store: f.store}
		store.left.Store(3)
		f.store = store
		f.run()
		f.append("s", 0, 5)
		f.create("s")
		c := f.connect("s", 10)
		assert.Equal(t, []string{"0", "1"}, c.next(9))
		pass(2 * time.Second)
		assert.Equal(t, []string{"2", "3", "4"}, c.next(9))
	})
}
