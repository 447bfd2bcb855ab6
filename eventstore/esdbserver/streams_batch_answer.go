package esdbserver

import (
	"context"
	"errors"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/foldstream/foldstream/eventstore"
)

// written is the answer to a batch that is in the store.
func (p *batch) written(receipt eventstore.Receipt) *streams.BatchAppendResp {
	ok := &streams.BatchAppendResp_Success{
		CurrentRevisionOption: &streams.BatchAppendResp_Success_CurrentRevision{CurrentRevision: uint64(receipt.Version) - 1},
		PositionOption: &streams.BatchAppendResp_Success_Position{Position: &shared.AllStreamPosition{
			CommitPosition: uint64(receipt.Position), PreparePosition: uint64(receipt.Position),
		}},
	}
	if receipt.Version == 0 {
		ok.CurrentRevisionOption = &streams.BatchAppendResp_Success_NoStream{NoStream: &emptypb.Empty{}}
	}
	if receipt.Position == 0 {
		ok.PositionOption = &streams.BatchAppendResp_Success_NoPosition{NoPosition: &emptypb.Empty{}}
	}
	a := p.answer()
	a.Result = &streams.BatchAppendResp_Success_{Success: ok}
	return a
}

// refusedBy is the answer to a batch that the store refused.
func (b *batches) refusedBy(ctx context.Context, p *batch, err error) *streams.BatchAppendResp {
	var conflict *eventstore.ConflictError
	switch {
	case errors.As(err, &conflict):
		return p.refused(codes.AlreadyExists, "WrongExpectedVersion", sharedWrongVersion(p.want, conflict.Actual))
	case errors.Is(err, eventstore.ErrStreamDeleted):
		return p.refused(codes.NotFound, "StreamDeleted", &shared.StreamDeleted{StreamIdentifier: p.id})
	case errors.Is(err, eventstore.ErrTooLarge):
		return p.tooLarge(b.opts.MaxAppendSize)
	case errors.Is(err, eventstore.ErrInvalid):
		return p.bad(err.Error())
	case errors.Is(err, eventstore.ErrAccessDenied):
		return p.denied()
	case errors.Is(err, context.DeadlineExceeded):
		return p.late()
	}
	return p.refused(codes.Unknown, status.Convert(b.failed(ctx, err)).Message(), &shared.Unknown{})
}

func (p *batch) bad(message string) *streams.BatchAppendResp {
	return p.refused(codes.InvalidArgument, message, &shared.BadRequest{Message: message})
}

func (p *batch) denied() *streams.BatchAppendResp {
	return p.refused(codes.PermissionDenied, "Access Denied", &shared.AccessDenied{})
}

func (p *batch) late() *streams.BatchAppendResp {
	return p.refused(codes.DeadlineExceeded, "Timeout", &shared.Timeout{})
}

// busy is the answer to a batch when too many others are not complete.
func (p *batch) busy() *streams.BatchAppendResp {
	return p.refused(codes.Unknown, "Server Is Too Busy", &shared.Unknown{})
}

func (p *batch) tooLarge(limit int) *streams.BatchAppendResp {
	return p.refused(codes.InvalidArgument, "MaximumAppendSizeExceeded", &shared.MaximumAppendSizeExceeded{MaxAppendSize: uint32(limit)})
}

func (p *batch) refused(code codes.Code, message string, detail proto.Message) *streams.BatchAppendResp {
	message = strings.ToValidUTF8(message, "\uFFFD") // of a store's error; else it could not be sent
	st := &rpcstatus.Status{Code: int32(code), Message: message}
	if d, err := anypb.New(detail); err == nil {
		st.Details = []*anypb.Any{d}
	}
	a := p.answer()
	a.Result = &streams.BatchAppendResp_Error{Error: st}
	return a
}

// answer returns the frame of an answer, with what was expected.
func (p *batch) answer() *streams.BatchAppendResp {
	a := &streams.BatchAppendResp{CorrelationId: p.correlation, StreamIdentifier: p.id}
	switch o := p.option.(type) {
	case *streams.BatchAppendReq_Options_StreamPosition:
		a.ExpectedStreamPosition = &streams.BatchAppendResp_StreamPosition{StreamPosition: o.StreamPosition}
	case *streams.BatchAppendReq_Options_NoStream:
		a.ExpectedStreamPosition = &streams.BatchAppendResp_NoStream{NoStream: &emptypb.Empty{}}
	case *streams.BatchAppendReq_Options_Any:
		a.ExpectedStreamPosition = &streams.BatchAppendResp_Any{Any: &emptypb.Empty{}}
	case *streams.BatchAppendReq_Options_StreamExists:
		a.ExpectedStreamPosition = &streams.BatchAppendResp_StreamExists{StreamExists: &emptypb.Empty{}}
	}
	return a
}

func sharedWrongVersion(want expectation, actual eventstore.Version) *shared.WrongExpectedVersion {
	w := &shared.WrongExpectedVersion{}
	if actual == 0 {
		w.CurrentStreamRevisionOption = &shared.WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &emptypb.Empty{}}
	} else {
		w.CurrentStreamRevisionOption = &shared.WrongExpectedVersion_CurrentStreamRevision{CurrentStreamRevision: uint64(actual) - 1}
	}
	switch want.Expected {
	case eventstore.Any:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedAny{ExpectedAny: &emptypb.Empty{}}
	case eventstore.StreamExists:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &emptypb.Empty{}}
	case eventstore.NoStream:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &emptypb.Empty{}}
	default:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamPosition{ExpectedStreamPosition: uint64(want.code)}
	}
	return w
}
