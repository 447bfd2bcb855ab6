package groups_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/groups"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

const checkpoints = "$persistentsubscription-s::g-checkpoint"

func TestCheckpointByCount(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 10)
		f.create("s", func(d *groups.Definition) { d.MaxCheckpointCount, d.CheckpointAfter, d.MessageTimeout = 3, 0, 0 })
		c := f.connect("s", 10)
		got := c.take(10)
		c.Ack(id(got[0]), id(got[1]))
		synctest.Wait()
		assert.Empty(t, f.read(checkpoints))
		c.Ack(id(got[3])) // the third; but 2 is not done
		synctest.Wait()
		assert.Equal(t, []string{`"1"`}, f.read(checkpoints))
		c.Ack(id(got[2]), id(got[4]))
		pass(time.Hour)
		assert.Equal(t, []string{`"1"`}, f.read(checkpoints))
		c.Nack(groups.Skip, "", id(got[5]))
		synctest.Wait()
		assert.Equal(t, []string{`"1"`, `"5"`}, f.read(checkpoints))
		c.Ack(id(got[6]), id(got[7]))
		c.Nack(groups.Park, "", id(got[8]))
		synctest.Wait()
		assert.Equal(t, []string{`"5"`, `"8"`}, f.read(checkpoints)) // of which two are kept
		i := f.info("s")
		assert.Equal(t, "8", i.PointText(i.LastCheckpoint))
		assert.Equal(t, "9", i.PointText(i.LastKnown))
	})
}

func TestCheckpointByTime(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 10)
		f.create("s", func(d *groups.Definition) { d.MinCheckpointCount, d.CheckpointAfter = 2, 5*time.Second })
		c := f.connect("s", 10)
		got := c.take(10)
		c.Ack(id(got[0]))
		pass(10 * time.Second)
		assert.Empty(t, f.read(checkpoints))
		c.Ack(id(got[1]))
		pass(time.Second)
		assert.Equal(t, []string{`"1"`}, f.read(checkpoints))
		c.Ack(id(got[2]), id(got[3]))
		pass(3 * time.Second)
		assert.Len(t, f.read(checkpoints), 1)
		pass(3 * time.Second)
		assert.Equal(t, []string{`"1"`, `"3"`}, f.read(checkpoints))
	})
}

// A checkpoint stays below what is still held, waits to be handed out again, or
// is not yet parked.
func TestCheckpointStaysBelowWhatIsOpen(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 6)
		f.create("s", func(d *groups.Definition) { d.MinCheckpointCount, d.CheckpointAfter = 1, time.Second })
		c := f.connect("s", 3)
		got := c.take(3)
		c.Ack(id(got[0]))
		c.Ack(id(got[2]))
		c.Close() // 1, 3 and 4 wait
		pass(5 * time.Second)
		assert.Equal(t, []string{`"0"`}, f.read(checkpoints))
		f.restart()
		assert.Equal(t, []string{"1", "2", "3", "4", "5"}, f.connect("s", 10).next(9))
	})
}

func TestRestartGoesOnFromTheCheckpoint(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 5)
		f.create("s", func(d *groups.Definition) { d.MinCheckpointCount, d.CheckpointAfter = 2, 0 })
		c := f.connect("s", 2)
		got := c.take(2)
		c.Ack(id(got[0]))
		f.restart() // one is too few for a checkpoint
		c = f.connect("s", 2)
		got = c.take(2)
		assert.Equal(t, "0", name(got[0]))
		c.Ack(id(got[0]), id(got[1]))
		f.restart() // written on the way out
		c = f.connect("s", 10)
		assert.Equal(t, []string{"2", "3", "4"}, c.next(9))
		require.NoError(t, f.Restart(f.Context()))
		var dropped *groups.DroppedError
		_, err := c.Next(f.Context())
		require.ErrorAs(t, err, &dropped)
		assert.Equal(t, []string{"2", "3", "4"}, f.connect("s", 10).next(9))
	})
}

