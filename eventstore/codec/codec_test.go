package codec_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
)

type placed struct {
	Customer string
	Lines    []line
	At       time.Time
}

type line struct {
	SKU   string
	Cents int64
}

type placedLater struct { // placed after a field was added and one removed
	Customer string
	Coupon   string
}

type shipped struct{ Tracking string }

// fast has the methods that msgp generates, with a mark of its own.
type fast struct{ N byte }

func (f *fast) MarshalMsg(b []byte) ([]byte, error) { return append(b, 0xC4, 1, f.N), nil }

func (f *fast) UnmarshalMsg(b []byte) ([]byte, error) {
	f.N = b[2]
	return b[3:], nil
}

func recorded(e eventstore.Event) eventstore.Recorded {
	return eventstore.Recorded{Stream: "order-1", Version: 7, Type: e.Type, ContentType: e.ContentType, Data: e.Data}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 2, 3, 4, 5, 6, 7, time.UTC)
	c := codec.New(
		codec.Type[placed]("order.placed"),
		codec.Type[shipped]("order.shipped", codec.As(codec.JSON)),
		codec.Type[fast]("order.fast"),
	)
	for _, tt := range []struct {
		event       any
		contentType string
	}{
		{placed{"ada", []line{{"tea", 450}, {"cup", -1}}, at}, eventstore.ContentTypeMsgpack},
		{placed{}, eventstore.ContentTypeMsgpack},
		{shipped{"☃ 12"}, eventstore.ContentTypeJSON},
		{fast{42}, eventstore.ContentTypeMsgpack},
	} {
		e, err := c.Encode(tt.event)
		require.NoError(t, err)
		assert.Equal(t, tt.contentType, e.ContentType)
		got, err := c.Decode(recorded(e))
		require.NoError(t, err)
		if p, ok := got.(placed); ok { // a time keeps its instant, not its location
			assert.True(t, p.At.Equal(tt.event.(placed).At))
			p.At = tt.event.(placed).At
			got = p
		}
		assert.Equal(t, tt.event, got)
	}
	e, err := c.Encode(fast{9})
	require.NoError(t, err)
	assert.Equal(t, []byte{0xC4, 1, 9}, e.Data, "the generated method was not used")
}

func TestFieldsMayComeAndGo(t *testing.T) {
	t.Parallel()
	old := codec.New(codec.Type[placed]("order.placed"))
	now := codec.New(codec.Type[placedLater]("order.placed.v2", codec.Aliases("order.placed")))
	e, err := old.Encode(placed{Customer: "ada", Lines: []line{{"tea", 1}}})
	require.NoError(t, err)
	got, err := now.Decode(recorded(e))
	require.NoError(t, err)
	assert.Equal(t, placedLater{Customer: "ada"}, got)
	assert.Equal(t, []string{"order.placed.v2", "order.placed"}, now.TypeNames(reflect.TypeFor[placedLater]()))
	assert.Nil(t, now.TypeNames(reflect.TypeFor[placed]()))
}

func TestStoredContentTypeDecidesTheEncoding(t *testing.T) {
	t.Parallel()
	asJSON := codec.New(codec.Default(codec.JSON), codec.Type[shipped]("order.shipped"))
	asMsgpack := codec.New(codec.Type[shipped]("order.shipped"))
	for _, writer := range []*codec.Codec{asJSON, asMsgpack} {
		e, err := writer.Encode(shipped{"x"})
		require.NoError(t, err)
		for _, reader := range []*codec.Codec{asJSON, asMsgpack} {
			got, err := reader.Decode(recorded(e))
			require.NoError(t, err)
			assert.Equal(t, shipped{"x"}, got)
		}
	}
	e, err := asMsgpack.Encode(shipped{"x"})
	require.NoError(t, err)
	e.ContentType = eventstore.ContentTypeBinary // as EventStoreDB gives it back
	got, err := asMsgpack.Decode(recorded(e))
	require.NoError(t, err)
	assert.Equal(t, shipped{"x"}, got)
}

func TestUnknownTypeNamesEventStreamAndVersion(t *testing.T) {
	t.Parallel()
	_, err := codec.New().Decode(eventstore.Recorded{Stream: "order-1", Version: 7, Type: "order.lost"})
	require.ErrorIs(t, err, eventstore.ErrUnknownEvent)
	var unknown *eventstore.UnknownEventError
	require.ErrorAs(t, err, &unknown)
	assert.Equal(t, eventstore.UnknownEventError{Type: "order.lost", Stream: "order-1", Version: 7}, *unknown)

	_, err = codec.New().Encode(shipped{})
	require.ErrorIs(t, err, codec.ErrUnregistered)
	assert.ErrorContains(t, err, "codec_test.shipped")
}

func TestDamagedDataIsAnErrorThatNamesTheEvent(t *testing.T) {
	t.Parallel()
	c := codec.New(codec.Type[placed]("order.placed"))
	good, err := c.Encode(placed{Customer: "ada"})
	require.NoError(t, err)
	for name, data := range map[string][]byte{
		"empty":    nil,
		"cut":      good.Data[:len(good.Data)-1],
		"trailing": append(good.Data[:len(good.Data):len(good.Data)], 0),
		"other":    {0xC3},
		"huge":     []byte("\x93\xa1\xdd\xdd000\x93\xfc\xa2\x9c"), // declares 808,464,531 lines
	} {
		_, err := c.Decode(eventstore.Recorded{Stream: "order-1", Version: 7, Type: "order.placed", ContentType: eventstore.ContentTypeMsgpack, Data: data})
		var damaged *codec.DecodeError
		require.ErrorAs(t, err, &damaged, name)
		assert.Equal(t, eventstore.Version(7), damaged.Version)
	}
}

func TestWrongRegistrationsDoNotStart(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		says  string
		types []codec.Registration
	}{
		"name twice":    {"order.placed", []codec.Registration{codec.Type[placed]("order.placed"), codec.Type[shipped]("order.placed")}},
		"type twice":    {"codec_test.placed", []codec.Registration{codec.Type[placed]("a"), codec.Type[placed]("b")}},
		"alias taken":   {"\"a\"", []codec.Registration{codec.Type[placed]("a"), codec.Type[shipped]("b", codec.Aliases("a"))}},
		"empty name":    {"must not be empty", []codec.Registration{codec.Type[placed]("")}},
		"system name":   {"dollar", []codec.Registration{codec.Type[placed]("$placed")}},
		"interface":     {"interface", []codec.Registration{codec.Type[any]("a")}},
		"pointer":       {"ptr", []codec.Registration{codec.Type[*placed]("a")}},
		"channel field": {"struct { C chan int }.C is a chan", []codec.Registration{codec.Type[struct{ C chan int }]("a")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				err, _ := recover().(error)
				require.Error(t, err)
				assert.ErrorContains(t, err, tt.says)
			}()
			codec.New(tt.types...)
		})
	}
}
