package esdbserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// Expected revisions as EventStoreDB numbers them; others are revisions.
const (
	wantNone   = -1
	wantAny    = -2
	wantExists = -4
)

var empty = &shared.Empty{}

// A stub calls a server by the generated code.
type stub struct {
	t   *testing.T
	ctx context.Context
	c   streams.StreamsClient
}

// stubOf returns a stub of a new server of store. Its calls end by themselves
// after a minute, so that what hangs is seen.
func stubOf(t *testing.T, store eventstore.Store) stub {
	t.Helper()
	return serve(t, store, nil).stub(t)
}

func (s *server) stub(t *testing.T) stub {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return stub{t, ctx, streams.NewStreamsClient(s.dial(t))}
}

func (c stub) as(login string) stub { return stub{c.t, as(c.ctx, login), c.c} }

func named(stream string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(stream)}
}

func textID(id eventstore.ID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}
}

// proposal returns an event of a type, with data.
func proposal(id eventstore.ID, typ, data string) *streams.AppendReq_ProposedMessage {
	return &streams.AppendReq_ProposedMessage{
		Id: textID(id), Metadata: map[string]string{"type": typ, "content-type": "application/json"}, Data: []byte(data),
	}
}

// proposalsOf returns events with new ids, whose data is their index.
func proposalsOf(n int) []*streams.AppendReq_ProposedMessage {
	ps := make([]*streams.AppendReq_ProposedMessage, n)
	for i := range ps {
		ps[i] = proposal(eventstore.NewID(), "t", strconv.Itoa(i))
	}
	return ps
}

func appendOptions(stream string, want int64) *streams.AppendReq {
	o := &streams.AppendReq_Options{StreamIdentifier: named(stream)}
	switch want {
	case wantNone:
		o.ExpectedStreamRevision = &streams.AppendReq_Options_NoStream{NoStream: empty}
	case wantAny:
		o.ExpectedStreamRevision = &streams.AppendReq_Options_Any{Any: empty}
	case wantExists:
		o.ExpectedStreamRevision = &streams.AppendReq_Options_StreamExists{StreamExists: empty}
	default:
		o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: uint64(want)}
	}
	return &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: o}}
}

func proposing(p *streams.AppendReq_ProposedMessage) *streams.AppendReq {
	return &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: p}}
}

// send makes an Append of any messages.
func (c stub) send(reqs ...*streams.AppendReq) (*streams.AppendResp, metadata.MD, error) {
	call, err := c.c.Append(c.ctx)
	require.NoError(c.t, err)
	for _, r := range reqs {
		require.NoError(c.t, call.Send(r), "the server must take all that is sent")
	}
	resp, err := call.CloseAndRecv()
	return resp, call.Trailer(), err
}

func (c stub) append(stream string, want int64, ps ...*streams.AppendReq_ProposedMessage) (*streams.AppendResp, metadata.MD, error) {
	reqs := []*streams.AppendReq{appendOptions(stream, want)}
	for _, p := range ps {
		reqs = append(reqs, proposing(p))
	}
	return c.send(reqs...)
}

// outcome describes an append: its revision and position, or wrong version with
// what the stream is at, or the error.
func outcome(resp *streams.AppendResp, _ metadata.MD, err error) string {
	if err != nil {
		return status.Code(err).String()
	}
	if w := resp.GetWrongExpectedVersion(); w != nil {
		if _, none := w.GetCurrentRevisionOption().(*streams.AppendResp_WrongExpectedVersion_CurrentNoStream); none {
			return "wrong: no stream"
		}
		return fmt.Sprintf("wrong: %d", w.GetCurrentRevision())
	}
	s := resp.GetSuccess()
	at := fmt.Sprint(s.GetCurrentRevision())
	if _, none := s.GetCurrentRevisionOption().(*streams.AppendResp_Success_NoStream); none {
		at = "no stream"
	}
	if p := s.GetPosition(); p != nil {
		if p.GetCommitPosition() != p.GetPreparePosition() {
			return "positions differ"
		}
		return fmt.Sprintf("%s @%d", at, p.GetCommitPosition())
	}
	return at
}

// mustAppend appends n events to a stream, whatever it is at.
func (c stub) mustAppend(stream string, n int) {
	c.t.Helper()
	resp, _, err := c.append(stream, wantAny, proposalsOf(n)...)
	require.NoError(c.t, err)
	require.NotNil(c.t, resp.GetSuccess(), "%v", resp)
}

// A change makes another request of the one that reads everything.
type change func(*streams.ReadReq_Options)

func reading(changes ...change) *streams.ReadReq {
	o := &streams.ReadReq_Options{
		CountOption:  &streams.ReadReq_Options_Count{Count: 1 << 53},
		FilterOption: &streams.ReadReq_Options_NoFilter{NoFilter: empty},
		UuidOption:   &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: empty}},
	}
	for _, c := range changes {
		c(o)
	}
	return &streams.ReadReq{Options: o}
}

