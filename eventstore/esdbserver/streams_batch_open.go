package esdbserver

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
)

// begin reads the options of a batch, which come with its first message. It
// returns an answer when they are refused.
func (b *batches) begin(ctx context.Context, req *streams.BatchAppendReq) (*batch, *streams.BatchAppendResp) {
	o := req.GetOptions()
	p := &batch{
		correlation: req.GetCorrelationId(), id: o.GetStreamIdentifier(), stream: nameOf(o.GetStreamIdentifier()),
		option: o.GetExpectedStreamPosition(), deadline: deadlineOf(o),
	}
	if o == nil {
		return p, p.bad("the first message of a batch must have options")
	}
	var err error
	if p.want, err = expected(o.GetExpectedStreamPosition()); err != nil {
		return p, p.bad(status.Convert(err).Message())
	}
	ok, err := b.allowed(ctx, opWrite, p.stream)
	if err != nil {
		return p, b.refusedBy(ctx, p, err)
	}
	if !ok {
		return p, p.denied()
	}
	return p, nil
}

func deadlineOf(o *streams.BatchAppendReq_Options) time.Time {
	now := time.Now()
	latest := now.Add(batchTime)
	given := latest
	switch d := o.GetDeadlineOption().(type) {
	case *streams.BatchAppendReq_Options_Deadline_21_10_0:
		given = d.Deadline_21_10_0.AsTime()
	case *streams.BatchAppendReq_Options_Deadline:
		given = now.Add(d.Deadline.AsDuration())
	}
	if given.Before(latest) {
		return given
	}
	return latest
}

// add takes a message of p, unless p is refused already. It reports whether p
// is complete now, and returns the answer when p is refused.
func (b *batches) add(ctx context.Context, id eventstore.ID, p *batch, req *streams.BatchAppendReq, refusal *streams.BatchAppendResp) (bool, *streams.BatchAppendResp) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !p.done && refusal == nil { // else answered before
		refusal = b.take(ctx, p, req)
	}
	if refusal != nil {
		b.settle(p)
	}
	if !req.GetIsFinal() {
		if b.open[id] == nil && !b.keep(ctx, id, p) && refusal == nil {
			refusal = p.busy()
		}
		return false, refusal
	}
	delete(b.open, id)
	complete := !p.done
	given := p.given
	b.settle(p)
	p.given = given
	return complete, refusal
}

// take adds the events of a message to p, or returns why not.
func (b *batches) take(ctx context.Context, p *batch, req *streams.BatchAppendReq) *streams.BatchAppendResp {
	if !time.Now().Before(p.deadline) {
		return p.late()
	}
	before := p.given.size
	defer func() { b.held += p.given.size - before }()
	for _, e := range req.GetProposedMessages() {
		if err := p.given.add(ctx, e, b.opts.MaxAppendSize); err != nil {
			if p.given.size > b.opts.MaxAppendSize {
				return p.tooLarge(b.opts.MaxAppendSize)
			}
			return p.bad(status.Convert(err).Message())
		}
	}
	if !req.GetIsFinal() && b.held > max(openBytes, b.opts.MaxAppendSize) {
		return p.busy()
	}
	return nil
}

// settle ends the wait for p, which is complete or refused. What is refused
// stays in open as long as there is room, so that the rest of it is known.
func (b *batches) settle(p *batch) {
	if p.done {
		return
	}
	p.done = true
	b.held -= p.given.size
	p.given = proposals{}
	if p.timer != nil {
		p.timer.Stop()
	}
}

// keep remembers a batch of which more is to come. It reports false when there
// are too many.
func (b *batches) keep(ctx context.Context, id eventstore.ID, p *batch) bool {
	if len(b.open) >= batchesOpen {
		maps.DeleteFunc(b.open, func(_ eventstore.ID, old *batch) bool { return old.done })
	}
	if len(b.open) >= batchesOpen {
		b.settle(p)
		return false
	}
	b.open[id] = p
	if !p.done {
		p.timer = time.AfterFunc(time.Until(p.deadline), func() { b.expire(ctx, p) })
	}
	return true
}

// expire answers a batch whose last message did not come.
func (b *batches) expire(ctx context.Context, p *batch) {
	b.mu.Lock()
	if p.done || b.ended {
		b.mu.Unlock()
		return
	}
	b.settle(p)
	b.running.Add(1) // so that the answer is sent
	b.mu.Unlock()
	defer b.running.Done()
	b.reply(ctx, p.late())
}

// expireAll answers what can never be completed any more.
func (b *batches) expireAll(ctx context.Context) {
	b.mu.Lock()
	open := slices.Collect(maps.Values(b.open))
	b.mu.Unlock()
	for _, p := range open {
		b.expire(ctx, p)
	}
}
