package groups_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/groups"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// A fixture is an engine over a store, inside a synctest bubble.
type fixture struct {
	*testing.T
	store eventstore.Store
	*groups.Manager
	halt func()
}

// bubble runs a test with a running engine in virtual time.
func bubble(t *testing.T, test func(f *fixture)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{T: t, store: memstore.New(nil)}
		f.run()
		test(f)
		f.halt()
	})
}

func (f *fixture) run() {
	ctx, cancel := context.WithCancel(f.Context())
	f.Manager = groups.New(f.store, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func(m *groups.Manager) { done <- m.Run(ctx) }(f.Manager)
	f.halt = func() {
		cancel()
		require.NoError(f, <-done)
	}
}

// restart ends the engine and begins another one over the same store.
func (f *fixture) restart() {
	f.halt()
	f.run()
}

// define returns a definition with the defaults of the official clients,
// changed by with.
func define(stream string, with ...func(*groups.Definition)) groups.Definition {
	d := groups.Definition{Stream: stream, Group: "g", Settings: groups.Settings{
		MessageTimeout: 30 * time.Second, MaxRetryCount: 10, CheckpointAfter: 2 * time.Second,
		MinCheckpointCount: 10, MaxCheckpointCount: 1000,
		LiveBufferSize: 500, ReadBatchSize: 20, HistoryBufferSize: 500, Strategy: groups.RoundRobin,
	}}
	for _, w := range with {
		w(&d)
	}
	return d
}

func (f *fixture) create(stream string, with ...func(*groups.Definition)) {
	f.Helper()
	require.NoError(f, f.Create(f.Context(), define(stream, with...)))
}

func (f *fixture) connect(stream string, buffer int) *consumer {
	f.Helper()
	c, err := f.Connect(f.Context(), stream, "g", groups.Client{Buffer: buffer})
	require.NoError(f, err)
	return &consumer{f, c}
}

// append writes events whose data is their number from first on.
func (f *fixture) append(stream string, first, n int) {
	f.Helper()
	for i := range n {
		e := eventstore.Event{Type: "t", ContentType: eventstore.ContentTypeJSON, Data: []byte(strconv.Itoa(first + i))}
		_, err := f.store.Append(f.Context(), stream, eventstore.Any, e)
		require.NoError(f, err)
	}
}

func (f *fixture) link(stream, to string) {
	f.Helper()
	_, err := f.store.Append(f.Context(), stream, eventstore.Any, eventstore.Event{Type: "$>", Data: []byte(to)})
	require.NoError(f, err)
}

// read returns the data of the readable events of a stream.
func (f *fixture) read(stream string) []string {
	var data []string
	for e, err := range f.store.Read(f.Context(), stream, eventstore.ReadOptions{}) {
		if err != nil {
			require.ErrorIs(f, err, eventstore.ErrStreamNotFound)
			return nil
		}
		data = append(data, string(e.Data))
	}
	return data
}

func (f *fixture) info(stream string) groups.Info {
	f.Helper()
	i, err := f.Info(f.Context(), stream, "g")
	require.NoError(f, err)
	return i
}

// A consumer takes events and names them by their data.
type consumer struct {
	f *fixture
	*groups.Consumer
}

// next returns what arrives without time passing, as "data" or "data/retries".
func (c *consumer) next(most int) []string {
	c.f.Helper()
	var names []string
	for _, d := range c.take(most) {
		names = append(names, name(d))
	}
	return names
}

func name(d groups.Delivery) string {
	switch {
	case d.Event == nil:
		return "gone"
	case d.RetryCount > 0:
		return fmt.Sprintf("%s/%d", d.Event.Data, d.RetryCount)
	}
	return string(d.Event.Data)
}

func (c *consumer) take(most int) []groups.Delivery {
	c.f.Helper()
	var got []groups.Delivery
	for range most {
		synctest.Wait()
		ctx, cancel := context.WithTimeout(c.f.Context(), time.Nanosecond)
		d, err := c.Next(ctx)
		cancel()
		if err != nil {
			assert.ErrorIs(c.f, err, context.DeadlineExceeded)
			break
		}
		got = append(got, d)
	}
	return got
}

// one takes the event that must come next.
func (c *consumer) one() groups.Delivery {
	c.f.Helper()
	got := c.take(1)
	require.Len(c.f, got, 1)
	return got[0]
}

func id(d groups.Delivery) eventstore.ID { return d.Original().ID }

// pass lets virtual time go by.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