const (
	atStart = -1
	atEnd   = -2
)

// ofStream reads a stream from a revision, from atStart or from atEnd.
func ofStream(stream string, from int64) change {
	at := &streams.ReadReq_Options_StreamOptions{StreamIdentifier: named(stream)}
	switch from {
	case atStart:
		at.RevisionOption = &streams.ReadReq_Options_StreamOptions_Start{Start: empty}
	case atEnd:
		at.RevisionOption = &streams.ReadReq_Options_StreamOptions_End{End: empty}
	default:
		at.RevisionOption = &streams.ReadReq_Options_StreamOptions_Revision{Revision: uint64(from)}
	}
	return func(o *streams.ReadReq_Options) { o.StreamOption = &streams.ReadReq_Options_Stream{Stream: at} }
}

// ofAll reads $all from a position, from atStart or from atEnd.
func ofAll(from int64) change {
	if from >= 0 {
		return ofAllAt(uint64(from), uint64(from))
	}
	at := &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: empty}}
	if from == atEnd {
		at.AllOption = &streams.ReadReq_Options_AllOptions_End{End: empty}
	}
	return func(o *streams.ReadReq_Options) { o.StreamOption = &streams.ReadReq_Options_All{All: at} }
}

func ofAllAt(commit, prepare uint64) change {
	at := &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_Position{
		Position: &streams.ReadReq_Options_Position{CommitPosition: commit, PreparePosition: prepare},
	}}
	return func(o *streams.ReadReq_Options) { o.StreamOption = &streams.ReadReq_Options_All{All: at} }
}

func backwards(o *streams.ReadReq_Options) { o.ReadDirection = streams.ReadReq_Options_Backwards }

func resolving(o *streams.ReadReq_Options) { o.ResolveLinks = true }

func compatible(o *streams.ReadReq_Options) {
	o.ControlOption = &streams.ReadReq_Options_ControlOption{Compatibility: 1}
}

func textIDs(o *streams.ReadReq_Options) {
	o.UuidOption = &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_String_{String_: empty}}
}

func count(n uint64) change {
	return func(o *streams.ReadReq_Options) { o.CountOption = &streams.ReadReq_Options_Count{Count: n} }
}

func live(o *streams.ReadReq_Options) {
	o.CountOption = &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}
}

// filtered reads what by chooses, with a checkpoint after multiplier times
// window events. A window of 0 stands for the default.
func filtered(by *streams.ReadReq_Options_FilterOptions, window, multiplier uint32) change {
	by, _ = proto.Clone(by).(*streams.ReadReq_Options_FilterOptions)
	by.CheckpointIntervalMultiplier = multiplier
	by.Window = &streams.ReadReq_Options_FilterOptions_Count{Count: empty}
	if window > 0 {
		by.Window = &streams.ReadReq_Options_FilterOptions_Max{Max: window}
	}
	return func(o *streams.ReadReq_Options) { o.FilterOption = &streams.ReadReq_Options_Filter{Filter: by} }
}

func byType(regex string, prefixes ...string) *streams.ReadReq_Options_FilterOptions {
	return &streams.ReadReq_Options_FilterOptions{Filter: &streams.ReadReq_Options_FilterOptions_EventType{
		EventType: &streams.ReadReq_Options_FilterOptions_Expression{Regex: regex, Prefix: prefixes},
	}}
}

func byStream(regex string, prefixes ...string) *streams.ReadReq_Options_FilterOptions {
	return &streams.ReadReq_Options_FilterOptions{Filter: &streams.ReadReq_Options_FilterOptions_StreamIdentifier{
		StreamIdentifier: &streams.ReadReq_Options_FilterOptions_Expression{Regex: regex, Prefix: prefixes},
	}}
}

func (c stub) open(changes ...change) streams.Streams_ReadClient {
	call, err := c.c.Read(c.ctx, reading(changes...))
	require.NoError(c.t, err)
	return call
}

// read returns all messages of a read, or its error.
func (c stub) read(changes ...change) ([]*streams.ReadResp, error) {
	resps, _, err := c.readAll(changes...)
	return resps, err
}

func (c stub) readAll(changes ...change) (resps []*streams.ReadResp, trailer metadata.MD, err error) {
	call := c.open(changes...)
	for {
		r, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return resps, call.Trailer(), nil
		}
		if err != nil {
			return resps, call.Trailer(), err
		}
		resps = append(resps, r)
	}
}

