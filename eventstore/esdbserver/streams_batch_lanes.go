package esdbserver

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
)

// dispatch has a complete batch carried out, after those of the same stream. It
// waits while too many are on their way.
func (b *batches) dispatch(ctx context.Context, p *batch) error {
	slots := min(1+p.given.size/slotBytes, batchSlots)
	for range slots { // only the receiver takes slots, so it gets them all in the end
		select {
		case b.slots <- struct{}{}:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
	p.slots = slots
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return nil
	}
	if waiting, busy := b.lanes[p.stream]; busy {
		b.lanes[p.stream] = append(waiting, p)
		return nil
	}
	b.lanes[p.stream] = nil
	select {
	case b.idle <- p:
	default:
		b.running.Go(func() { b.work(ctx, p) })
	}
	return nil
}

// work carries out a batch and those that wait behind it, and then others as
// they come, until there will be no more. A goroutine for each batch would
// spend a sixth of the time on growing its stack.
func (b *batches) work(ctx context.Context, p *batch) {
	for {
		for ; p != nil; p = b.next(p.stream) {
			b.carryOut(ctx, p)
		}
		select {
		case p = <-b.idle:
		case <-b.over:
			return
		}
	}
}

// next returns the batch that waits longest for a stream, or nil.
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
	receipt, err := b.tryWrite(ctx, p)
	p.given = proposals{}
	if err != nil {
		b.reply(ctx, b.refusedBy(ctx, p, err))
	} else {
		b.reply(ctx, p.written(receipt))
	}
	for range p.slots {
		<-b.slots
	}
}

// tryWrite writes, and returns a panic of the store as an error: here no
// interceptor would.
func (b *batches) tryWrite(ctx context.Context, p *batch) (_ eventstore.Receipt, err error) {
	defer b.recovered(ctx, streams.Streams_BatchAppend_FullMethodName, &err)
	return b.write(ctx, p.stream, p.want, p.given.events)
}
