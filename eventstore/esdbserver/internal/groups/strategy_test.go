package groups_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/groups"
)

func strategy(name string) func(*groups.Definition) {
	return func(d *groups.Definition) { d.Strategy = name }
}

func TestRoundRobin(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.create("s", strategy(groups.RoundRobin))
		a, b, c := f.connect("s", 3), f.connect("s", 1), f.connect("s", 3)
		f.append("s", 0, 8)
		assert.Equal(t, []string{"0", "3", "5"}, a.next(9))
		assert.Equal(t, []string{"1"}, b.next(9))
		assert.Equal(t, []string{"2", "4", "6"}, c.next(9))
	})
}

func TestDispatchToSingle(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.create("s", strategy(groups.DispatchToSingle))
		a, b := f.connect("s", 2), f.connect("s", 3)
		f.append("s", 0, 4)
		got := a.take(9)
		require.Len(t, got, 2)
		assert.Equal(t, []string{"2", "3"}, b.next(9))
		a.Ack(id(got[0]))
		f.append("s", 4, 1)
		assert.Equal(t, []string{"4"}, a.next(9))
	})
}

// One stream goes to one consumer. While that has no room its events wait, and
// those of others do not.
func TestPinned(t *testing.T) {
	t.Parallel()
	for _, by := range []string{groups.Pinned, groups.PinnedByCorrelation} {
		t.Run(by, func(t *testing.T) {
			bubble(t, func(f *fixture) {
				f.create(groups.All, strategy(by), func(d *groups.Definition) {
					d.Filter = &groups.Filter{Prefixes: []string{"s-"}}
				})
				all := []*consumer{f.connect(groups.All, 4), f.connect(groups.All, 4), f.connect(groups.All, 4)}
				for n := range 4 { // interleaved
					for pin := range 30 {
						e := eventstore.Event{Type: "t", Data: []byte(strconv.Itoa(pin) + ":" + strconv.Itoa(n))}
						stream := "s-" + strconv.Itoa(pin)
						if by == groups.PinnedByCorrelation {
							stream = "s-" + strconv.Itoa(n)
							e.Metadata = eventstore.NewMetadata(eventstore.KeyCorrelationID, strconv.Itoa(pin))
						}
						_, err := f.store.Append(f.Context(), stream, eventstore.Any, e)
						require.NoError(t, err)
					}
				}
				synctest.Wait()
				owner, seen := map[string]int{}, map[string]int{}
				idle := 0
				for i := 0; len(seen) < 30 || idle < 3; i = (i + 1) % 3 {
					got := all[i].take(9)
					if idle++; len(got) > 0 {
						idle = 0
					}
					for _, d := range got {
						pin, n := string(d.Event.Data[:len(d.Event.Data)-2]), d.Event.Data[len(d.Event.Data)-1]
						if before, ok := owner[pin]; ok {
							assert.Equal(t, before, i)
						}
						owner[pin] = i
						assert.Equal(t, strconv.Itoa(seen[pin]), string(n), "in order")
						seen[pin]++
						all[i].Ack(id(d))
					}
				}
				used := map[int]bool{}
				for pin, i := range owner {
					used[i] = true
					assert.Equal(t, 4, seen[pin])
				}
				assert.Len(t, used, 3)
			})
		})
	}
}

func TestPinnedPassesOverWhoIsFull(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.create(groups.All, strategy(groups.Pinned), func(d *groups.Definition) { d.Filter = &groups.Filter{Prefixes: []string{"s-"}} })
		a, b := f.connect(groups.All, 1), f.connect(groups.All, 50)
		for i := range 40 {
			f.append("s-"+strconv.Itoa(i%20), i, 1)
		}
		first, other := a.one(), b.next(50)
		assert.Empty(t, a.next(9), "it has no room for more")
		assert.Greater(t, len(other), 10)
		seen := len(other) + 1
		for {
			a.Ack(id(first))
			got := a.take(1)
			if len(got) == 0 {
				break
			}
			first = got[0]
			seen++
		}
		assert.Equal(t, 40, seen)
		a.Close()
		for i := range 20 { // all of it is b's now
			f.append("s-"+strconv.Itoa(i), i, 1)
		}
		b.Ack()
		assert.NotEmpty(t, b.next(99))
	})
}

func TestMeasurements(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 10)
		f.create("s", func(d *groups.Definition) { d.ExtraStatistics = true })
		c := f.connect("s", 1)
		for range 10 {
			d := c.one()
			time.Sleep(10 * time.Millisecond)
			c.Ack(id(d))
		}
		i := f.info("s")
		assert.EqualValues(t, 10, i.Total)
		assert.EqualValues(t, 10, i.SinceMeasured)
		assert.Zero(t, f.info("s").SinceMeasured)
		require.Len(t, i.Connections, 1)
		keys := map[string]int64{}
		for _, m := range i.Connections[0].Measurements {
			keys[m.Key] = m.Value
		}
		for _, k := range []string{
			"Mean", "Median", "Fastest", "Quintile 1", "Quintile 2", "Quintile 3", "Quintile 4", "Quintile 5",
			"90%", "95%", "99%", "99.5%", "99.9%", "Highest",
		} {
			assert.EqualValues(t, 10, keys[k], k)
		}
		assert.Len(t, keys, 14)
	})
}
