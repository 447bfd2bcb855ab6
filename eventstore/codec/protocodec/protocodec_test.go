package protocodec_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/codec/protocodec"
)

type named struct{ Name string }

var events = codec.New(
	codec.Default(protocodec.Protobuf),
	codec.Type[*timestamppb.Timestamp]("clock.set", codec.SchemaVersion(2)),
	codec.Type[*structpb.Struct]("form.filled"),
	codec.Type[named]("form.named", codec.As(codec.JSON)),
	codec.Upcast("clock.set", 1, func(d *durationpb.Duration) *timestamppb.Timestamp {
		return timestamppb.New(time.Unix(0, 0).Add(d.AsDuration()))
	}),
)

func recorded(e eventstore.Event) eventstore.Recorded {
	return eventstore.Recorded{Stream: "clock-1", Version: 7, Type: e.Type, ContentType: e.ContentType, Data: e.Data, Metadata: e.Metadata}
}

func TestMessagesRoundTrip(t *testing.T) {
	t.Parallel()
	form, err := structpb.NewStruct(map[string]any{"b": 1.5, "a": []any{"x", nil}, "c": map[string]any{}})
	require.NoError(t, err)
	for _, m := range []proto.Message{timestamppb.New(time.Unix(5, 6)), &timestamppb.Timestamp{}, form} {
		e, err := events.Encode(m)
		require.NoError(t, err)
		assert.Equal(t, protocodec.ContentType, e.ContentType)
		again, err := events.Encode(m)
		require.NoError(t, err)
		assert.Equal(t, e.Data, again.Data, "equal messages are equal bytes")
		got, err := events.Decode(recorded(e))
		require.NoError(t, err)
		require.IsType(t, m, got)
		assert.True(t, proto.Equal(m, got.(proto.Message)))
	}
	e, err := events.Encode(timestamppb.New(time.Unix(5, 6)))
	require.NoError(t, err)
	var into *timestamppb.Timestamp
	require.NoError(t, events.DecodeInto(recorded(e), &into))
	assert.Equal(t, int64(5), into.GetSeconds())
}

func TestMessagesOfOldAreUpcast(t *testing.T) {
	t.Parallel()
	data, err := proto.Marshal(durationpb.New(90 * time.Second))
	require.NoError(t, err)
	got, err := events.Decode(eventstore.Recorded{Type: "clock.set", ContentType: protocodec.ContentType, Data: data})
	require.NoError(t, err)
	assert.Equal(t, int64(90), got.(*timestamppb.Timestamp).GetSeconds())
}

// TestEncodingsMayBeMixedInOneStore reads what was stored as JSON and as Protobuf
// under one name, with content types and as EventStoreDB gives it back.
func TestEncodingsMayBeMixedInOneStore(t *testing.T) {
	t.Parallel()
	e, err := events.Encode(named{"ada"})
	require.NoError(t, err)
	assert.Equal(t, eventstore.ContentTypeJSON, e.ContentType)
	today := codec.New(codec.Type[named]("form.named"), codec.Type[*wrapperspb.StringValue]("text.said", codec.As(protocodec.Protobuf)),
		codec.Upcast("clock.set", 1, func(at *timestamppb.Timestamp) *wrapperspb.StringValue {
			return wrapperspb.String(at.AsTime().Format(time.DateOnly))
		}))
	got, err := today.Decode(recorded(e))
	require.NoError(t, err)
	assert.Equal(t, named{"ada"}, got)
	data, err := proto.Marshal(timestamppb.New(time.Unix(0, 0)))
	require.NoError(t, err)
	for _, r := range []eventstore.Recorded{
		{Type: "clock.set", ContentType: protocodec.ContentType, Data: data},
		{Type: "clock.set", ContentType: eventstore.ContentTypeBinary, Data: data, Metadata: eventstore.NewMetadata(eventstore.KeyContentType, protocodec.ContentType)},
	} {
		got, err := today.Decode(r)
		require.NoError(t, err)
		assert.Equal(t, "1970-01-01", got.(*wrapperspb.StringValue).GetValue())
	}
}

func TestWhatIsNoMessageIsRefused(t *testing.T) {
	t.Parallel()
	check := protocodec.Protobuf.(codec.TypeChecker).CheckType
	require.ErrorContains(t, check(reflect.TypeFor[timestamppb.Timestamp]()), "register *timestamppb.Timestamp")
	require.ErrorContains(t, check(reflect.TypeFor[named]()), "no Protobuf message")
	require.ErrorContains(t, check(reflect.TypeFor[*named]()), "no Protobuf message")

	_, err := events.Encode((*timestamppb.Timestamp)(nil))
	require.ErrorContains(t, err, "nil message")
	_, err = protocodec.Protobuf.Marshal(named{})
	require.ErrorContains(t, err, "is no message")
	n := &named{}
	for _, v := range []any{named{}, n, &n, nil} {
		require.ErrorContains(t, protocodec.Protobuf.Unmarshal(nil, v), "is no message")
	}
	var failed *codec.DecodeError
	_, err = events.Decode(eventstore.Recorded{Type: "clock.set", ContentType: protocodec.ContentType, Data: []byte{0xff}, Metadata: eventstore.NewMetadata(eventstore.KeySchemaVersion, "2")})
	require.ErrorAs(t, err, &failed)
}

func FuzzDecode(f *testing.F) {
	for _, m := range []any{timestamppb.New(time.Unix(5, 6)), structpb.NewStringValue("x").GetStructValue()} {
		if e, err := events.Encode(m); err == nil {
			f.Add(e.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, r := range []eventstore.Recorded{
			{Type: "clock.set"}, {Type: "form.filled"},
			{Type: "clock.set", Metadata: eventstore.NewMetadata(eventstore.KeySchemaVersion, "2")},
		} {
			r.ContentType, r.Data = protocodec.ContentType, data
			if v, err := events.Decode(r); err == nil {
				_, err = events.Encode(v)
				require.NoError(t, err)
			}
		}
	})
}
