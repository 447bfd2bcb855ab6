package esdbserver

import (
	"context"
	"errors"
	"io"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/wire"
	"github.com/foldstream/foldstream/eventstore/internal/jsonmeta"
)

// Append implements the service Streams. Whatever goes wrong, it takes what the
// client still sends before it answers: a client whose send fails never sees
// the status.
func (s *streamsServer) Append(call streams.Streams_AppendServer) error {
	resp, err := s.append(call)
	if err != nil {
		for {
			if _, end := call.Recv(); end != nil {
				return err
			}
		}
	}
	return call.SendAndClose(resp)
}

func (s *streamsServer) append(call streams.Streams_AppendServer) (*streams.AppendResp, error) {
	ctx := call.Context()
	first, err := call.Recv()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	o := first.GetOptions()
	if o == nil {
		return nil, unexpected("AppendReq.Content", first.GetContent())
	}
	want, err := expected(o.GetExpectedStreamRevision())
	if err != nil {
		return nil, err
	}
	stream := nameOf(o.GetStreamIdentifier())
	if err := s.authorize(ctx, opWrite, stream); err != nil {
		return nil, err
	}
	var given proposals
	for {
		req, err := call.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		p := req.GetProposedMessage()
		if p == nil {
			return nil, unexpected("AppendReq.Content", req.GetContent())
		}
		if err := given.add(ctx, p, s.opts.MaxAppendSize); err != nil {
			return nil, err
		}
	}
	receipt, err := s.write(ctx, stream, want, given.events)
	var conflict *eventstore.ConflictError
	if errors.As(err, &conflict) {
		return wrongExpectedVersion(want, conflict.Actual), nil
	}
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return appended(receipt), nil
}

// write appends. A soft-deleted stream that is expected to exist is deleted to
// EventStoreDB, and at another version to our stores.
func (s *Server) write(ctx context.Context, stream string, want expectation, events []eventstore.Event) (eventstore.Receipt, error) {
	receipt, err := s.store.Append(ctx, stream, want.Expected, events...)
	return receipt, s.existing(ctx, stream, want, err)
}

// existing replaces a conflict about a soft-deleted stream.
func (s *Server) existing(ctx context.Context, stream string, want expectation, err error) error {
	if want.Expected != eventstore.StreamExists || !errors.Is(err, eventstore.ErrConflict) {
		return err
	}
	if m, _, metaErr := s.store.StreamMetadata(ctx, stream); metaErr == nil && m.Deleted() {
		return &eventstore.StreamDeletedError{Stream: stream}
	}
	return err
}

// proposals collect the events of an append.
type proposals struct {
	events []eventstore.Event
	size   int // bytes, as EventStoreDB counts them
}

// A proposed event, of Append or of BatchAppend.
type proposed interface {
	GetId() *shared.UUID
	GetMetadata() map[string]string
	GetCustomMetadata() []byte
	GetData() []byte
}

func (p *proposals) add(ctx context.Context, e proposed, limit int) error {
	typ, ok := e.GetMetadata()["type"]
	if !ok {
		return missingMetadata(ctx, "type")
	}
	contentType, ok := e.GetMetadata()["content-type"]
	if !ok {
		return missingMetadata(ctx, "content-type")
	}
	id, err := wire.ParseUUID(e.GetId())
	switch {
	case err != nil:
		return status.Error(codes.InvalidArgument, err.Error())
	case id.IsZero():
		return status.Error(codes.Unknown, "Empty eventId provided.")
	case typ == "":
		return status.Error(codes.Unknown, "Empty eventType provided.")
	}
	p.size += len(e.GetData()) + len(e.GetCustomMetadata()) + 2*utf16Len(typ)
	if p.size > limit {
		return tooLarge(ctx, limit)
	}
	p.events = append(p.events, eventstore.Event{
		ID: id, Type: typ, ContentType: wire.ContentType(contentType),
		Data: e.GetData(), Metadata: jsonmeta.Decode(e.GetCustomMetadata()),
	})
	return nil
}

// utf16Len is the number of UTF-16 units that s takes.
func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		if n++; r > math.MaxUint16 {
			n++
		}
	}
	return n
}

func appended(r eventstore.Receipt) *streams.AppendResp {
	ok := &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: uint64(r.Version) - 1},
		PositionOption: &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{
			CommitPosition: uint64(r.Position), PreparePosition: uint64(r.Position),
		}},
	}
	if r.Version == 0 {
		ok.CurrentRevisionOption = &streams.AppendResp_Success_NoStream{NoStream: nothing}
	}
	if r.Position == 0 {
		ok.PositionOption = &streams.AppendResp_Success_NoPosition{NoPosition: nothing}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_Success_{Success: ok}}
}

// wrongExpectedVersion answers in the form of today and in that of servers
// before 20.10, because clients read either.
func wrongExpectedVersion(want expectation, actual eventstore.Version) *streams.AppendResp {
	w := &streams.AppendResp_WrongExpectedVersion{}
	if actual == 0 {
		w.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{CurrentNoStream: nothing}
		w.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_NoStream_20_6_0{NoStream_20_6_0: nothing}
	} else {
		at := uint64(actual) - 1
		w.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: at}
		w.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0{CurrentRevision_20_6_0: at}
	}
	switch want.Expected {
	case eventstore.Any:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedAny{ExpectedAny: nothing}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_Any_20_6_0{Any_20_6_0: nothing}
	case eventstore.StreamExists:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: nothing}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_StreamExists_20_6_0{StreamExists_20_6_0: nothing}
	case eventstore.NoStream:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: nothing}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: math.MaxUint64}
	default:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: uint64(want.code)}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: uint64(want.code)}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: w}}
}
