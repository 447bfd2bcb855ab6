package eventstoretest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
)

var appendClauses = []clause{
	{"VersionsStartAtOneAndHaveNoGaps", func(t *testing.T, f *fixture) {
		s := f.stream("1")
		assert.EqualValues(t, 1, f.append(s, eventstore.NoStream, event(1)).Version)
		assert.EqualValues(t, 4, f.append(s, eventstore.Any, events(2, 4)...).Version)
		assert.EqualValues(t, 5, f.append(s, eventstore.Exact(4), event(5)).Version)
		assert.Equal(t, span(1, 5), f.versions(s, eventstore.ReadOptions{}))
	}},
	{"ReceiptNamesTheLastEvent", func(t *testing.T, f *fixture) {
		s := f.stream("1")
		r := f.append(s, eventstore.NoStream, events(1, 3)...)
		assert.False(t, r.Repeated)
		got := f.read(s, eventstore.ReadOptions{})
		assert.Equal(t, got[2].Position, r.Position)
		assert.Equal(t, got[2].Version, r.Version)
	}},
	{"PositionsOfAnAppendAreConsecutiveOnADenseStore", func(t *testing.T, f *fixture) {
		if d, ok := f.store.(eventstore.Dense); ok && d.Dense() {
			s := f.stream("1")
			f.append(f.stream("2"), eventstore.NoStream, event(1))
			r := f.append(s, eventstore.NoStream, events(1, 3)...)
			for i, rec := range f.read(s, eventstore.ReadOptions{}) {
				assert.Equal(t, r.Position-2+eventstore.Position(i), rec.Position)
			}
		}
	}},
	{"EventsComeBackAsGiven", testComeBackAsGiven},
	{"AStoreMakesTheIdsThatAreMissing", func(t *testing.T, f *fixture) {
		s := f.stream("1")
		a, b := event(1), event(2)
		a.ID, b.ID = eventstore.ID{}, eventstore.ID{}
		f.append(s, eventstore.NoStream, a, b)
		got := f.read(s, eventstore.ReadOptions{})
		assert.False(t, got[0].ID.IsZero())
		assert.NotEqual(t, got[0].ID, got[1].ID)
	}},
	{"CallersMayReuseTheirBuffers", func(t *testing.T, f *fixture) {
		s := f.stream("1")
		e := event(1)
		es := []eventstore.Event{e}
		f.append(s, eventstore.NoStream, es...)
		clear(e.Data)
		es[0] = event(9)
		assert.Equal(t, []string{`{"n":1}`}, numbers(f.read(s, eventstore.ReadOptions{})))
	}},
	{"ManyEventsInOneAppend", func(t *testing.T, f *fixture) {
		s := f.stream("1")
		f.append(s, eventstore.NoStream, events(1, 2000)...)
		got := f.read(s, eventstore.ReadOptions{})
		require.Equal(t, span(1, 2000), versionsOf(got))
		assert.Equal(t, `{"n":2000}`, string(got[1999].Data))
	}},
	{"AppendOfNoEventsChecksTheStreamAndWritesNothing", func(t *testing.T, f *fixture) {
		s := f.stream("1")
		before := f.head()
		assert.EqualValues(t, 0, f.append(s, eventstore.NoStream).Version)
		f.readFails(eventstore.ErrStreamNotFound, s)
		assert.Equal(t, before, f.head())
		f.append(s, eventstore.NoStream, events(1, 2)...)
		before = f.head()
		for _, x := range []eventstore.Expected{eventstore.Any, eventstore.Exact(2), eventstore.StreamExists} {
			assert.EqualValues(t, 2, f.append(s, x).Version)
		}
		assert.Equal(t, before, f.head())
		f.conflict(s, eventstore.Exact(1), 2)
	}},
	{"NamesMayBeAnyUnicode", func(t *testing.T, f *fixture) {
		s := f.stream("größe-日本語-🙂 / \\ ? # %")
		e := event(1)
		e.Type = "bestellung.aufgegeben.✓"
		f.append(s, eventstore.NoStream, e)
		got := f.read(s, eventstore.ReadOptions{})
		assert.Equal(t, s, got[0].Stream)
		assert.Equal(t, e.Type, got[0].Type)
	}},
	{"TooLargeIsRefused", testTooLarge},
	{"BadNamesAreRefused", func(t *testing.T, f *fixture) {
		for _, s := range []string{"", "$$", "$all", strings.Repeat("x", eventstore.MaxStreamName+1), "a\xff"} {
			f.refused(eventstore.ErrInvalid, s, eventstore.Any, event(1))
			f.readFails(eventstore.ErrInvalid, s)
			_, err := collect(t, f.store.Subscribe(f.ctx, s, eventstore.SubscribeOptions{}))
			require.ErrorIs(t, err, eventstore.ErrInvalid)
			_, err = f.store.Delete(f.ctx, s, eventstore.Any)
			require.ErrorIs(t, err, eventstore.ErrInvalid)
			_, err = f.store.Tombstone(f.ctx, s, eventstore.Any)
			require.ErrorIs(t, err, eventstore.ErrInvalid)
			_, _, err = f.store.StreamMetadata(f.ctx, s)
			require.ErrorIs(t, err, eventstore.ErrInvalid)
		}
		noType := event(1)
		noType.Type = ""
		f.refused(eventstore.ErrInvalid, f.stream("1"), eventstore.Any, event(1), noType)
		tombstone := event(1)
		tombstone.Type = eventstore.TypeTombstone
		f.refused(eventstore.ErrInvalid, f.stream("1"), eventstore.Any, tombstone)
	}},
}

