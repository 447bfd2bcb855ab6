package esdbstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/jsonmeta"
	"github.com/foldstream/foldstream/eventstore/internal/streamrules"
)

// Append implements [eventstore.Store]. Content types other than JSON are
// stored as application/octet-stream.
//
// A request that cannot have reached the server is repeated for as long as
// Options.RetryFor says. One that may have been written is repeated when it
// expects NoStream or an exact version, because the server then recognizes the
// ids; with Any and StreamExists an uncertain [*eventstore.UnavailableError] is
// returned at once.
//
// The server does not say that an append was a repetition. The receipt says so
// when its position is not above the highest one that this store knew to be
// committed before it sent the request. When another process wrote the events
// a moment before, so that this store cannot know, Repeated is not set.
func (s *Store) Append(ctx context.Context, stream string, expected eventstore.Expected, events ...eventstore.Event) (eventstore.Receipt, error) {
	if err := eventstore.CheckStream(stream); err != nil {
		return eventstore.Receipt{}, err
	}
	if err := eventstore.CheckEvents(stream, s.opts.MaxAppendSize, events); err != nil {
		return eventstore.Receipt{}, err
	}
	return s.append(ctx, stream, expected, events)
}

func (s *Store) append(ctx context.Context, stream string, expected eventstore.Expected, events []eventstore.Event) (eventstore.Receipt, error) {
	revision, err := expectation(expected)
	if err != nil {
		return eventstore.Receipt{}, err
	}
	if err := s.ready(ctx); err != nil {
		return eventstore.Receipt{}, err
	}
	if len(events) == 0 {
		return s.appendNothing(ctx, stream, expected, revision)
	}
	if err := s.learnHead(ctx); err != nil {
		return eventstore.Receipt{}, err
	}
	known := s.seen.Load()
	data, size := proposals(events)
	_, exact := expected.Version()
	w := writing{op: "append to " + stream, idempotent: exact, why: func(ctx context.Context) error {
		_, _, err := attempt(ctx, s, nowhere(stream))
		return err
	}}
	res, err := write(ctx, s, w, func(ctx context.Context, c *esdb.Client) (*esdb.WriteResult, error) {
		return c.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: revision}, data...)
	})
	if err != nil {
		return eventstore.Receipt{}, s.refusal(ctx, "append to "+stream, stream, expected, size, err)
	}
	p := eventstore.Position(res.CommitPosition)
	s.saw(p)
	return eventstore.Receipt{
		Stream: stream, Version: eventstore.Version(res.NextExpectedVersion) + 1,
		Position: p, Repeated: uint64(p) <= known,
	}, nil
}

// appendNothing checks the expectation. The client confuses the answer for a
// stream without events with that for one of one event, or of two.
func (s *Store) appendNothing(ctx context.Context, stream string, x eventstore.Expected, revision esdb.ExpectedRevision) (eventstore.Receipt, error) {
	res, err := write(ctx, s, writing{op: "append to " + stream, idempotent: true}, func(ctx context.Context, c *esdb.Client) (*esdb.WriteResult, error) {
		return c.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: revision})
	})
	if err != nil {
		return eventstore.Receipt{}, s.refusal(ctx, "append to "+stream, stream, x, 0, err)
	}
	v := eventstore.Version(res.NextExpectedVersion) + 1
	if exact, ok := x.Version(); ok && exact > 0 {
		v = exact
	} else if v <= 2 {
		v, err = s.version(ctx, stream)
	}
	return eventstore.Receipt{Stream: stream, Version: v}, err
}

// version returns the version of a stream, deleted or truncated as it may be:
// an append of nothing at a version that no stream has is told the actual one.
func (s *Store) version(ctx context.Context, stream string) (eventstore.Version, error) {
	_, err := write(ctx, s, writing{op: "find the version of " + stream, idempotent: true}, nowhere(stream))
	if err == nil {
		return 0, fmt.Errorf("esdbstore: find the version of %s: the server says it has %d events", stream, math.MaxInt64-1)
	}
	if v, ok := conflict(err); ok {
		return v, nil
	}
	return 0, s.failure("find the version of "+stream, stream, err)
}

// nowhere is an append of nothing at a version that no stream has.
func nowhere(stream string) func(context.Context, *esdb.Client) (*esdb.WriteResult, error) {
	return func(ctx context.Context, c *esdb.Client) (*esdb.WriteResult, error) {
		return c.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Revision(math.MaxInt64 - 2)})
	}
}

// learnHead asks for the head once with each client, so that repetitions of
// what was written before are recognized. Who may not read $all does without.
func (s *Store) learnHead(ctx context.Context) error {
	now := s.sup.current()
	if now != 0 && s.seenWith.Load() == now {
		return nil
	}
	var wrong *credentialsError
	if _, err := s.Head(ctx); err != nil && (!errors.Is(err, eventstore.ErrAccessDenied) || errors.As(err, &wrong)) {
		return err
	}
	s.seenWith.Store(s.sup.current())
	return nil
}

// proposals returns the client's form of events, and their size.
func proposals(events []eventstore.Event) (data []esdb.EventData, size int) {
	data = make([]esdb.EventData, len(events))
	for i := range events {
		e := &events[i]
		d := &data[i]
		d.EventID, d.EventType, d.Data = [16]byte(e.ID), e.Type, e.Data
		if e.ID.IsZero() {
			d.EventID = [16]byte(eventstore.NewID()) // here, so that a second try has the same
		}
		metadata := e.Metadata
		switch e.ContentType {
		case eventstore.ContentTypeJSON:
			d.ContentType = esdb.ContentTypeJson
		case eventstore.ContentTypeBinary, "":
		default: // the server would forget it
			metadata = metadata.With(eventstore.KeyContentType, e.ContentType)
		}
		d.Metadata = jsonmeta.Encode(metadata)
		size += e.Size()
	}
	return data, size
}

// refusal returns the port's error for a write that the server refused. Of a
// stream that was soft-deleted EventStoreDB says that it is deleted when it is
// expected to exist; to the port that is a conflict.
func (s *Store) refusal(ctx context.Context, op, stream string, x eventstore.Expected, size int, err error) error {
	if actual, ok := conflict(err); ok {
		return &eventstore.ConflictError{Stream: stream, Expected: x, Actual: actual}
	}
	if err := tooLarge(stream, size, err); err != nil {
		return err
	}
	err = s.failure(op, stream, err)
	if _, isMeta := streamrules.Original(stream); isMeta || x != eventstore.StreamExists || !errors.Is(err, eventstore.ErrStreamDeleted) {
		return err
	}
	if m, _, e := s.StreamMetadata(ctx, stream); e != nil || !m.Deleted() {
		return err
	}
	actual, e := s.version(ctx, stream)
	if e != nil {
		return e
	}
	return &eventstore.ConflictError{Stream: stream, Expected: x, Actual: actual}
}

// failure translates an error that write returned.
func (s *Store) failure(op, stream string, err error) error {
	var u *eventstore.UnavailableError
	switch {
	case errors.As(err, &u), errors.Is(err, eventstore.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return translate(strings.ToValidUTF8(op, "?"), stream, err)
}
