package esdbstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
)

// StreamMetadata implements [eventstore.Store]. It reads the last event of the
// metadata's stream itself: the client's own call fails on access lists with
// several roles. What is not understood counts as none, as on the server.
func (s *Store) StreamMetadata(ctx context.Context, stream string) (eventstore.StreamMetadata, eventstore.Version, error) {
	var meta eventstore.StreamMetadata
	var version eventstore.Version
	if err := streamrules.CheckMetadataStream(stream); err != nil {
		return meta, 0, err
	}
	q := query{
		what: stream,
		open: func(ctx context.Context, c *esdb.Client) (*esdb.ReadStream, error) {
			return c.ReadStream(ctx, eventstore.MetadataStream(stream), esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
		},
		take: func(r *eventstore.Recorded) verdict {
			meta = *streamrules.Metadata(r.ContentType, r.Data)
			version = r.Version
			return last
		},
	}
	err := s.run(ctx, s.patience("read the metadata of "+stream), &q)
	if errors.Is(err, eventstore.ErrStreamNotFound) {
		err = nil
	}
	return meta, version, err
}

// SetStreamMetadata implements [eventstore.Store]. It is retried like Append.
func (s *Store) SetStreamMetadata(ctx context.Context, stream string, expected eventstore.Expected, meta eventstore.StreamMetadata) (eventstore.Receipt, error) {
	if err := streamrules.CheckMetadataStream(stream); err != nil {
		return eventstore.Receipt{}, err
	}
	op, err := streamrules.MetadataOp(stream, expected, meta)
	if err != nil {
		return eventstore.Receipt{}, fmt.Errorf("esdbstore: set the metadata of %s: %w", stream, err)
	}
	if err := eventstore.CheckEvents(op.Stream, s.opts.MaxAppendSize, op.Events); err != nil {
		return eventstore.Receipt{}, err
	}
	return s.append(ctx, op.Stream, expected, op.Events)
}
