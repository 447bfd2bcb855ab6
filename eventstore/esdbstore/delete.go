package esdbstore

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
)

// deletion is what Delete and Tombstone have in common.
func (s *Store) deletion(ctx context.Context, op, stream string, x eventstore.Expected, do func(context.Context, *esdb.Client, esdb.ExpectedRevision) (*esdb.DeleteResult, error)) (eventstore.Position, error) {
	revision, err := expectation(x)
	if err != nil {
		return 0, err
	}
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	res, err := write(ctx, s, writing{op: op}, func(ctx context.Context, c *esdb.Client) (*esdb.DeleteResult, error) {
		return do(ctx, c, revision)
	})
	if err != nil {
		return 0, s.refusal(ctx, op, stream, x, 0, err)
	}
	p := eventstore.Position(res.Position.Commit)
	s.saw(p)
	return p, nil
}

// Delete implements [eventstore.Store]. The receipt's version is the expected
// one, or 0 when none is expected: the server does not say. It is tried once
// more only when the first request cannot have reached the server.
func (s *Store) Delete(ctx context.Context, stream string, expected eventstore.Expected) (eventstore.Receipt, error) {
	if err := streamrules.CheckMetadataStream(stream); err != nil {
		return eventstore.Receipt{}, err
	}
	p, err := s.deletion(ctx, "delete "+stream, stream, expected, func(ctx context.Context, c *esdb.Client, r esdb.ExpectedRevision) (*esdb.DeleteResult, error) {
		return c.DeleteStream(ctx, stream, esdb.DeleteStreamOptions{ExpectedRevision: r})
	})
	if err != nil {
		return eventstore.Receipt{}, err
	}
	v, _ := expected.Version()
	return eventstore.Receipt{Stream: stream, Version: v, Position: p}, nil
}

// Tombstone implements [eventstore.Store]. The receipt's version is
// [eventstore.DeletedStream]. It is retried like Delete.
func (s *Store) Tombstone(ctx context.Context, stream string, expected eventstore.Expected) (eventstore.Receipt, error) {
	if err := streamrules.CheckMetadataStream(stream); err != nil {
		return eventstore.Receipt{}, err
	}
	p, err := s.deletion(ctx, "tombstone "+stream, stream, expected, func(ctx context.Context, c *esdb.Client, r esdb.ExpectedRevision) (*esdb.DeleteResult, error) {
		return c.TombstoneStream(ctx, stream, esdb.TombstoneStreamOptions{ExpectedRevision: r})
	})
	if err != nil {
		return eventstore.Receipt{}, err
	}
	return eventstore.Receipt{Stream: stream, Version: eventstore.DeletedStream, Position: p}, nil
}
