package wire_test

import (
	"math"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/wire"
)

var (
	someID   = wire.UUID(eventstore.NewID())
	textID   = &shared.UUID{Value: &shared.UUID_String_{String_: eventstore.NewID().String()}}
	zeroID   = &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{}}}
	halfID   = &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{LeastSignificantBits: -1}}}
	metadata = map[string]string{"type": "ordered-ü", "content-type": "application/json", "": "odd"}
	large    = make([]byte, 70_000)
)

// requests are what official clients send, and a few that they do not.
func requests() []proto.Message {
	all := []proto.Message{&streams.AppendReq{}, &streams.BatchAppendReq{}}
	for _, o := range []*streams.AppendReq_Options{
		{},
		{StreamIdentifier: wire.Stream("orders"), ExpectedStreamRevision: &streams.AppendReq_Options_Revision{}},
		{StreamIdentifier: wire.Stream(""), ExpectedStreamRevision: &streams.AppendReq_Options_Revision{Revision: math.MaxUint64}},
		{StreamIdentifier: wire.Stream("ü"), ExpectedStreamRevision: &streams.AppendReq_Options_Any{Any: &shared.Empty{}}},
		{ExpectedStreamRevision: &streams.AppendReq_Options_NoStream{NoStream: &shared.Empty{}}},
		{ExpectedStreamRevision: &streams.AppendReq_Options_StreamExists{StreamExists: &shared.Empty{}}},
	} {
		all = append(all, &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: o}})
	}
	var batch []*streams.BatchAppendReq_ProposedMessage
	for _, p := range []*streams.AppendReq_ProposedMessage{
		{}, {Id: someID, Metadata: metadata, Data: []byte("data"), CustomMetadata: []byte("{}")},
		{Id: textID, Metadata: map[string]string{"type": ""}}, {Id: zeroID, Data: large}, {Id: halfID}, {Id: &shared.UUID{}},
	} {
		all = append(all, &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: p}})
		batch = append(batch, &streams.BatchAppendReq_ProposedMessage{Id: p.Id, Metadata: p.Metadata, Data: p.Data, CustomMetadata: p.CustomMetadata})
	}
	in := &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(time.Second)}
	at := &streams.BatchAppendReq_Options_Deadline_21_10_0{Deadline_21_10_0: timestamppb.New(time.Unix(1, 2))}
	for _, o := range []*streams.BatchAppendReq_Options{
		nil, {},
		{StreamIdentifier: wire.Stream("orders"), ExpectedStreamPosition: &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: 7}},
		{ExpectedStreamPosition: &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}}, DeadlineOption: in},
		{ExpectedStreamPosition: &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}, DeadlineOption: at},
		{ExpectedStreamPosition: &streams.BatchAppendReq_Options_StreamExists{StreamExists: &emptypb.Empty{}}},
	} {
		all = append(all, &streams.BatchAppendReq{CorrelationId: someID, Options: o, ProposedMessages: batch, IsFinal: true})
	}
	return all
}

func unmarshal(t *testing.T, data []byte, m proto.Message) error {
	t.Helper()
	return wire.Codec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, m)
}

func TestRequestsAreReadWithoutTheGeneratedCode(t *testing.T) {
	t.Parallel()
	for _, want := range requests() {
		data, err := proto.Marshal(want)
		require.NoError(t, err)
		got := want.ProtoReflect().New().Interface()
		require.True(t, wire.Decode(data, got), "%v", want)
		assert.True(t, proto.Equal(want, got), "%v\n%v", want, got)
		for i := range data { // gRPC uses its buffers again
			data[i] = 'x'
		}
		assert.True(t, proto.Equal(want, got), "what was read must be a copy: %v", got)
	}
}

func TestOddRequestsAreReadByTheGeneratedCode(t *testing.T) {
	t.Parallel()
	options, err := proto.Marshal(&streams.AppendReq{Content: &streams.AppendReq_Options_{Options: &streams.AppendReq_Options{
		StreamIdentifier: wire.Stream("orders"), ExpectedStreamRevision: &streams.AppendReq_Options_Any{Any: &shared.Empty{}},
	}}})
	require.NoError(t, err)
	var got streams.AppendReq
	require.NoError(t, unmarshal(t, append(options, options...), &got), "a field twice")
	assert.Equal(t, "orders", string(got.GetOptions().GetStreamIdentifier().GetStreamName()))
	require.NoError(t, unmarshal(t, append(options, 15<<3, 1), &got), "a field that nobody knows")
	assert.NotEmpty(t, got.ProtoReflect().GetUnknown())
	require.Error(t, unmarshal(t, []byte("\x12\x07\x12\x05\x0a\x01\xff\x12\x00"), &got), "a text that is no text")
	require.Error(t, unmarshal(t, options[:len(options)-1], &got))
}