// show describes messages of a read: events as stream/revision.
func show(resps ...*streams.ReadResp) []string {
	out := []string{}
	for _, r := range resps {
		switch m := r.GetContent().(type) {
		case *streams.ReadResp_Event:
			out = append(out, showEvent(m.Event))
		case *streams.ReadResp_StreamNotFound_:
			out = append(out, "not found: "+string(m.StreamNotFound.GetStreamIdentifier().GetStreamName()))
		case *streams.ReadResp_FirstStreamPosition:
			out = append(out, fmt.Sprintf("first %d", m.FirstStreamPosition))
		case *streams.ReadResp_LastStreamPosition:
			out = append(out, fmt.Sprintf("last %d", m.LastStreamPosition))
		case *streams.ReadResp_Confirmation:
			out = append(out, "confirmed")
		case *streams.ReadResp_CaughtUp_:
			out = append(out, "caught up")
		case *streams.ReadResp_Checkpoint_:
			out = append(out, fmt.Sprintf("checkpoint %d/%d", m.Checkpoint.GetCommitPosition(), m.Checkpoint.GetPreparePosition()))
		default:
			out = append(out, fmt.Sprintf("%T", m))
		}
	}
	return out
}

func showEvent(e *streams.ReadResp_ReadEvent) string {
	one := func(r *streams.ReadResp_ReadEvent_RecordedEvent) string {
		return fmt.Sprintf("%s/%d", r.GetStreamIdentifier().GetStreamName(), r.GetStreamRevision())
	}
	switch {
	case e.GetLink() == nil:
		return one(e.GetEvent())
	case e.GetEvent() == nil:
		return one(e.GetLink()) + " -> nothing"
	}
	return one(e.GetLink()) + " -> " + one(e.GetEvent())
}

// shows reads, and describes what came, or the code of the error at the end.
func (c stub) shows(changes ...change) []string {
	resps, err := c.read(changes...)
	out := show(resps...)
	if err != nil {
		out = append(out, status.Code(err).String())
	}
	return out
}

// deletes makes a soft delete, or a hard one.
func (c stub) deletes(hard bool, stream string, want int64) (position uint64, trailer metadata.MD, err error) {
	if hard {
		o := &streams.TombstoneReq_Options{StreamIdentifier: named(stream)}
		switch want {
		case wantNone:
			o.ExpectedStreamRevision = &streams.TombstoneReq_Options_NoStream{NoStream: empty}
		case wantAny:
			o.ExpectedStreamRevision = &streams.TombstoneReq_Options_Any{Any: empty}
		case wantExists:
			o.ExpectedStreamRevision = &streams.TombstoneReq_Options_StreamExists{StreamExists: empty}
		default:
			o.ExpectedStreamRevision = &streams.TombstoneReq_Options_Revision{Revision: uint64(want)}
		}
		resp, err := c.c.Tombstone(c.ctx, &streams.TombstoneReq{Options: o}, grpc.Trailer(&trailer))
		return resp.GetPosition().GetCommitPosition(), trailer, err
	}
	o := &streams.DeleteReq_Options{StreamIdentifier: named(stream)}
	switch want {
	case wantNone:
		o.ExpectedStreamRevision = &streams.DeleteReq_Options_NoStream{NoStream: empty}
	case wantAny:
		o.ExpectedStreamRevision = &streams.DeleteReq_Options_Any{Any: empty}
	case wantExists:
		o.ExpectedStreamRevision = &streams.DeleteReq_Options_StreamExists{StreamExists: empty}
	default:
		o.ExpectedStreamRevision = &streams.DeleteReq_Options_Revision{Revision: uint64(want)}
	}
	resp, err := c.c.Delete(c.ctx, &streams.DeleteReq{Options: o}, grpc.Trailer(&trailer))
	return resp.GetPosition().GetCommitPosition(), trailer, err
}

func (c stub) mustDelete(hard bool, stream string) {
	c.t.Helper()
	_, _, err := c.deletes(hard, stream, wantAny)
	require.NoError(c.t, err)
}

// setMetadata appends a $metadata event to the metastream of a stream.
func (c stub) setMetadata(stream, data string) {
	c.t.Helper()
	resp, _, err := c.append("$$"+stream, wantAny, proposal(eventstore.NewID(), "$metadata", data))
	require.NoError(c.t, err)
	require.NotNil(c.t, resp.GetSuccess())
}

// A subscribed receives what a subscription sends.
type subscribed struct {
	t    *testing.T
	call streams.Streams_ReadClient
}

func (c stub) subscribe(changes ...change) subscribed {
	return subscribed{c.t, c.open(append([]change{live}, changes...)...)}
}

// next describes the next n messages.
func (s subscribed) next(n int) []string {
	s.t.Helper()
	out := []string{}
	for range n {
		r, err := s.call.Recv()
		require.NoError(s.t, err, "after %v", out)
		out = append(out, show(r)...)
	}
	return out
}

// end returns the code and the trailers of the end, which must come next.
func (s subscribed) end() (codes.Code, metadata.MD) {
	s.t.Helper()
	r, err := s.call.Recv()
	require.Error(s.t, err, "%v", r)
	return status.Code(err), s.call.Trailer()
}

// roomy returns a store that takes more than the server lets through.
func roomy() *memstore.Store { return memstore.New(&memstore.Options{MaxAppendSize: 64 << 20}) }
