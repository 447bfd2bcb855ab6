package wire_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/wire"
	"github.com/foldstream/foldstream/eventstore/internal/jsonmeta"
)

// generated builds what the generated code would send.
func generated(r *eventstore.Recorded, text bool) *streams.ReadResp_ReadEvent_RecordedEvent {
	if r == nil {
		return nil
	}
	id := wire.UUID(r.ID)
	if text {
		id = &shared.UUID{Value: &shared.UUID_String_{String_: r.ID.String()}}
	}
	return &streams.ReadResp_ReadEvent_RecordedEvent{
		Id: id, StreamIdentifier: wire.Stream(r.Stream), StreamRevision: wire.Revision(r),
		PreparePosition: uint64(r.Position), CommitPosition: uint64(r.Position),
		Metadata: map[string]string{
			"type": r.Type, "created": strconv.FormatInt(r.Created.UnixNano()/100, 10), "content-type": wire.ContentType(r.ContentType),
		},
		CustomMetadata: jsonmeta.Encode(r.Metadata), Data: r.Data,
	}
}

func check(t *testing.T, event, link *eventstore.Recorded) {
	t.Helper()
	original := event
	if link != nil {
		original = link
	}
	for _, text := range []bool{false, true} {
		e := wire.Encoder{TextIDs: text}
		want := &streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{
			Event: generated(event, text), Link: generated(link, text),
			Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: uint64(original.Position)},
		}}}
		first, second := e.Event(event, link), e.Event(event, link)
		var got streams.ReadResp
		require.NoError(t, proto.Unmarshal(second.Bytes(), &got))
		assert.True(t, proto.Equal(want, &got), "%v\n%v", want, &got)
		assert.Equal(t, first.Bytes(), second.Bytes(), "a frame must not be overwritten by the next")
		assert.Len(t, first.Bytes(), proto.Size(want), "nothing may be there that the generated code leaves out")
		var delivered persistent.ReadResp
		require.NoError(t, proto.Unmarshal(e.Delivery(event, link, 3).Bytes(), &delivered))
		assert.EqualValues(t, 3, delivered.GetEvent().GetRetryCount())
		assert.Equal(t, original.Position, eventstore.Position(delivered.GetEvent().GetCommitPosition()))
		assert.Equal(t, event != nil, delivered.GetEvent().GetEvent() != nil)
	}
}

func recorded() *eventstore.Recorded {
	return &eventstore.Recorded{
		ID: eventstore.NewID(), Stream: "order-ü", Version: 7, Position: 300, Type: "order.placed",
		ContentType: eventstore.ContentTypeJSON, Created: time.Now(), Data: []byte(`{"n":1}`),
		Metadata: eventstore.NewMetadata("$correlationId", "c", "tenant", "käse"),
	}
}

func TestFramesAreWhatTheGeneratedCodeSends(t *testing.T) {
	t.Parallel()
	check(t, recorded(), nil)
	check(t, recorded(), recorded())
	check(t, nil, recorded())
	bare := &eventstore.Recorded{ID: eventstore.ID{15: 1}, Stream: "s", Version: 1, Position: 1, Type: "t", Created: time.Unix(0, 0)}
	check(t, bare, nil)
	large := recorded()
	large.Data = make([]byte, 1<<20)
	check(t, large, bare)
	tombstone := recorded()
	tombstone.Type = eventstore.TypeTombstone
	check(t, tombstone, nil)
}

func TestFramesOfOneEncoderKeepApart(t *testing.T) {
	t.Parallel()
	var e wire.Encoder
	var frames []*wire.Frame
	for i := range 1000 {
		r := recorded()
		r.Version = eventstore.Version(i + 1)
		r.Data = make([]byte, i*37%20000)
		frames = append(frames, e.Event(r, nil))
		if i%100 == 0 {
			e.Release()
		}
	}
	for i, f := range frames {
		var got streams.ReadResp
		require.NoError(t, proto.Unmarshal(f.Bytes(), &got))
		require.EqualValues(t, i, got.GetEvent().GetEvent().GetStreamRevision())
		require.Len(t, got.GetEvent().GetEvent().GetData(), i*37%20000)
	}
}

func FuzzEvent(f *testing.F) {
	f.Add("s", "t", "application/json", uint64(1), uint64(1), int64(0), []byte("x"), []byte("{}"), []byte("id"))
	f.Fuzz(func(t *testing.T, stream, typ, contentType string, version, position uint64, created int64, data, meta, id []byte) {
		r := &eventstore.Recorded{
			Stream: stream, Type: typ, ContentType: contentType, Version: eventstore.Version(version>>1 + 1),
			Position: eventstore.Position(position | 1), Created: time.Unix(0, created), Data: data, Metadata: jsonmeta.Decode(meta),
		}
		copy(r.ID[:], id)
		var e wire.Encoder
		var got streams.ReadResp
		if err := proto.Unmarshal(e.Event(r, r).Bytes(), &got); err != nil {
			return // text that is not UTF-8, which a store refuses
		}
		assert.True(t, proto.Equal(generated(r, false), got.GetEvent().GetEvent()))
		assert.True(t, proto.Equal(generated(r, false), got.GetEvent().GetLink()))
	})
}

func TestUUIDsComeInTwoForms(t *testing.T) {
	t.Parallel()
	id := eventstore.NewID()
	for _, u := range []*shared.UUID{wire.UUID(id), {Value: &shared.UUID_String_{String_: id.String()}}} {
		got, err := wire.ParseUUID(u)
		require.NoError(t, err)
		assert.Equal(t, id, got)
	}
	for _, u := range []*shared.UUID{nil, {}, {Value: &shared.UUID_String_{String_: "no"}}} {
		_, err := wire.ParseUUID(u)
		require.Error(t, err)
	}
}

func TestOtherMessagesAreProtobuf(t *testing.T) {
	t.Parallel()
	want := &shared.BadRequest{Message: "hello"}
	data, err := wire.Codec{}.Marshal(want)
	require.NoError(t, err)
	var got shared.BadRequest
	require.NoError(t, wire.Codec{}.Unmarshal(data, &got))
	assert.True(t, proto.Equal(want, &got))
	var e wire.Encoder
	frame := e.Event(recorded(), nil)
	data, err = wire.Codec{}.Marshal(frame)
	require.NoError(t, err)
	assert.Equal(t, frame.Bytes(), data.MaterializeToBuffer(mem.NopBufferPool{}).ReadOnlyData())
}

func BenchmarkEvent(b *testing.B) {
	r := recorded()
	r.Data = make([]byte, 200)
	var e wire.Encoder
	b.ReportAllocs()
	for b.Loop() {
		e.Event(r, nil)
	}
}
