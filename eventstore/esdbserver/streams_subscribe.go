package esdbserver

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/wire"
)

// behind is how many events a subscriber may be sent in one go and still count
// as live; EventStoreDB buffers as many for each.
const behind = 32

// subscribe follows one stream.
func (r *reading) subscribe(stream string, at *streams.ReadReq_Options_StreamOptions) error {
	ctx, stop := r.untilStop(stream)
	defer stop()
	last, err := r.lastVersion(ctx, stream)
	if err != nil {
		return r.failed(ctx, err) // such as a tombstone, before the confirmation
	}
	var after eventstore.Version
	switch o := at.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Revision:
		after = eventstore.Version(min(o.Revision, math.MaxInt64)) + 1
	case *streams.ReadReq_Options_StreamOptions_Start:
	case *streams.ReadReq_Options_StreamOptions_End:
		after = last
	default:
		return required("revisionOption", "a revision, start or end")
	}
	if err := r.confirm(); err != nil {
		return err
	}
	f := following{reading: r, stream: stream}
	for m, err := range r.store.Subscribe(ctx, stream, eventstore.SubscribeOptions{After: after}) {
		if err == nil {
			err = f.take(ctx, &m)
		}
		if err != nil {
			return r.ended(ctx, err)
		}
	}
	return nil
}

// subscribeAll follows all streams. It filters here rather than in the store,
// because checkpoints count what was examined.
func (r *reading) subscribeAll(at *streams.ReadReq_Options_AllOptions, f *filter) error {
	ctx, stop := r.untilStop(allStream)
	defer stop()
	var after eventstore.Position
	var err error
	switch o := at.GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Position:
		if after, err = position(o.Position); after == wire.End && err == nil {
			after, err = r.store.Head(ctx)
		}
	case *streams.ReadReq_Options_AllOptions_Start:
	case *streams.ReadReq_Options_AllOptions_End:
		after, err = r.store.Head(ctx)
	default:
		err = required("allOption", "a position, start or end")
	}
	if err != nil {
		return r.failed(ctx, err)
	}
	follow := following{reading: r, stream: allStream, filter: f, examined: after, said: after}
	if f != nil {
		multiplier := r.options.GetFilter().GetCheckpointIntervalMultiplier()
		if multiplier == 0 {
			return unexpected("checkpointIntervalMultiplier", 0)
		}
		follow.interval = uint64(multiplier) * f.window
	}
	if err := r.confirm(); err != nil {
		return err
	}
	for m, err := range r.store.SubscribeAll(ctx, eventstore.SubscribeAllOptions{After: after}) {
		if err == nil {
			err = follow.take(ctx, &m)
		}
		if err != nil {
			return r.ended(ctx, err)
		}
	}
	return nil
}

// rightsEvery is how often a subscription that waits looks whether its caller
// may still read.
const rightsEvery = time.Second

// untilStop returns the context of the call, which ends when the server stops,
// and when the caller loses the right to read the stream. The function ends it
// too, and what watches for that.
func (r *reading) untilStop(stream string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(r.call.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		if err := r.watch(ctx, stream); err != nil {
			cancel(err)
		}
	})
	return ctx, func() {
		cancel(nil)
		watching.Wait()
	}
}

// watch returns why a subscription has to end, or nil when ctx is done.
func (r *reading) watch(ctx context.Context, stream string) (err error) {
	defer r.recovered(ctx, streams.Streams_Read_FullMethodName, &err)
	var look <-chan time.Time
	if !principalOf(ctx).admin() {
		t := time.NewTicker(rightsEvery)
		defer t.Stop()
		look = t.C
	}
	for {
		select {
		case <-r.stopping:
			return errStopping
		case <-ctx.Done():
			return nil
		case <-look:
			if ok, err := r.allowed(ctx, opRead, stream); err == nil && !ok {
				return eventstore.ErrAccessDenied
			}
		}
	}
}

func (r *reading) ended(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) {
		err = context.Cause(ctx)
	}
	return r.failed(ctx, err)
}

func (r *reading) confirm() error {
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_Confirmation{
		Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: eventstore.NewID().String()},
	}})
}

// A following is a subscription after its confirmation.
type following struct {
	*reading
	stream   string
	filter   *filter
	interval uint64 // events between checkpoints

	live     bool
	run      int                 // events since it last waited
	count    uint64              // events examined since the last checkpoint of the interval
	examined eventstore.Position // of the last event
	said     eventstore.Position // of the last checkpoint, or where it began
	checked  time.Time           // when the right to read was last looked at
}

func (f *following) take(ctx context.Context, m *eventstore.Message) error {
	switch m.Kind {
	case eventstore.MessageEvent:
		return f.event(ctx, &m.Event)
	case eventstore.MessageCaughtUp:
		f.examined = max(f.examined, m.Position)
		return f.caughtUp()
	}
	return nil
}

func (f *following) event(ctx context.Context, e *eventstore.Recorded) error {
	f.run++
	f.examined = e.Position
	if f.stream != allStream || !hidden(e.Stream) && f.filter.match(e) {
		if err := f.mayRead(ctx); err != nil {
			return err
		}
		if err := f.send(ctx, e); err != nil {
			return err
		}
	}
	if f.interval == 0 {
		return nil
	}
	if f.count++; f.count < f.interval {
		return nil
	}
	return f.checkpoint()
}

// checkpoint says how far the subscription has looked. It never says the same
// twice.
func (f *following) checkpoint() error {
	f.count = 0
	p := uint64(f.examined)
	f.said = f.examined
	return f.call.Send(&streams.ReadResp{Content: &streams.ReadResp_Checkpoint_{
		Checkpoint: &streams.ReadResp_Checkpoint{CommitPosition: p, PreparePosition: p},
	}})
}

// caughtUp is called whenever there is nothing more for now.
func (f *following) caughtUp() error {
	f.enc.Release()
	again := f.run > behind
	f.run = 0
	if f.live && !again {
		return nil
	}
	f.live = true
	if f.interval > 0 && f.examined > f.said {
		if err := f.checkpoint(); err != nil {
			return err
		}
	}
	return f.call.Send(&streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}})
}

// mayRead looks whether the caller may still read: for each event while the
// subscription is live, once a second in history.
func (f *following) mayRead(ctx context.Context) error {
	if principalOf(ctx).admin() || !f.live && time.Since(f.checked) < time.Second {
		return nil
	}
	f.checked = time.Now()
	return f.authorize(ctx, opRead, f.stream)
}
