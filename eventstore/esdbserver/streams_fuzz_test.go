package esdbserver_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// A fakeCall is the server's end of a call that receives what was decoded from
// arbitrary bytes. It ends once a subscription has caught up.
type fakeCall[Req, Resp any] struct {
	grpc.ServerStream
	ctx    context.Context
	cancel context.CancelFunc
	reqs   []*Req
	sent   int
}

func (f *fakeCall[Req, Resp]) Context() context.Context { return f.ctx }

func (f *fakeCall[Req, Resp]) Recv() (*Req, error) {
	if len(f.reqs) == 0 {
		return nil, io.EOF
	}
	r := f.reqs[0]
	f.reqs = f.reqs[1:]
	return r, nil
}

func (f *fakeCall[Req, Resp]) Send(m *Resp) error {
	if r, ok := any(m).(*streams.ReadResp); ok && r.GetCaughtUp() != nil {
		f.cancel()
	}
	if _, err := proto.Marshal(any(m).(proto.Message)); err != nil { //nolint:forcetypeassert // a generated message
		panic(err) // it would be an internal error instead of the answer
	}
	return f.SendMsg(m)
}

func (f *fakeCall[Req, Resp]) SendAndClose(m *Resp) error { return f.Send(m) }

func (f *fakeCall[Req, Resp]) SendMsg(any) error {
	f.sent++
	return f.ctx.Err()
}

// decode reads messages with their lengths before them, as many as there are.
func decode[Req any](data []byte) []*Req {
	var reqs []*Req
	for len(data) > 0 {
		b, n := protowire.ConsumeBytes(data)
		if n < 0 {
			b, n = data, len(data)
		}
		data = data[n:]
		r := new(Req)
		if proto.Unmarshal(b, any(r).(proto.Message)) == nil { //nolint:forcetypeassert // a generated message
			reqs = append(reqs, r)
		}
	}
	return reqs
}

func encode(f *testing.F, ms ...proto.Message) {
	f.Helper()
	var data []byte
	for _, m := range ms {
		b, err := proto.Marshal(m)
		require.NoError(f, err)
		data = protowire.AppendBytes(data, b)
	}
	f.Add(data)
}

// handle has a call handled, which must end.
func handle[Req, Resp any](t *testing.T, reqs []*Req, run func(streams.StreamsServer, *fakeCall[Req, Resp])) {
	t.Helper()
	store := memstore.New(nil)
	for _, stream := range []string{"s", "dead", "soft"} {
		_, err := store.Append(t.Context(), stream, eventstore.Any, eventstore.Event{Type: "t"}, eventstore.Event{Type: "$>", Data: []byte("0@s")})
		require.NoError(t, err)
	}
	_, err := store.Tombstone(t.Context(), "dead", eventstore.Any)
	require.NoError(t, err)
	_, err = store.Delete(t.Context(), "soft", eventstore.Any)
	require.NoError(t, err)
	s := esdbserver.NewStreamsServer(esdbserver.New(store, &esdbserver.Options{Logger: slog.New(slog.DiscardHandler)}))
	for _, who := range []func(context.Context) context.Context{esdbserver.AsAdmin, func(ctx context.Context) context.Context { return ctx }} {
		ctx, cancel := context.WithCancel(who(t.Context()))
		hung := time.AfterFunc(30*time.Second, func() { panic("the call hangs") })
		run(s, &fakeCall[Req, Resp]{ctx: ctx, cancel: cancel, reqs: reqs})
		hung.Stop()
		cancel()
	}
}

func FuzzRead(f *testing.F) {
	filter := filtered(byType("^t", "x"), 3, 2)
	for _, changes := range [][]change{
		nil, {ofStream("s", atStart)}, {ofStream("s", 1), backwards, textIDs}, {ofStream("dead", atEnd), live}, {ofStream("soft", 0), compatible},
		{ofAll(atStart), filter}, {ofAll(3), backwards}, {ofAll(2), live, filter}, {ofStream("s", atStart), live, resolving}, {ofAll(atEnd), live},
	} {
		encode(f, reading(changes...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, req := range decode[streams.ReadReq](data) {
			handle(t, nil, func(s streams.StreamsServer, call *fakeCall[streams.ReadReq, streams.ReadResp]) {
				_ = s.Read(req, call)
			})
		}
	})
}

func FuzzAppend(f *testing.F) {
	for _, want := range []int64{wantAny, wantNone, wantExists, 1} {
		for _, stream := range []string{"s", "dead", "soft", "$$s", "$all", ""} {
			encode(f, appendOptions(stream, want), proposing(proposalsOf(1)[0]), proposing(proposal(eventstore.NewID(), "$metadata", `{"$tb":1}`)))
		}
	}
	encode(f, &streams.AppendReq{}, appendOptions("s", wantAny))
	f.Fuzz(func(t *testing.T, data []byte) {
		handle(t, decode[streams.AppendReq](data), func(s streams.StreamsServer, call *fakeCall[streams.AppendReq, streams.AppendResp]) {
			_ = s.Append(call)
		})
	})
}

func FuzzBatchAppend(f *testing.F) {
	id, other := textID(eventstore.NewID()), textID(eventstore.NewID())
	for _, want := range []int64{wantAny, wantNone, wantExists, 1} {
		for _, stream := range []string{"s", "dead", "soft", "$$s", "$all", ""} {
			encode(f,
				&streams.BatchAppendReq{CorrelationId: id, Options: batchOptions(stream, want), ProposedMessages: batched(2, "{}")},
				&streams.BatchAppendReq{CorrelationId: other, Options: batchOptions("s", wantAny), ProposedMessages: batched(1, ""), IsFinal: true},
				&streams.BatchAppendReq{CorrelationId: id, IsFinal: true})
		}
	}
	encode(f, &streams.BatchAppendReq{}, &streams.BatchAppendReq{CorrelationId: id})
	f.Fuzz(func(t *testing.T, data []byte) {
		handle(t, decode[streams.BatchAppendReq](data), func(s streams.StreamsServer, call *fakeCall[streams.BatchAppendReq, streams.BatchAppendResp]) {
			_ = s.BatchAppend(call)
		})
	})
}

func FuzzDelete(f *testing.F) {
	encode(f, &streams.DeleteReq{Options: &streams.DeleteReq_Options{StreamIdentifier: named("s"), ExpectedStreamRevision: &streams.DeleteReq_Options_Any{Any: empty}}})
	encode(f, &streams.DeleteReq{Options: &streams.DeleteReq_Options{StreamIdentifier: named("dead"), ExpectedStreamRevision: &streams.DeleteReq_Options_Revision{Revision: 1}}})
	encode(f, &streams.DeleteReq{})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, req := range decode[streams.DeleteReq](data) {
			handle(t, nil, func(s streams.StreamsServer, call *fakeCall[streams.DeleteReq, streams.DeleteResp]) {
				_, _ = s.Delete(call.ctx, req)
			})
		}
		for _, req := range decode[streams.TombstoneReq](data) {
			handle(t, nil, func(s streams.StreamsServer, call *fakeCall[streams.TombstoneReq, streams.TombstoneResp]) {
				_, _ = s.Tombstone(call.ctx, req)
			})
		}
	})
}