func TestUpdateGoesOnFromTheCheckpoint(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 4)
		f.create("s", func(d *groups.Definition) { d.MaxCheckpointCount = 2 })
		c := f.connect("s", 2)
		got := c.take(2)
		c.Ack(id(got[0]), id(got[1]))
		synctest.Wait()
		set := define("s").Settings
		set.MaxRetryCount = 3
		require.NoError(t, f.Update(f.Context(), "s", "g", set))
		_, err := c.Next(f.Context())
		var dropped *groups.DroppedError
		require.ErrorAs(t, err, &dropped)
		c.Ack(id(got[0])) // too late, and harmless
		c.Close()
		assert.Equal(t, 3, f.info("s").MaxRetryCount)
		assert.Equal(t, []string{"2", "3"}, f.connect("s", 9).next(9))
		f.restart()
		assert.Equal(t, 3, f.info("s").MaxRetryCount)
		var missing *groups.NotFoundError
		require.ErrorAs(t, f.Update(f.Context(), "s", "other", set), &missing)
	})
}

func TestDeleteForgetsEverything(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 4)
		f.create("s", func(d *groups.Definition) { d.MaxCheckpointCount = 1 })
		c := f.connect("s", 3)
		got := c.take(3)
		c.Ack(id(got[0]))
		c.Nack(groups.Park, "", id(got[1]))
		synctest.Wait()
		require.NoError(t, f.Delete(f.Context(), "s", "g"))
		_, err := c.Next(f.Context())
		require.Error(t, err)
		assert.Empty(t, f.read(checkpoints))
		assert.Empty(t, f.read("$persistentsubscription-s::g-parked"))
		var missing *groups.NotFoundError
		require.ErrorAs(t, f.Delete(f.Context(), "s", "g"), &missing)
		_, err = f.Connect(f.Context(), "s", "g", groups.Client{})
		require.ErrorAs(t, err, &missing)
		f.restart()
		list, err := f.List(f.Context(), "")
		require.NoError(t, err)
		assert.Empty(t, list)

		// A new group of the name begins anew, and keeps its own checkpoint.
		f.create("s", func(d *groups.Definition) { d.MaxCheckpointCount = 1 })
		assert.Zero(t, f.info("s").Parked)
		c = f.connect("s", 1)
		d := c.one()
		assert.Equal(t, "0", name(d))
		c.Nack(groups.Park, "", id(d))
		synctest.Wait()
		assert.EqualValues(t, 1, f.info("s").Parked)
		f.restart()
		assert.EqualValues(t, 1, f.info("s").Parked)
		assert.Equal(t, "1", name(f.connect("s", 1).one()))
	})
}

// The group's own notes are not among what a group on $all reads, and do not
// count: it would never come to rest.
func TestGroupOnAllComesToRest(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("x", 0, 1)
		f.append("order-1", 1, 1)
		f.append("order-2", 2, 1)
		f.append("y", 3, 5)
		f.create(groups.All, func(d *groups.Definition) {
			d.MinCheckpointCount, d.CheckpointAfter = 1, time.Second
			d.Filter = &groups.Filter{Prefixes: []string{"order-1", "order-2"}}
		})
		c := f.connect(groups.All, 10)
		got := c.take(9)
		require.Len(t, got, 2)
		assert.Equal(t, "1", name(got[0]))
		c.Ack(id(got[0]), id(got[1]))
		pass(time.Minute)
		head, err := f.store.Head(f.Context())
		require.NoError(t, err)
		pass(time.Hour)
		after, err := f.store.Head(f.Context())
		require.NoError(t, err)
		assert.Equal(t, head, after)
		kept := f.read("$persistentsubscription-$all::g-checkpoint")
		require.NotEmpty(t, kept)
		assert.Regexp(t, `^"C:\d+/P:\d+"$`, kept[0])

		f.restart()
		f.append("order-2", 9, 1)
		assert.Equal(t, []string{"9"}, f.connect(groups.All, 10).next(9))
	})
}

// What a filter leaves out moves the checkpoint on.
func TestFilteredOutCounts(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.create(groups.All, func(d *groups.Definition) {
			d.MaxCheckpointCount = 5
			d.Filter = &groups.Filter{OnType: true, Regexp: "^none$"}
		})
		f.append("s", 0, 20)
		synctest.Wait()
		assert.NotEmpty(t, f.read("$persistentsubscription-$all::g-checkpoint"))
	})
}

func TestAllStartsAtAPositionInclusive(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 3)
		f.create(groups.All, func(d *groups.Definition) {
			d.Start = groups.Start{Kind: groups.FromPoint, At: 2, Prepare: 2}
			d.Filter = &groups.Filter{Regexp: "^s$"}
		})
		assert.Equal(t, []string{"1", "2"}, f.connect(groups.All, 9).next(9))
		i := f.info(groups.All)
		assert.Equal(t, "C:2/P:2", i.StartText())
		f.restart()
		assert.Equal(t, []string{"1", "2"}, f.connect(groups.All, 9).next(9))
	})
}

