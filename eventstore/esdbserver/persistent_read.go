package esdbserver

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strconv"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/groups"
	"github.com/foldstream/foldstream/eventstore/internal/jsonmeta"
)

// Read implements [persistent.PersistentSubscriptionsServer]: it makes the
// caller a consumer of a group. After the confirmation it sends events and
// nothing else; the Go client panics on anything it does not know.
func (s *persistentServer) Read(stream persistent.PersistentSubscriptions_ReadServer) error {
	ctx := stream.Context()
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	options := first.GetOptions()
	if options == nil {
		return status.Error(codes.InvalidArgument, "the first message of a persistent subscription must be its options")
	}
	c, err := s.connect(ctx, options)
	if err != nil {
		return err
	}
	defer c.Close()
	confirmation := &persistent.ReadResp_SubscriptionConfirmation{SubscriptionId: c.Key()}
	if err := stream.Send(&persistent.ReadResp{Content: &persistent.ReadResp_SubscriptionConfirmation_{SubscriptionConfirmation: confirmation}}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { cancel(receiveAnswers(stream, c)) }() // ends with the call
	_, texts := options.GetUuidOption().GetContent().(*persistent.ReadReq_Options_UUIDOption_String_)
	err = sendEvents(ctx, stream, c, texts)
	switch cause := context.Cause(ctx); {
	case errors.Is(err, context.Canceled) && errors.Is(cause, io.EOF):
		return nil // the client has said all it had to say
	case errors.Is(err, context.Canceled) && status.Code(cause) != codes.Unknown:
		return cause
	}
	return s.groupFailed(stream.Context(), err)
}

func (s *persistentServer) connect(ctx context.Context, o *persistent.ReadReq_Options) (*groups.Consumer, error) {
	stream := streamOf(o.GetStreamIdentifier(), o.GetAll())
	if err := s.requireAuthenticated(ctx); err != nil {
		return nil, err
	}
	if err := s.authorize(ctx, opRead, stream); err != nil {
		return nil, err
	}
	c, err := s.groups.Connect(ctx, stream, o.GetGroupName(), s.groupClient(ctx, int(o.GetBufferSize())))
	if err != nil {
		return nil, s.groupFailed(ctx, err)
	}
	return c, nil
}

func (s *persistentServer) groupClient(ctx context.Context, buffer int) groups.Client {
	c := groups.Client{Username: principalOf(ctx).login, Connection: "<unknown>", Buffer: buffer}
	if s.users == nil || c.Username == "" {
		c.Username = "anonymous"
	}
	if name := metadata.ValueFromIncomingContext(ctx, "connection-name"); len(name) > 0 {
		c.Connection = name[0]
	}
	if p, ok := peer.FromContext(ctx); ok {
		c.From = p.Addr.String()
	}
	return c
}

// receiveAnswers takes acknowledgements until the call ends, which its error
// says.
func receiveAnswers(stream persistent.PersistentSubscriptions_ReadServer, c *groups.Consumer) error {
	for {
		req, err := stream.Recv()
		if err != nil {
			return err
		}
		switch {
		case req.GetAck() != nil:
			c.Ack(parseIDs(req.GetAck().GetIds())...)
		case req.GetNack() != nil:
			n := req.GetNack()
			c.Nack(groups.Action(n.GetAction()), n.GetReason(), parseIDs(n.GetIds())...)
		default:
			return status.Error(codes.InvalidArgument, "only acks and nacks may follow the options of a persistent subscription")
		}
	}
}

// parseIDs reads ids in either form. What is none cannot be known and is left
// out.
func parseIDs(in []*shared.UUID) []eventstore.ID {
	ids := make([]eventstore.ID, 0, len(in))
	for _, u := range in {
		if b := u.GetStructured(); b != nil {
			var id eventstore.ID
			binary.BigEndian.PutUint64(id[:8], uint64(b.GetMostSignificantBits()))
			binary.BigEndian.PutUint64(id[8:], uint64(b.GetLeastSignificantBits()))
			ids = append(ids, id)
		} else if id, err := eventstore.ParseID(u.GetString_()); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

func sendEvents(ctx context.Context, stream persistent.PersistentSubscriptions_ReadServer, c *groups.Consumer, texts bool) error {
	for {
		d, err := c.Next(ctx)
		if err != nil {
			return err
		}
		e := &persistent.ReadResp_ReadEvent{
			Event:    recordedEvent(d.Event, texts),
			Link:     recordedEvent(d.Link, texts),
			Position: &persistent.ReadResp_ReadEvent_CommitPosition{CommitPosition: uint64(d.Original().Position)},
			Count:    &persistent.ReadResp_ReadEvent_RetryCount{RetryCount: clamp(d.RetryCount)},
		}
		if err := stream.Send(&persistent.ReadResp{Content: &persistent.ReadResp_Event{Event: e}}); err != nil {
			return err
		}
	}
}

// recordedEvent returns an event as clients want it; nil stays nil.
func recordedEvent(r *eventstore.Recorded, texts bool) *persistent.ReadResp_ReadEvent_RecordedEvent {
	if r == nil {
		return nil
	}
	id := &shared.UUID{Value: &shared.UUID_String_{String_: r.ID.String()}}
	if !texts {
		id.Value = &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
			MostSignificantBits:  int64(binary.BigEndian.Uint64(r.ID[:8])),
			LeastSignificantBits: int64(binary.BigEndian.Uint64(r.ID[8:])),
		}}
	}
	revision, contentType := uint64(r.Version)-1, eventstore.ContentTypeBinary
	if r.Type == eventstore.TypeTombstone {
		revision = math.MaxInt64
	}
	if r.ContentType == eventstore.ContentTypeJSON {
		contentType = r.ContentType
	}
	return &persistent.ReadResp_ReadEvent_RecordedEvent{
		Id:               id,
		StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(r.Stream)},
		StreamRevision:   revision,
		PreparePosition:  uint64(r.Position),
		CommitPosition:   uint64(r.Position),
		Metadata: map[string]string{
			"type":         r.Type,
			"content-type": contentType,
			"created":      strconv.FormatInt(r.Created.UnixNano()/int64(tick), 10),
		},
		CustomMetadata: jsonmeta.Encode(r.Metadata),
		Data:           r.Data,
	}
}
