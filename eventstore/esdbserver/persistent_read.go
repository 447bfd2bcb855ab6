package esdbserver

import (
	"context"
	"errors"
	"io"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/groups"
	"github.com/foldstream/foldstream/eventstore/esdbserver/internal/wire"
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
	answered := make(chan struct{})
	go func() { // ends with the call
		defer close(answered)
		cancel(receiveAnswers(stream, c))
	}()
	_, textIDs := options.GetUuidOption().GetContent().(*persistent.ReadReq_Options_UUIDOption_String_)
	err = sendEvents(ctx, stream, c, textIDs)
	if stream.Context().Err() != nil {
		<-answered // what the client said before it left still counts
	}
	_, sendFailed := status.FromError(err)
	switch cause := context.Cause(ctx); {
	case sendFailed:
		return err
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
		if id, err := wire.ParseUUID(u); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

func sendEvents(ctx context.Context, stream persistent.PersistentSubscriptions_ReadServer, c *groups.Consumer, textIDs bool) error {
	enc := wire.Encoder{TextIDs: textIDs}
	for {
		d, ok, err := c.TryNext()
		if !ok && err == nil {
			enc.Release()
			d, err = c.Next(ctx)
		}
		if err != nil {
			return err
		}
		frame := enc.Delivery(d.Event, d.Link, d.RetryCount)
		if err := stream.SendMsg(frame); err != nil {
			return err
		}
	}
}
