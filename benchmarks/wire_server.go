package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"strconv"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // what passing hands on to
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// wireServer is the hidden scenario that wire starts as a process: it fills a
// store, serves it, prints its address, and ends when standard input does.
func wireServer(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	fs := flag.NewFlagSet("wire-server", flag.ContinueOnError)
	kind := fs.String("kind", "ours", "ours, ceiling or plain")
	dir := fs.String("dir", "", "directory of a log store; in memory without")
	events := fs.Int("events", 0, "events to begin with")
	small := fs.Bool("small", false, "collect garbage and give memory back as foldstream serve does")
	if err := fs.Parse(args); err != nil {
		return errUsage
	}
	if *small {
		debug.SetGCPercent(50)
	}
	store, err := wireStore(ctx, *dir, *events)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	if *small {
		debug.FreeOSMemory()
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, stdin) // until the parent ends
		cancel()
	}()
	_, _ = fmt.Fprintln(stdout, l.Addr())
	if *kind == "ours" {
		return esdbserver.New(store, nil).Serve(ctx, l)
	}
	s, err := newModel(ctx, store, *kind == "ceiling")
	if err != nil {
		return err
	}
	return s.serve(ctx, l)
}

func wireStore(ctx context.Context, dir string, events int) (eventstore.Store, error) {
	if dir == "" {
		store := memstore.New(nil)
		return store, fillWire(ctx, store, events)
	}
	if events > 0 { // without syncs, and opened again for the measurement
		store, err := logstore.Open(dir, &logstore.Options{Sync: logstore.SyncNever})
		if err != nil {
			return nil, err
		}
		if err := errors.Join(fillWire(ctx, store, events), store.Close()); err != nil {
			return nil, err
		}
	}
	return logstore.Open(dir, &logstore.Options{MaxAppendSize: 4 << 20})
}

const wirePayload = 200 // bytes

// fillWire appends events to a hundred thousand streams, or to as many as
// there are fifties of events.
func fillWire(ctx context.Context, store eventstore.Store, events int) error {
	const together = 50
	batch := make([]eventstore.Event, 0, together)
	for i := 0; i < events; i += together {
		batch = batch[:0]
		for range min(together, events-i) {
			batch = append(batch, eventstore.Event{Type: "order.placed", ContentType: eventstore.ContentTypeJSON, Data: make([]byte, wirePayload)})
		}
		if _, err := store.Append(ctx, "order-"+strconv.Itoa(i/together%100_000), eventstore.Any, batch...); err != nil {
			return err
		}
	}
	return nil
}

// A model is a server that does as little as it can, to compare ours with.
type model struct {
	streams.UnimplementedStreamsServer
	serverfeatures.UnimplementedServerFeaturesServer
	events []*eventstore.Recorded
	frames []*passed // of events, encoded; nil for plain
}

func newModel(ctx context.Context, store eventstore.Store, cached bool) (*model, error) {
	m := &model{}
	for r, err := range store.ReadAll(ctx, eventstore.ReadAllOptions{}) {
		if err != nil {
			return nil, err
		}
		m.events = append(m.events, &r)
		if cached {
			data, err := proto.Marshal(generatedEvent(&r))
			if err != nil {
				return nil, err
			}
			m.frames = append(m.frames, &passed{mem.SliceBuffer(data)})
		}
	}
	return m, nil
}

func (m *model) serve(ctx context.Context, l net.Listener) error {
	s := grpc.NewServer(
		grpc.ForceServerCodecV2(passing{}), grpc.MaxRecvMsgSize(16<<20),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 1, PermitWithoutStream: true}),
	)
	streams.RegisterStreamsServer(s, m)
	serverfeatures.RegisterServerFeaturesServer(s, m)
	defer context.AfterFunc(ctx, s.Stop)()
	return s.Serve(l)
}

// GetSupportedMethods implements the service ServerFeatures.
func (m *model) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	return &serverfeatures.SupportedMethods{EventStoreServerVersion: "24.10.4"}, nil
}

// Read implements the service Streams: everything, and then, for a
// subscription, nothing more.
func (m *model) Read(req *streams.ReadReq, call streams.Streams_ReadServer) error {
	subscribes := req.GetOptions().GetSubscription() != nil
	if subscribes {
		confirmation := &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: "model"}
		if err := call.Send(&streams.ReadResp{Content: &streams.ReadResp_Confirmation{Confirmation: confirmation}}); err != nil {
			return err
		}
	}
	for _, f := range m.frames {
		if err := call.SendMsg(f); err != nil {
			return err
		}
	}
	if m.frames == nil {
		for _, r := range m.events {
			if err := call.Send(generatedEvent(r)); err != nil {
				return err
			}
		}
	}
	if !subscribes {
		return nil
	}
	if err := call.Send(&streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}}); err != nil {
		return err
	}
	<-call.Context().Done()
	return nil
}

// Append implements the service Streams: it reads the request and forgets it.
func (m *model) Append(call streams.Streams_AppendServer) error {
	for {
		if _, err := call.Recv(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	return call.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: 1},
		PositionOption:        &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{CommitPosition: 1, PreparePosition: 1}},
	}}})
}

// BatchAppend implements the service Streams: it reads each request and forgets
// it.
func (m *model) BatchAppend(call streams.Streams_BatchAppendServer) error {
	for {
		req, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := call.Send(&streams.BatchAppendResp{
			CorrelationId: req.GetCorrelationId(), StreamIdentifier: req.GetOptions().GetStreamIdentifier(),
			Result: &streams.BatchAppendResp_Success_{Success: &streams.BatchAppendResp_Success{
				CurrentRevisionOption: &streams.BatchAppendResp_Success_CurrentRevision{CurrentRevision: 1},
				PositionOption:        &streams.BatchAppendResp_Success_Position{Position: &shared.AllStreamPosition{CommitPosition: 1, PreparePosition: 1}},
			}},
		}); err != nil {
			return err
		}
	}
}

// generatedEvent builds what the generated code encodes.
func generatedEvent(r *eventstore.Recorded) *streams.ReadResp {
	return &streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{
		Event: &streams.ReadResp_ReadEvent_RecordedEvent{
			Id:               structured(r.ID),
			StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(r.Stream)},
			StreamRevision:   uint64(r.Version) - 1,
			PreparePosition:  uint64(r.Position), CommitPosition: uint64(r.Position),
			Metadata: map[string]string{
				"type": r.Type, "created": strconv.FormatInt(r.Created.UnixNano()/100, 10), "content-type": r.ContentType,
			},
			Data: r.Data,
		},
		Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: uint64(r.Position)},
	}}}
}

func structured(id eventstore.ID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits: int64(binary.BigEndian.Uint64(id[:8])), LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])),
	}}}
}

// passed is a message that is encoded already, as gRPC wants it; passing lets
// it through without an allocation.
type passed [1]mem.Buffer

type passing struct{}

var generated = encoding.GetCodecV2("proto")

// Marshal implements [encoding.CodecV2].
func (passing) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*passed); ok {
		return f[:], nil
	}
	return generated.Marshal(v)
}

// Unmarshal implements [encoding.CodecV2].
func (passing) Unmarshal(data mem.BufferSlice, v any) error { return generated.Unmarshal(data, v) }

// Name implements [encoding.CodecV2].
func (passing) Name() string { return "proto" }
