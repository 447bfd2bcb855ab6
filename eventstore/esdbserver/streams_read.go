package esdbserver

import (
	"context"
	"errors"
	"iter"
	"math"
	"strconv"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/wire"
)

// A reading is one call of Read: a read or a subscription.
type reading struct {
	*streamsServer
	call    streams.Streams_ReadServer
	options *streams.ReadReq_Options
	enc     wire.Encoder
}

// Read implements the service Streams.
func (s *streamsServer) Read(req *streams.ReadReq, call streams.Streams_ReadServer) error {
	o := req.GetOptions()
	r := &reading{streamsServer: s, call: call, options: o}
	switch o.GetUuidOption().GetContent().(type) {
	case *streams.ReadReq_Options_UUIDOption_Structured:
	case *streams.ReadReq_Options_UUIDOption_String_:
		r.enc.TextIDs = true
	default:
		return required("uuidOption", "structured or string")
	}
	_, filtered := o.GetFilterOption().(*streams.ReadReq_Options_Filter)
	_, subscribes := o.GetCountOption().(*streams.ReadReq_Options_Subscription)
	_, counts := o.GetCountOption().(*streams.ReadReq_Options_Count)
	_, unfiltered := o.GetFilterOption().(*streams.ReadReq_Options_NoFilter)
	backwards := o.GetReadDirection() == streams.ReadReq_Options_Backwards
	ctx := call.Context()
	if !filtered && !unfiltered || !backwards && o.GetReadDirection() != streams.ReadReq_Options_Forwards {
		return invalidCombination(o)
	}
	switch at := o.GetStreamOption().(type) {
	case *streams.ReadReq_Options_Stream:
		stream := nameOf(at.Stream.GetStreamIdentifier())
		if err := s.authorize(ctx, opRead, stream); err != nil {
			return err
		}
		switch {
		case subscribes && !filtered && !backwards:
			return r.subscribe(stream, at.Stream)
		case counts && !filtered:
			return r.readStream(ctx, stream, at.Stream)
		}
	case *streams.ReadReq_Options_All:
		if err := s.authorize(ctx, opRead, allStream); err != nil {
			return err
		}
		f, err := compileFilter(o.GetFilter())
		if err != nil {
			return err
		}
		switch {
		case subscribes && !backwards:
			return r.subscribeAll(at.All, f)
		case counts:
			return r.readAll(ctx, at.All, f)
		}
	}
	return invalidCombination(o)
}

func invalidCombination(o *streams.ReadReq_Options) error {
	return status.Errorf(codes.InvalidArgument, "The combination of (%T, %T, %T, %v) is invalid.",
		o.GetStreamOption(), o.GetCountOption(), o.GetFilterOption(), o.GetReadDirection())
}

// readStream sends a part of a stream, or says that there is no such stream.
func (r *reading) readStream(ctx context.Context, stream string, at *streams.ReadReq_Options_StreamOptions) error {
	opts := eventstore.ReadOptions{Backwards: r.options.GetReadDirection() == streams.ReadReq_Options_Backwards}
	none := r.options.GetCount() == 0
	switch o := at.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Revision:
		opts.From = eventstore.Version(min(o.Revision, math.MaxInt64)) + 1
	case *streams.ReadReq_Options_StreamOptions_Start:
		opts.From = 1
	case *streams.ReadReq_Options_StreamOptions_End:
		none = none || !opts.Backwards
	default:
		return required("revisionOption", "a revision, start or end")
	}
	if none { // only whether it is there
		opts = eventstore.ReadOptions{Backwards: true, Limit: 1}
	} else {
		opts.Limit = int(min(r.options.GetCount(), math.MaxInt))
	}
	sent := 0
	for e, err := range r.store.Read(ctx, stream, opts) {
		if errors.Is(err, eventstore.ErrStreamNotFound) {
			return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{
				StreamNotFound: &streams.ReadResp_StreamNotFound{StreamIdentifier: wire.Stream(stream)},
			}})
		}
		if err != nil {
			return r.failed(ctx, err)
		}
		if none {
			break
		}
		if err := r.send(ctx, &e); err != nil {
			return err
		}
		sent++
	}
	if r.options.GetControlOption().GetCompatibility() < 1 {
		return nil // most clients know nothing but events here
	}
	return r.ends(ctx, stream, opts, sent)
}

// ends tells a client that asked for it where the stream begins, when that is
// later than what it read from, and where it ends.
func (r *reading) ends(ctx context.Context, stream string, opts eventstore.ReadOptions, sent int) error {
	if sent == 0 && !opts.Backwards {
		for e, err := range r.store.Read(ctx, stream, eventstore.ReadOptions{Limit: 1}) {
			if err == nil && e.Version > opts.From {
				if err := r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_FirstStreamPosition{FirstStreamPosition: uint64(e.Version) - 1}}); err != nil {
					return err
				}
			}
		}
	}
	last, err := r.lastVersion(ctx, stream)
	if err != nil || last == 0 {
		return nil // the events were sent; this is an extra
	}
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_LastStreamPosition{LastStreamPosition: uint64(last) - 1}})
}