func TestRefusedDefinitions(t *testing.T) {
	t.Parallel()
	for title, tc := range map[string]struct {
		change func(*groups.Definition)
		reason string
	}{
		"Strategy": {func(d *groups.Definition) { d.Strategy = "X" }, "Consumer strategy X does not exist."},
		"Batch":    {func(d *groups.Definition) { d.ReadBatchSize = 500 }, "read batch size of 500"},
		"NoStream": {func(d *groups.Definition) { d.Stream = "" }, "Bad stream name."},
		"NoGroup":  {func(d *groups.Definition) { d.Group = "" }, "Bad group name."},
		"FarAway": {func(d *groups.Definition) {
			d.Stream, d.Start = groups.All, groups.Start{Kind: groups.FromPoint, At: 9, Prepare: 9}
		}, "Invalid Start From position"},
		"Prepare": {func(d *groups.Definition) {
			d.Stream, d.Start = groups.All, groups.Start{Kind: groups.FromPoint, At: 0, Prepare: 1}
		}, "Invalid Start From position"},
		"FilterOfOne": {func(d *groups.Definition) { d.Filter = &groups.Filter{} }, "can have a filter"},
	} {
		t.Run(title, func(t *testing.T) {
			bubble(t, func(f *fixture) {
				err := f.Create(f.Context(), define("s", tc.change))
				var failed *groups.FailedError
				require.ErrorAs(t, err, &failed)
				assert.Contains(t, failed.Reason, tc.reason)
				assert.Empty(t, f.read("$persistentSubscriptionConfig"))
			})
		})
	}
	t.Run("Regexp", func(t *testing.T) {
		bubble(t, func(f *fixture) {
			err := f.Create(f.Context(), define(groups.All, func(d *groups.Definition) { d.Filter = &groups.Filter{Regexp: "(?=x)"} }))
			require.ErrorIs(t, err, eventstore.ErrInvalid)
		})
	})
}

func TestCreateTwice(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.create("s")
		var exists *groups.ExistsError
		require.ErrorAs(t, f.Create(f.Context(), define("s")), &exists)
		f.restart()
		require.ErrorAs(t, f.Create(f.Context(), define("s")), &exists)
		require.NoError(t, f.Create(f.Context(), define("s", func(d *groups.Definition) { d.Group = "h" })))
		list, err := f.List(f.Context(), "s")
		require.NoError(t, err)
		require.Len(t, list, 2)
		assert.Equal(t, "h", list[1].Group)
		_, err = f.List(f.Context(), "t")
		var missing *groups.NotFoundError
		require.ErrorAs(t, err, &missing)
		assert.Empty(t, missing.Group)
	})
}

// What cannot be understood is not overwritten: the engine refuses to begin.
func TestDamagedDefinitions(t *testing.T) {
	t.Parallel()
	for title, text := range map[string]string{"NotJSON": "[", "OtherVersion": `{"version":"2"}`} {
		t.Run(title, func(t *testing.T) {
			bubble(t, func(f *fixture) {
				f.halt()
				e := eventstore.Event{Type: "$PersistentConfig", Data: []byte(text)}
				_, err := f.store.Append(f.Context(), "$persistentSubscriptionConfig", eventstore.Any, e)
				require.NoError(t, err)
				m := groups.New(f.store, nil)
				require.ErrorContains(t, m.Run(f.Context()), "$persistentSubscriptionConfig")
				require.ErrorIs(t, m.Create(f.Context(), define("s")), groups.ErrStopped)
				f.store = memstore.New(nil)
				f.run()
			})
		})
	}
}

func TestDamagedCheckpoint(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.append("s", 0, 3)
		f.create("s", func(d *groups.Definition) { d.Start = groups.Start{Kind: groups.FromPoint, At: 1} })
		_, err := f.store.Append(f.Context(), checkpoints, eventstore.Any, eventstore.Event{Type: "x", Data: []byte(`"x"`)})
		require.NoError(t, err)
		f.restart()
		assert.Equal(t, []string{"1", "2"}, f.connect("s", 9).next(9))
	})
}
