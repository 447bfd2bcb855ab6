package eventstoretest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

var expectedClauses = []clause{
	{"RefusedAppendWritesNothing", func(t *testing.T, f *fixture) {
		s := f.stream("1")
		f.append(s, eventstore.NoStream, events(1, 2)...)
		f.conflict(s, eventstore.NoStream, 2, events(3, 5)...)
		f.conflict(s, eventstore.Exact(1), 2, events(3, 5)...)
		f.conflict(s, eventstore.Exact(3), 2, events(3, 5)...)
		assert.Equal(t, span(1, 2), f.versions(s, eventstore.ReadOptions{}))
	}},
	{"OnAMissingStreamOnlyAnyAndNoStreamHold", func(t *testing.T, f *fixture) {
		f.conflict(f.stream("1"), eventstore.StreamExists, 0, event(1))
		f.conflict(f.stream("1"), eventstore.Exact(1), 0, event(1))
		f.append(f.stream("1"), eventstore.NoStream, event(1))
		f.append(f.stream("2"), eventstore.Any, event(1))
		f.append(f.stream("3"), eventstore.Exact(0), event(1))
	}},
	{"OnAStreamAnyAndStreamExistsAndItsVersionHold", func(t *testing.T, f *fixture) {
		s := f.stream("1")
		f.append(s, eventstore.NoStream, event(1))
		assert.EqualValues(t, 2, f.append(s, eventstore.Any, event(2)).Version)
		assert.EqualValues(t, 3, f.append(s, eventstore.StreamExists, event(3)).Version)
		assert.EqualValues(t, 4, f.append(s, eventstore.Exact(3), event(4)).Version)
	}},
	{"MetadataAloneMakesAStreamExist", func(t *testing.T, f *fixture) {
		s := f.stream("1")
		_, err := f.store.SetStreamMetadata(f.ctx, s, eventstore.NoStream, eventstore.StreamMetadata{MaxCount: 9})
		require.NoError(t, err)
		f.readFails(eventstore.ErrStreamNotFound, s)
		assert.EqualValues(t, 1, f.append(s, eventstore.StreamExists, event(1)).Version)
	}},
	{"RepeatedAppendReturnsTheFirstReceipt", testRepeatedExact},
	{"RepeatedAppendOfAnyVersionReturnsTheFirstReceipt", func(t *testing.T, f *fixture) {
		s, es := f.stream("1"), events(1, 3)
		first := f.append(s, eventstore.Any, es...)
		f.append(s, eventstore.Any, event(4))
		first.Repeated = true
		assert.Equal(t, first, f.append(s, eventstore.Any, es...))
		assert.Equal(t, first, f.append(s, eventstore.StreamExists, es...))
		assert.Equal(t, span(1, 4), f.versions(s, eventstore.ReadOptions{}))
	}},
	{"PartOfAnAppendIsARepetitionToo", func(t *testing.T, f *fixture) {
		s, es := f.stream("1"), events(1, 3)
		f.append(s, eventstore.NoStream, es...)
		r := f.append(s, eventstore.NoStream, es[:2]...)
		assert.True(t, r.Repeated)
		assert.EqualValues(t, 2, r.Version)
		assert.Equal(t, f.read(s, eventstore.ReadOptions{})[1].Position, r.Position)
		r = f.append(s, eventstore.Any, es[1:]...)
		assert.True(t, r.Repeated)
		assert.EqualValues(t, 3, r.Version)
	}},
	{"AMixtureOfOldAndNewEventsIsRefused", func(t *testing.T, f *fixture) {
		s, es := f.stream("1"), events(1, 2)
		f.append(s, eventstore.NoStream, es...)
		mixed := []eventstore.Event{es[0], es[1], event(3)}
		f.conflict(s, eventstore.NoStream, 2, mixed...)
		f.conflict(s, eventstore.Any, 2, mixed...)
		f.conflict(s, eventstore.StreamExists, 2, mixed...)
		f.conflict(s, eventstore.NoStream, 2, es[0], event(3))
	}},
	{"AtTheCurrentVersionAnIdMayBeUsedAgain", func(t *testing.T, f *fixture) {
		s, e := f.stream("1"), event(1)
		f.append(s, eventstore.NoStream, e)
		r := f.append(s, eventstore.Exact(1), e)
		assert.False(t, r.Repeated)
		assert.EqualValues(t, 2, r.Version)
	}},
	{"AnIdOfAnotherStreamIsNew", func(t *testing.T, f *fixture) {
		e := event(1)
		f.append(f.stream("1"), eventstore.Any, e)
		assert.False(t, f.append(f.stream("2"), eventstore.Any, e).Repeated)
	}},
	{"EventsWithoutIdsAreNeverARepetition", func(t *testing.T, f *fixture) {
		s, e := f.stream("1"), event(1)
		e.ID = eventstore.ID{}
		f.append(s, eventstore.Any, e)
		assert.False(t, f.append(s, eventstore.Any, e).Repeated)
		f.conflict(s, eventstore.NoStream, 2, e)
	}},
}

func testRepeatedExact(t *testing.T, f *fixture) {
	s, es, more := f.stream("1"), events(1, 3), events(4, 5)
	first := f.append(s, eventstore.NoStream, es...)
	second := f.append(s, eventstore.Exact(3), more...)
	f.append(s, eventstore.Exact(5), event(6))
	before := f.head()
	first.Repeated, second.Repeated = true, true
	assert.Equal(t, first, f.append(s, eventstore.NoStream, es...))
	assert.Equal(t, second, f.append(s, eventstore.Exact(3), more...))
	assert.Equal(t, before, f.head())
	f.conflict(s, eventstore.Exact(3), 6, events(4, 5)...)
	f.conflict(s, eventstore.Exact(2), 6, es...)
}