// FuzzRequests reads anything as the generated code does.
func FuzzRequests(f *testing.F) {
	for _, m := range requests() {
		data, err := proto.Marshal(m)
		require.NoError(f, err)
		if len(data) < 1000 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, kind := range []proto.Message{&streams.AppendReq{}, &streams.BatchAppendReq{}} {
			want, got := kind.ProtoReflect().New().Interface(), kind.ProtoReflect().New().Interface()
			wantErr, err := proto.Unmarshal(data, want), unmarshal(t, data, got)
			require.Equal(t, wantErr == nil, err == nil, "%v, %v", wantErr, err)
			if err == nil {
				assert.True(t, proto.Equal(want, got), "%v\n%v", want, got)
			}
		}
	})
}

func TestAnswersAreWhatTheGeneratedCodeWrites(t *testing.T) {
	t.Parallel()
	var all []proto.Message
	for _, n := range []uint64{0, 1, 300, math.MaxUint64} {
		for _, ok := range []*streams.AppendResp_Success{
			{
				CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: n},
				PositionOption:        &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{CommitPosition: n, PreparePosition: n}},
			},
			{
				CurrentRevisionOption: &streams.AppendResp_Success_NoStream{NoStream: &shared.Empty{}},
				PositionOption:        &streams.AppendResp_Success_NoPosition{NoPosition: &shared.Empty{}},
			},
			{},
		} {
			all = append(all, &streams.AppendResp{Result: &streams.AppendResp_Success_{Success: ok}})
		}
		ok := &streams.BatchAppendResp_Success_{Success: &streams.BatchAppendResp_Success{
			CurrentRevisionOption: &streams.BatchAppendResp_Success_CurrentRevision{CurrentRevision: n},
			PositionOption:        &streams.BatchAppendResp_Success_Position{Position: &shared.AllStreamPosition{CommitPosition: n, PreparePosition: n}},
		}}
		nothing := &streams.BatchAppendResp_Success_{Success: &streams.BatchAppendResp_Success{
			CurrentRevisionOption: &streams.BatchAppendResp_Success_NoStream{NoStream: &emptypb.Empty{}},
			PositionOption:        &streams.BatchAppendResp_Success_NoPosition{NoPosition: &emptypb.Empty{}},
		}}
		all = append(
			all, &streams.BatchAppendResp{Result: ok},
			&streams.BatchAppendResp{CorrelationId: someID, Result: ok, StreamIdentifier: wire.Stream("orders"), ExpectedStreamPosition: &streams.BatchAppendResp_StreamPosition{StreamPosition: n}},
			&streams.BatchAppendResp{CorrelationId: textID, Result: ok, StreamIdentifier: wire.Stream(string(large)), ExpectedStreamPosition: &streams.BatchAppendResp_NoStream{NoStream: &emptypb.Empty{}}},
			&streams.BatchAppendResp{CorrelationId: zeroID, Result: nothing, StreamIdentifier: &shared.StreamIdentifier{}, ExpectedStreamPosition: &streams.BatchAppendResp_Any{Any: &emptypb.Empty{}}},
			&streams.BatchAppendResp{CorrelationId: halfID, Result: nothing, ExpectedStreamPosition: &streams.BatchAppendResp_StreamExists{StreamExists: &emptypb.Empty{}}},
		)
	}
	for _, want := range all {
		f := wire.Answer(want)
		require.NotNil(t, f, "%v", want)
		got := want.ProtoReflect().New().Interface()
		require.NoError(t, proto.Unmarshal(f.Bytes(), got))
		assert.True(t, proto.Equal(want, got), "%v\n%v", want, got)
		assert.Len(t, f.Bytes(), proto.Size(want))
	}
	assert.Nil(t, wire.Answer(&streams.AppendResp{}), "other answers are for the generated code")
	assert.Nil(t, wire.Answer(&streams.BatchAppendResp{CorrelationId: someID}))
}

func BenchmarkRequest(b *testing.B) {
	data, err := proto.Marshal(&streams.BatchAppendReq{
		CorrelationId: someID, IsFinal: true,
		Options: &streams.BatchAppendReq_Options{StreamIdentifier: wire.Stream("orders"), ExpectedStreamPosition: &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}}},
		ProposedMessages: []*streams.BatchAppendReq_ProposedMessage{{
			Id: someID, Metadata: map[string]string{"type": "order.placed", "content-type": "application/json"}, Data: large[:200],
		}},
	})
	require.NoError(b, err)
	for name, read := range map[string]func(*streams.BatchAppendReq) bool{
		"ours":      func(m *streams.BatchAppendReq) bool { return wire.Decode(data, m) },
		"generated": func(m *streams.BatchAppendReq) bool { return proto.Unmarshal(data, m) == nil },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !read(new(streams.BatchAppendReq)) {
					b.Fatal("not read")
				}
			}
		})
	}
}