// lastVersion returns the version of a stream, also of one whose events are
// hidden. It returns the error of a tombstone.
func (s *Server) lastVersion(ctx context.Context, stream string) (eventstore.Version, error) {
	for e, err := range s.store.Read(ctx, stream, eventstore.ReadOptions{Backwards: true, Limit: 1}) {
		if errors.Is(err, eventstore.ErrStreamNotFound) {
			break
		}
		return e.Version, err
	}
	receipt, err := s.store.Append(ctx, stream, eventstore.Any) // of nothing: it only looks
	return receipt.Version, err
}

// readAll sends a part of all streams.
func (r *reading) readAll(ctx context.Context, at *streams.ReadReq_Options_AllOptions, f *filter) error {
	if r.options.GetReadDirection() == streams.ReadReq_Options_Backwards {
		return r.readAllBackwards(ctx, at, f)
	}
	opts := eventstore.ReadAllOptions{}
	switch o := at.GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Start:
	case *streams.ReadReq_Options_AllOptions_End:
		return nil
	case *streams.ReadReq_Options_AllOptions_Position:
		p, err := position(o.Position)
		if err != nil || p == wire.End {
			return err
		}
		opts.From = p
	default:
		return required("allOption", "a position, start or end")
	}
	return r.sendAll(ctx, r.store.ReadAll(ctx, opts), f)
}

// readAllBackwards begins before a position, not at it.
func (r *reading) readAllBackwards(ctx context.Context, at *streams.ReadReq_Options_AllOptions, f *filter) error {
	opts := eventstore.ReadAllOptions{Backwards: true}
	switch o := at.GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Start:
		return nil
	case *streams.ReadReq_Options_AllOptions_End:
	case *streams.ReadReq_Options_AllOptions_Position:
		p, err := position(o.Position)
		if err != nil || p <= 1 {
			return err
		}
		if p != wire.End {
			opts.From = p - 1
		}
	default:
		return required("allOption", "a position, start or end")
	}
	return r.sendAll(ctx, r.store.ReadAll(ctx, opts), f)
}

func position(p *streams.ReadReq_Options_Position) (eventstore.Position, error) {
	if p.GetPreparePosition() > p.GetCommitPosition() {
		return 0, status.Error(codes.InvalidArgument, "Trying to read from an invalid position.")
	}
	return eventstore.Position(p.GetCommitPosition()), nil
}

func (r *reading) sendAll(ctx context.Context, events iter.Seq2[eventstore.Recorded, error], f *filter) error {
	left := r.options.GetCount()
	if left == 0 {
		return nil
	}
	for e, err := range events {
		if err != nil {
			return r.failed(ctx, err)
		}
		if hidden(e.Stream) || !f.match(&e) {
			continue
		}
		if err := r.send(ctx, &e); err != nil {
			return err
		}
		if left--; left == 0 {
			return nil
		}
	}
	return nil
}

// hidden reports whether a stream is left out of $all: what the server itself
// writes there would have it write again.
func hidden(stream string) bool {
	if !strings.HasPrefix(stream, "$") {
		return false
	}
	return stream == "$epoch-information" || strings.HasPrefix(stream, "$persistentsubscription-$all::") &&
		(strings.HasSuffix(stream, "-checkpoint") || strings.HasSuffix(stream, "-parked"))
}

// typeLink is the type of an event whose data names another: {revision}@{stream}.
const typeLink = "$>"

// send sends an event, and what it links to when that was asked for.
func (r *reading) send(ctx context.Context, e *eventstore.Recorded) error {
	if e.Type == typeLink && r.options.GetResolveLinks() {
		target, ok, err := r.resolve(ctx, e)
		if err != nil {
			return r.failed(ctx, err)
		}
		if ok {
			return r.sendFrame(r.enc.Event(target, e))
		}
	}
	return r.sendFrame(r.enc.Event(e, nil))
}

func (r *reading) sendFrame(f *wire.Frame) error { return r.call.SendMsg(f) }

// resolve returns what a link points to; nil when that cannot be read any
// more. It reports false for data that is no link.
func (r *reading) resolve(ctx context.Context, link *eventstore.Recorded) (*eventstore.Recorded, bool, error) {
	number, stream, found := strings.Cut(string(link.Data), "@")
	revision, err := strconv.ParseUint(number, 10, 63)
	if !found || err != nil {
		return nil, false, nil // not a link then
	}
	if ok, err := r.allowed(ctx, opRead, stream); err != nil || !ok {
		return nil, true, err
	}
	for e, err := range r.store.Read(ctx, stream, eventstore.ReadOptions{From: eventstore.Version(revision) + 1, Limit: 1}) {
		switch {
		case errors.Is(err, eventstore.ErrStreamNotFound), errors.Is(err, eventstore.ErrStreamDeleted), errors.Is(err, eventstore.ErrInvalid):
		case err != nil:
			return nil, true, err
		case uint64(e.Version) == revision+1:
			return &e, true, nil
		}
	}
	return nil, true, nil
}
