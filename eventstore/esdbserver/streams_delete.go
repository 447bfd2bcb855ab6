package esdbserver

import (
	"context"
	"errors"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"github.com/foldstream/foldstream/eventstore"
)

// Delete implements the service Streams: the soft delete.
func (s *streamsServer) Delete(ctx context.Context, req *streams.DeleteReq) (*streams.DeleteResp, error) {
	o := req.GetOptions()
	p, err := s.remove(ctx, o.GetStreamIdentifier(), o.GetExpectedStreamRevision(), s.store.Delete)
	if err != nil {
		return nil, err
	}
	return &streams.DeleteResp{PositionOption: &streams.DeleteResp_Position_{
		Position: &streams.DeleteResp_Position{CommitPosition: p, PreparePosition: p},
	}}, nil
}

// Tombstone implements the service Streams: the hard delete.
func (s *streamsServer) Tombstone(ctx context.Context, req *streams.TombstoneReq) (*streams.TombstoneResp, error) {
	o := req.GetOptions()
	p, err := s.remove(ctx, o.GetStreamIdentifier(), o.GetExpectedStreamRevision(), s.store.Tombstone)
	if err != nil {
		return nil, err
	}
	return &streams.TombstoneResp{PositionOption: &streams.TombstoneResp_Position_{
		Position: &streams.TombstoneResp_Position{CommitPosition: p, PreparePosition: p},
	}}, nil
}

type removal = func(context.Context, string, eventstore.Expected) (eventstore.Receipt, error)

func (s *streamsServer) remove(ctx context.Context, id *shared.StreamIdentifier, option any, remove removal) (uint64, error) {
	stream := nameOf(id)
	want, err := expected(option)
	if err != nil {
		return 0, err
	}
	if err := s.authorize(ctx, opDelete, stream); err != nil {
		return 0, err
	}
	receipt, err := remove(ctx, stream, want.Expected)
	err = s.existing(ctx, stream, want, err)
	var conflict *eventstore.ConflictError
	if errors.As(err, &conflict) {
		return 0, wrongVersion(ctx, stream, want.code, conflict.Actual)
	}
	if err != nil {
		return 0, s.failed(ctx, err)
	}
	return uint64(receipt.Position), nil
}
