package esdbserver

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/wire"
)

const (
	batchesAtOnce = 512             // of one call, on their way to the store
	batchesOpen   = 4096            // of one call, not complete yet
	batchTime     = 2 * time.Second // for the messages of a batch to arrive; EventStoreDB's write timeout
)

// A batch is one append of a BatchAppend call, which comes in several messages.
type batch struct {
	correlation *shared.UUID
	id          *shared.StreamIdentifier
	stream      string
	want        expectation
	option      any // of want, as it came
	given       proposals
	deadline    time.Time
	failed      bool // it was answered; what still comes is ignored
}

// BatchAppend implements the service Streams: many appends in one call, each
// atomic by itself and answered when it is done. Appends to the same stream are
// carried out in the order in which they were completed. Clients keep such a
// call open, so it ends when the server stops, after what is on its way.
func (s *streamsServer) BatchAppend(call streams.Streams_BatchAppendServer) error {
	ctx, cancel := context.WithCancel(call.Context())
	defer cancel()
	b := &batches{
		streamsServer: s, open: make(map[eventstore.ID]*batch), lanes: make(map[string][]*batch),
		slots: make(chan struct{}, batchesAtOnce), answers: make(chan *streams.BatchAppendResp, batchesAtOnce),
	}
	received, sent, done := make(chan error, 1), make(chan error, 1), make(chan struct{})
	go func() { received <- b.receive(ctx, call) }() // ends with the call
	go func() { sent <- b.send(call, done) }()
	var err error
	select {
	case err = <-received:
	case <-s.stopping:
		err = errStopping
	}
	b.finish()
	close(done)
	if sendErr := <-sent; err == nil {
		err = sendErr
	}
	return err
}

// batches is the state of one BatchAppend call.
type batches struct {
	*streamsServer
	open    map[eventstore.ID]*batch // by correlation id; of the receiver
	slots   chan struct{}            // taken by what is on its way to the store
	answers chan *streams.BatchAppendResp
	running sync.WaitGroup

	mu    sync.Mutex
	ended bool                // nothing more is taken
	lanes map[string][]*batch // waiting behind another batch of the same stream; nil while only that is at work
}

// send is the only one that sends. It ends once everything is sent that was
// answered before done.
func (b *batches) send(call streams.Streams_BatchAppendServer, done <-chan struct{}) error {
	for {
		select {
		case a := <-b.answers:
			if err := call.Send(a); err != nil {
				return err
			}
			continue
		case <-done:
		}
		for {
			select {
			case a := <-b.answers:
				if err := call.Send(a); err != nil {
					return err
				}
			default:
				return nil
			}
		}
	}
}

// finish takes no more batches and waits for those that were taken.
func (b *batches) finish() {
	b.mu.Lock()
	b.ended = true
	b.mu.Unlock()
	b.running.Wait()
}

func (b *batches) reply(ctx context.Context, a *streams.BatchAppendResp) {
	select {
	case b.answers <- a:
	case <-ctx.Done(): // nobody reads any more
	}
}