func testComeBackAsGiven(t *testing.T, f *fixture) {
	s := f.stream("1")
	given := []eventstore.Event{event(1), {ID: eventstore.NewID(), Type: "empty"}, event(3)}
	given[0].Metadata = eventstore.NewMetadata(eventstore.KeyCorrelationID, "c-1", "tenant", "käse", "empty", "")
	given[2].ContentType, given[2].Data = eventstore.ContentTypeBinary, []byte{0, 1, 2, 0xff}
	before := time.Now()
	f.append(s, eventstore.NoStream, given...)
	got := f.read(s, eventstore.ReadOptions{})
	require.Len(t, got, 3)
	for i, r := range got {
		assert.Equal(t, given[i].ID, r.ID)
		assert.Equal(t, s, r.Stream)
		assert.Equal(t, given[i].Type, r.Type)
		assert.Equal(t, string(given[i].Data), string(r.Data))
		assert.Equal(t, given[i].Metadata.Map(), r.Metadata.Map())
		assert.WithinDuration(t, before, r.Created, time.Minute)
		assert.Equal(t, time.UTC, r.Created.Location())
	}
	assert.Equal(t, eventstore.ContentTypeJSON, got[0].ContentType)
	assert.Equal(t, eventstore.ContentTypeBinary, got[1].ContentType, "the default")
	assert.Equal(t, eventstore.ContentTypeBinary, got[2].ContentType)
}

func testTooLarge(t *testing.T, f *fixture) {
	s := f.stream("1")
	half := event(1)
	half.Data = make([]byte, f.suite.MaxAppendSize/2)
	half.ContentType = eventstore.ContentTypeBinary
	other := half
	other.ID = eventstore.NewID()
	err := f.refused(eventstore.ErrTooLarge, s, eventstore.NoStream, half, other)
	var tooLarge *eventstore.TooLargeError
	require.ErrorAs(t, err, &tooLarge)
	assert.Equal(t, half.Size()+other.Size(), tooLarge.Size)
	assert.Equal(t, f.suite.MaxAppendSize, tooLarge.Limit)
	f.append(s, eventstore.NoStream, half)
	fits := event(2)
	fits.ContentType = eventstore.ContentTypeBinary
	fits.Data = make([]byte, f.suite.MaxAppendSize-2*len(fits.Type))
	f.append(s, eventstore.Exact(1), fits)
	assert.Len(t, f.read(s, eventstore.ReadOptions{})[1].Data, len(fits.Data))
}
