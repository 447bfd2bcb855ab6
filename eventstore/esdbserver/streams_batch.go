package esdbserver

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/wire"
)

// Limits of one call, so that no client fills the memory.
const (
	batchSlots  = 512      // for batches on their way to the store
	slotBytes   = 64 << 10 // a batch takes one slot, and one more for each of these
	batchesOpen = 4096     // batches that are not complete yet
	openBytes   = 32 << 20 // of events in those
)

// batchTime is how long the messages of a batch may take to arrive, as
// EventStoreDB's write timeout.
const batchTime = 2 * time.Second

// A batch is one append of a BatchAppend call, which comes in several messages.
// Until it is complete or answered it is guarded by batches.mu.
type batch struct {
	correlation *shared.UUID
	id          *shared.StreamIdentifier
	stream      string
	want        expectation
	option      any // of want, as it came
	given       proposals
	deadline    time.Time
	timer       *time.Timer // at the deadline; nil for a batch of one message
	slots       int         // taken
	done        bool        // complete or refused; what still comes is ignored
}

// BatchAppend implements the service Streams: many appends in one call, each
// atomic by itself and answered when it is done. Appends to the same stream are
// carried out in the order in which they were completed. Clients keep such a
// call open, so it ends when the server stops, after what is on its way.
func (s *streamsServer) BatchAppend(call streams.Streams_BatchAppendServer) error {
	ctx, cancel := context.WithCancel(withoutTrailers(call.Context()))
	defer cancel()
	b := &batches{
		streamsServer: s, open: make(map[eventstore.ID]*batch), lanes: make(map[string][]*batch),
		slots: make(chan struct{}, batchSlots), answers: make(chan *streams.BatchAppendResp, batchSlots),
		idle: make(chan *batch), over: make(chan struct{}),
	}
	received, sent, done := make(chan error, 1), make(chan error, 1), make(chan struct{})
	go func() { received <- b.receive(ctx, call) }() // ends with the call
	go func() { sent <- b.send(call, done) }()
	var err error
	select {
	case err = <-received:
	case <-s.stopping:
		err = errStopping
	case err := <-sent: // nobody takes the answers any more
		cancel()
		b.finish()
		return err
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
	slots   chan struct{} // taken by what is on its way to the store
	answers chan *streams.BatchAppendResp
	running sync.WaitGroup // what will still answer
	idle    chan *batch    // to a worker that waits for one
	over    chan struct{}  // closed when there will be none

	mu    sync.Mutex
	ended bool                     // nothing more is taken
	open  map[eventstore.ID]*batch // by correlation id
	held  int                      // bytes of events in open
	lanes map[string][]*batch      // waiting behind another batch of the same stream; nil while only that is at work
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

func (b *batches) reply(ctx context.Context, a *streams.BatchAppendResp) {
	select {
	case b.answers <- a:
	case <-ctx.Done(): // nobody reads any more
	}
}

// finish takes no more batches and waits for those that were taken.
func (b *batches) finish() {
	b.mu.Lock()
	b.ended = true
	for _, p := range b.open {
		b.settle(p)
	}
	b.mu.Unlock()
	close(b.over)
	b.running.Wait()
}

func (b *batches) receive(ctx context.Context, call streams.Streams_BatchAppendServer) (err error) {
	defer b.recovered(ctx, streams.Streams_BatchAppend_FullMethodName, &err)
	for {
		req, err := call.Recv()
		if errors.Is(err, io.EOF) {
			b.expireAll(ctx)
			return nil
		}
		if err != nil {
			return err
		}
		correlation, err := wire.ParseUUID(req.GetCorrelationId())
		if err != nil {
			return status.Errorf(codes.InvalidArgument, "the correlation id of a batch: %v", err)
		}
		var refusal *streams.BatchAppendResp
		p := b.find(correlation)
		if p == nil {
			p, refusal = b.begin(ctx, req)
		}
		complete, refusal := b.add(ctx, correlation, p, req, refusal)
		if refusal != nil {
			b.reply(ctx, refusal)
		}
		if !complete {
			continue
		}
		if err := b.dispatch(ctx, p); err != nil {
			return err
		}
	}
}

func (b *batches) find(correlation eventstore.ID) *batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open[correlation]
}