func (b *batches) receive(ctx context.Context, call streams.Streams_BatchAppendServer) error {
	for {
		req, err := call.Recv()
		if errors.Is(err, io.EOF) {
			for _, late := range b.open {
				b.expire(ctx, late)
			}
			return nil
		}
		if err != nil {
			return err
		}
		correlation, err := wire.ParseUUID(req.GetCorrelationId())
		if err != nil {
			return status.Errorf(codes.InvalidArgument, "the correlation id of a batch: %v", err)
		}
		p := b.open[correlation]
		if p == nil {
			if p = b.begin(ctx, req); len(b.open) >= batchesOpen {
				b.sweep(ctx)
			}
			b.open[correlation] = p
		}
		if !p.failed {
			b.add(ctx, p, req)
		}
		if !req.GetIsFinal() {
			continue
		}
		delete(b.open, correlation)
		if p.failed {
			continue
		}
		select {
		case b.slots <- struct{}{}:
			b.dispatch(ctx, p)
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// begin reads the options of a batch, which come with its first message.
func (b *batches) begin(ctx context.Context, req *streams.BatchAppendReq) *batch {
	o := req.GetOptions()
	p := &batch{correlation: req.GetCorrelationId(), id: o.GetStreamIdentifier(), stream: nameOf(o.GetStreamIdentifier()), option: o.GetExpectedStreamPosition()}
	now := time.Now()
	p.deadline = now.Add(batchTime)
	given := p.deadline
	switch d := o.GetDeadlineOption().(type) {
	case *streams.BatchAppendReq_Options_Deadline_21_10_0:
		given = d.Deadline_21_10_0.AsTime()
	case *streams.BatchAppendReq_Options_Deadline:
		given = now.Add(d.Deadline.AsDuration())
	}
	if given.Before(p.deadline) {
		p.deadline = given
	}
	var err error
	p.want, err = expected(o.GetExpectedStreamPosition())
	switch {
	case o == nil:
		b.refuse(ctx, p, codes.InvalidArgument, "the first message of a batch must have options", &shared.BadRequest{Message: "the first message of a batch must have options"})
	case err != nil:
		b.refuse(ctx, p, codes.InvalidArgument, "", &shared.BadRequest{Message: status.Convert(err).Message()})
	default:
		if err := b.authorize(ctx, opWrite, p.stream); err != nil {
			b.refuse(ctx, p, codes.PermissionDenied, "Access Denied", &shared.AccessDenied{})
		}
	}
	return p
}

func (b *batches) add(ctx context.Context, p *batch, req *streams.BatchAppendReq) {
	if !time.Now().Before(p.deadline) {
		b.expire(ctx, p)
		return
	}
	for _, e := range req.GetProposedMessages() {
		if err := p.given.add(ctx, e, b.opts.MaxAppendSize); err != nil {
			if p.given.size > b.opts.MaxAppendSize {
				b.refuse(ctx, p, codes.InvalidArgument, status.Convert(err).Message(), &shared.MaximumAppendSizeExceeded{MaxAppendSize: uint32(b.opts.MaxAppendSize)})
			} else {
				b.refuse(ctx, p, codes.InvalidArgument, "", &shared.BadRequest{Message: status.Convert(err).Message()})
			}
			return
		}
	}
}

// sweep answers the batches whose time is over, because their last message may
// never come.
func (b *batches) sweep(ctx context.Context) {
	now := time.Now()
	for id, p := range b.open {
		if now.After(p.deadline) {
			b.expire(ctx, p)
			delete(b.open, id)
		}
	}
}

func (b *batches) expire(ctx context.Context, p *batch) {
	if !p.failed {
		b.refuse(ctx, p, codes.DeadlineExceeded, "Timeout", &shared.Timeout{})
	}
}

// dispatch has a complete batch carried out, after those of the same stream.
func (b *batches) dispatch(ctx context.Context, p *batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		<-b.slots
		return
	}
	if waiting, busy := b.lanes[p.stream]; busy {
		b.lanes[p.stream] = append(waiting, p)
		return
	}
	b.lanes[p.stream] = nil
	b.running.Go(func() {
		for p := p; p != nil; p = b.next(p.stream) {
			b.carryOut(ctx, p)
			<-b.slots
		}
	})
}

func (b *batches) next(stream string) *batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting := b.lanes[stream]
	if len(waiting) == 0 {
		delete(b.lanes, stream)
		return nil
	}
	b.lanes[stream] = waiting[1:]
	return waiting[0]
}

func (b *batches) carryOut(ctx context.Context, p *batch) {
	receipt, err := b.write(ctx, p.stream, p.want, p.given.events)
	if err != nil {
		b.refuseBy(ctx, p, err)
		return
	}
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
	b.reply(ctx, a)
}

// refuseBy answers with an error of the store.
func (b *batches) refuseBy(ctx context.Context, p *batch, err error) {
	var conflict *eventstore.ConflictError
	switch {
	case errors.As(err, &conflict):
		b.refuse(ctx, p, codes.AlreadyExists, "WrongExpectedVersion", sharedWrongVersion(p.want, conflict.Actual))
	case errors.Is(err, eventstore.ErrStreamDeleted):
		b.refuse(ctx, p, codes.NotFound, "StreamDeleted", &shared.StreamDeleted{StreamIdentifier: p.id})
	case errors.Is(err, eventstore.ErrTooLarge):
		b.refuse(ctx, p, codes.InvalidArgument, "MaximumAppendSizeExceeded", &shared.MaximumAppendSizeExceeded{MaxAppendSize: uint32(b.opts.MaxAppendSize)})
	case errors.Is(err, eventstore.ErrInvalid):
		b.refuse(ctx, p, codes.InvalidArgument, "", &shared.BadRequest{Message: err.Error()})
	case errors.Is(err, context.DeadlineExceeded):
		b.refuse(ctx, p, codes.DeadlineExceeded, "Timeout", &shared.Timeout{})
	default:
		b.refuse(ctx, p, codes.Unknown, status.Convert(b.failed(ctx, err)).Message(), &shared.Unknown{})
	}
}

func (b *batches) refuse(ctx context.Context, p *batch, code codes.Code, message string, detail proto.Message) {
	p.failed = true
	st := &rpcstatus.Status{Code: int32(code), Message: message}
	if bad, ok := detail.(*shared.BadRequest); ok && message == "" {
		st.Message = bad.Message
	}
	if d, err := anypb.New(detail); err == nil {
		st.Details = []*anypb.Any{d}
	}
	a := p.answer()
	a.Result = &streams.BatchAppendResp_Error{Error: st}
	b.reply(ctx, a)
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
