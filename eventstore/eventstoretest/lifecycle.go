package eventstoretest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

var lifecycleClauses = []clause{
	{"ACancelledContextStopsEveryMethod", func(t *testing.T, f *fixture) {
		s := f.filled(2)
		before := f.head()
		ctx, cancel := context.WithCancel(f.ctx)
		cancel()
		for name, err := range callAll(t, ctx, f.store, s) {
			assert.ErrorIs(t, err, context.Canceled, name)
		}
		assert.Equal(t, before, f.head(), "nothing may be written")
	}},
	{"ACancelledContextStopsASequence", func(t *testing.T, f *fixture) {
		s := f.filled(9)
		ctx, cancel := context.WithCancel(f.ctx)
		defer cancel()
		n := 0
		var last error
		for _, err := range f.store.Read(ctx, s, eventstore.ReadOptions{}) {
			if last = err; err == nil {
				n++
				cancel()
			}
		}
		require.ErrorIs(t, last, context.Canceled)
		assert.Less(t, n, 9)
	}},
	{"AClosedStoreSaysSo", func(t *testing.T, f *fixture) {
		s := f.filled(9)
		one, all := f.subscribe(s, 0), f.subscribeAll(0)
		one.untilCaughtUp()
		all.untilCaughtUp()
		n := 0
		var last error
		for _, err := range f.store.Read(f.ctx, s, eventstore.ReadOptions{}) {
			if last = err; err == nil && n == 0 {
				require.NoError(t, f.store.Close())
			}
			n++
		}
		require.ErrorIs(t, last, eventstore.ErrClosed)
		one.fails(eventstore.ErrClosed)
		all.fails(eventstore.ErrClosed)
		for name, err := range callAll(t, f.ctx, f.store, s) {
			assert.ErrorIs(t, err, eventstore.ErrClosed, name)
		}
		require.NoError(t, f.store.Close(), "closing twice is harmless")
	}},
}

// callAll returns what every method of a store answers.
func callAll(t *testing.T, ctx context.Context, s eventstore.Store, stream string) map[string]error {
	errs := make(map[string]error)
	_, errs["Append"] = s.Append(ctx, stream, eventstore.Any, event(1))
	_, errs["Read"] = collect(t, s.Read(ctx, stream, eventstore.ReadOptions{}))
	_, errs["ReadAll"] = collect(t, s.ReadAll(ctx, eventstore.ReadAllOptions{}))
	_, errs["Subscribe"] = collect(t, s.Subscribe(ctx, stream, eventstore.SubscribeOptions{}))
	_, errs["SubscribeAll"] = collect(t, s.SubscribeAll(ctx, eventstore.SubscribeAllOptions{}))
	_, errs["Head"] = s.Head(ctx)
	_, errs["Delete"] = s.Delete(ctx, stream, eventstore.Any)
	_, errs["Tombstone"] = s.Tombstone(ctx, stream, eventstore.Any)
	_, _, errs["StreamMetadata"] = s.StreamMetadata(ctx, stream)
	_, errs["SetStreamMetadata"] = s.SetStreamMetadata(ctx, stream, eventstore.Any, eventstore.StreamMetadata{})
	if c, ok := s.(eventstore.Conditional); ok {
		everything := eventstore.Query{{}}
		_, errs["AppendIf"] = c.AppendIf(ctx, stream, eventstore.Condition{Query: everything}, event(1))
		_, errs["ReadQuery"] = collect(t, c.ReadQuery(ctx, everything, eventstore.ReadQueryOptions{}))
	}
	return errs
}

var promiseClauses = []clause{
	{"PositionsAreDense", func(t *testing.T, f *fixture) {
		if !f.suite.DensePositions {
			t.Skip("not promised by this store")
		}
		f.filled(3)
		f.setMetadata(f.stream("filled"), eventstore.StreamMetadata{MaxCount: 2})
		assert.Equal(t, []eventstore.Position{1, 2, 3, 4}, positionsOf(f.readAll(eventstore.ReadAllOptions{})))
	}},
	{"AnyContentTypeIsKept", func(t *testing.T, f *fixture) {
		if !f.suite.ContentTypes {
			t.Skip("not promised by this store")
		}
		e := event(1)
		e.ContentType = eventstore.ContentTypeMsgpack
		f.append(f.stream("1"), eventstore.NoStream, e)
		assert.Equal(t, e.ContentType, f.read(f.stream("1"), eventstore.ReadOptions{})[0].ContentType)
	}},
	{"ReopeningKeepsEverything", testReopen},
}

func testReopen(t *testing.T, f *fixture) {
	if f.suite.Reopen == nil {
		t.Skip("not promised by this store")
	}
	s, es := f.stream("1"), events(1, 3)
	first := f.append(s, eventstore.NoStream, es...)
	f.append(s, eventstore.Exact(3), event(4))
	f.setMetadata(s, eventstore.StreamMetadata{MaxCount: 3})
	f.append(f.stream("gone"), eventstore.NoStream, event(1))
	f.tombstone(f.stream("gone"))
	f.append(f.stream("deleted"), eventstore.NoStream, event(1))
	f.delete(f.stream("deleted"))
	all := f.readAll(eventstore.ReadAllOptions{})
	head := f.head()

	f.store = f.suite.Reopen(t, f.store)
	assert.Equal(t, head, f.head())
	assert.Equal(t, all, f.readAll(eventstore.ReadAllOptions{}))
	assert.Equal(t, span(2, 4), f.versions(s, eventstore.ReadOptions{}))
	f.readFails(eventstore.ErrStreamDeleted, f.stream("gone"))
	f.refused(eventstore.ErrStreamDeleted, f.stream("gone"), eventstore.Any, event(1))
	f.readFails(eventstore.ErrStreamNotFound, f.stream("deleted"))
	first.Repeated = true
	assert.Equal(t, first, f.append(s, eventstore.NoStream, es...))
	f.conflict(s, eventstore.Exact(3), 4, event(9))
	assert.Greater(t, f.append(s, eventstore.Exact(4), event(5)).Position, head)
	assert.EqualValues(t, 2, f.append(f.stream("deleted"), eventstore.NoStream, event(2)).Version)
	_, v, err := f.store.StreamMetadata(f.ctx, s)
	require.NoError(t, err)
	assert.EqualValues(t, 1, v)
}
