package esdbstore

import (
	"context"
	"errors"
	"io"
	"iter"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/jsonmeta"
)

// A query is a read that can go on after a loss.
type query struct {
	what string // the stream
	open func(context.Context, *esdb.Client) (*esdb.ReadStream, error)
	take func(*eventstore.Recorded) verdict
}

// A verdict says whether a query wants more.
type verdict bool

const (
	more verdict = false
	last verdict = true
)

// run carries out a query. After a loss it asks anew; open knows from where.
func (s *Store) run(ctx context.Context, p *patience, q *query) error {
	for {
		err := s.ready(ctx)
		if err == nil {
			err = s.runOnce(ctx, p, q)
		}
		if err == nil {
			return nil
		}
		if ended := s.ready(ctx); ended != nil {
			if p.tries > 0 && ctx.Err() != nil {
				return &eventstore.UnavailableError{Op: p.op, Err: ended}
			}
			return ended
		}
		if !passing(err) {
			return translate(p.op, q.what, err)
		}
		if err := s.pause(ctx, p, err); err != nil {
			return err
		}
	}
}

func (s *Store) runOnce(ctx context.Context, p *patience, q *query) error {
	within, l, err := s.sup.acquire(ctx)
	if err != nil {
		return err
	}
	defer l.release()
	rs, _, err := call(within, l, q.open)
	if err != nil {
		return err
	}
	defer rs.Close()
	recv := rs.Recv
	for {
		ev, err := receive(l, recv)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case ev.Event == nil:
			continue // a link to what is gone; links are not resolved, so there is none
		}
		p.progress()
		r := s.recorded(ev.Event)
		if q.take(&r) == last {
			return nil
		}
		if err := s.ready(ctx); err != nil {
			return err
		}
	}
}

// recorded takes over an event that the client has decoded.
func (s *Store) recorded(e *esdb.RecordedEvent) eventstore.Recorded {
	p := eventstore.Position(e.Position.Commit)
	if p == math.MaxUint64 {
		p = 0 // servers before 22.6 do not say it in stream reads
	}
	s.saw(p)
	contentType, metadata := e.ContentType, jsonmeta.Decode(e.UserMetadata)
	if given, ok := metadata.Lookup(eventstore.KeyContentType); ok && contentType == eventstore.ContentTypeBinary {
		contentType, metadata = given, metadata.Without(eventstore.KeyContentType)
	}
	return eventstore.Recorded{
		ID: eventstore.ID(e.EventID), Stream: e.StreamID,
		Version: eventstore.Version(e.EventNumber) + 1, Position: p,
		Type: e.EventType, ContentType: contentType, Created: e.CreatedDate,
		Data: e.Data, Metadata: metadata,
	}
}

func direction(backwards bool) esdb.Direction {
	if backwards {
		return esdb.Backwards
	}
	return esdb.Forwards
}

// Read implements [eventstore.Store]. After a loss it goes on after the last
// event it yielded.
func (s *Store) Read(ctx context.Context, stream string, opts eventstore.ReadOptions) iter.Seq2[eventstore.Recorded, error] {
	return func(yield func(eventstore.Recorded, error) bool) {
		if err := eventstore.CheckStream(stream); err != nil {
			yield(eventstore.Recorded{}, err)
			return
		}
		from, left := opts.From, opts.Limit
		q := query{
			what: stream,
			open: func(ctx context.Context, c *esdb.Client) (*esdb.ReadStream, error) {
				o := esdb.ReadStreamOptions{Direction: direction(opts.Backwards), From: streamStart(from, opts.Backwards)}
				return c.ReadStream(ctx, stream, o, count(left))
			},
			take: func(r *eventstore.Recorded) verdict {
				if !yield(*r, nil) {
					return last
				}
				left--
				if left == 0 || opts.Backwards && r.Version == 1 {
					return last
				}
				if from = r.Version + 1; opts.Backwards {
					from = r.Version - 1
				}
				return more
			},
		}
		if err := s.run(ctx, s.patience("read "+stream), &q); err != nil {
			yield(eventstore.Recorded{}, err)
		}
	}
}

// streamStart returns the client's form of the first version to read.
func streamStart(from eventstore.Version, backwards bool) esdb.StreamPosition {
	switch {
	case from != 0:
		return esdb.Revision(min(uint64(from)-1, math.MaxInt64-1))
	case backwards:
		return esdb.End{}
	}
	return esdb.Start{}
}

// count returns the client's form of a limit.
func count(limit int) uint64 {
	if limit <= 0 {
		return math.MaxUint64
	}
	return uint64(limit)
}
