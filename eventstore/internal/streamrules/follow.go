package streamrules

import (
	"context"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// Yield is the function that a sequence of messages is given.
type Yield = func(eventstore.Message, error) bool

// An AllSource is a store as a subscription to all streams sees it.
type AllSource interface {
	Head(ctx context.Context) (eventstore.Position, error)
	// AwaitHead returns once the head is beyond a position, or an error.
	AwaitHead(ctx context.Context, beyond eventstore.Position) error
	// Range yields the events from one position to another, or an error, and
	// reports whether the subscription goes on.
	Range(ctx context.Context, from, to eventstore.Position, yield Yield) bool
}

// FollowAll yields what src has after a position, and then what comes.
func FollowAll(ctx context.Context, src AllSource, after eventstore.Position, yield Yield) {
	for examined, owed := after, true; ; {
		head, err := src.Head(ctx)
		if err != nil {
			yield(eventstore.Message{}, err)
			return
		}
		if head > examined {
			if !src.Range(ctx, examined+1, head, yield) {
				return
			}
			examined, owed = head, true
			continue // more may have come meanwhile
		}
		if owed && !yield(eventstore.Message{Kind: eventstore.MessageCaughtUp, Position: examined}, nil) {
			return
		}
		owed = false
		if err := src.AwaitHead(ctx, examined); err != nil {
			yield(eventstore.Message{}, err)
			return
		}
	}
}

// A StreamSource is a store as a subscription to one stream sees it.
type StreamSource interface {
	// Look returns the stream and the head at the same moment.
	Look(ctx context.Context) (State, eventstore.Position, error)
	// Await returns once the stream is beyond a version or has ended.
	Await(ctx context.Context, beyond eventstore.Version) error
	// Range is that of [AllSource], and leaves out events before a time.
	Range(ctx context.Context, from, to eventstore.Version, notBefore time.Time, yield Yield) bool
}

// FollowStream yields what a stream has after a version, and then what comes.
// Metadata hides events of the history only.
func FollowStream(ctx context.Context, stream string, src StreamSource, after eventstore.Version, now func() time.Time, yield Yield) {
	s, head, err := src.Look(ctx)
	if err == nil && s.Tombstoned {
		err = &eventstore.StreamDeletedError{Stream: stream}
	}
	w := s.History(stream, now)
	seen := max(after, w.First-1)
	for owed := true; err == nil; {
		switch {
		case s.Last > seen:
			if !src.Range(ctx, seen+1, s.Last, w.NotBefore, yield) {
				return
			}
			seen, owed, w.NotBefore = s.Last, true, time.Time{}
		case s.Tombstoned:
		case owed:
			if !yield(eventstore.Message{Kind: eventstore.MessageCaughtUp, Position: head}, nil) {
				return
			}
			owed, w.NotBefore = false, time.Time{}
		default:
			err = src.Await(ctx, seen)
		}
		if err == nil && s.Tombstoned {
			err = &eventstore.StreamDeletedError{Stream: stream}
		}
		if err == nil {
			s, head, err = src.Look(ctx)
		}
	}
	yield(eventstore.Message{}, err)
}
