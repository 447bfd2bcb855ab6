package eventstore

import (
	"context"
	"iter"
)

// DefaultMaxAppendSize is the limit in bytes that stores set on one append
// unless told otherwise, as in EventStoreDB.
const DefaultMaxAppendSize = 1 << 20

// A Store appends events to streams and reads them back.
//
// A Store is safe for concurrent use. Every method honours its context. After
// Close every method, and every sequence still being read, gives [ErrClosed].
// A sequence that has yielded an error yields nothing more; stopping early
// releases what it holds. A slow reader slows neither writers nor other
// readers.
type Store interface {
	// Append writes events to a stream in one atomic step and says where they
	// ended. It returns a [*ConflictError] if the stream is not as expected,
	// [ErrStreamDeleted] after a tombstone, a [*TooLargeError] above the size
	// limit, an [*InvalidError] for a bad name; then nothing was written. An
	// [*UnavailableError] may be uncertain, says so, and then matches
	// [ErrUncertain].
	//
	// When ctx ends while a write is under way, Append waits for its answer, or
	// returns an uncertain error with the context's as its cause. The context's
	// error without [ErrUncertain] means that nothing was written.
	//
	// Repeating an append with the same event ids at the same exact version or
	// NoStream succeeds at any later time and returns the first receipt, with
	// Repeated set. With Any and StreamExists the store recognizes a repetition
	// for as long as it remembers the ids.
	//
	// Appending to a soft-deleted stream continues its versions. An append of
	// no events checks the stream and writes nothing. Once Append has returned a
	// receipt, a conflict or a size that is too large, the store no longer looks
	// at events.
	Append(ctx context.Context, stream string, expected Expected, events ...Event) (Receipt, error)

	// Read yields the readable events of a stream in the order of their
	// versions. It yields [ErrStreamNotFound] for a stream without events or
	// soft-deleted, [ErrStreamDeleted] after a tombstone. A stream all of whose
	// events are truncated yields nothing.
	Read(ctx context.Context, stream string, opts ReadOptions) iter.Seq2[Recorded, error]

	// ReadAll yields the events of all streams in the order of their
	// positions, up to what was readable when it began. Deletion, truncation
	// and age do not hide events from it.
	ReadAll(ctx context.Context, opts ReadAllOptions) iter.Seq2[Recorded, error]

	// Subscribe yields the events of a stream after a version, first those
	// that are there and then new ones as they come, without gap or double,
	// until ctx is done; then it yields the context's error. The stream need
	// not exist yet. A tombstone ends it with [ErrStreamDeleted].
	Subscribe(ctx context.Context, stream string, opts SubscribeOptions) iter.Seq2[Message, error]

	// SubscribeAll is Subscribe for all streams in the order of positions.
	SubscribeAll(ctx context.Context, opts SubscribeAllOptions) iter.Seq2[Message, error]

	// Head returns the position of the last readable event, 0 when the store is empty.
	Head(ctx context.Context) (Position, error)

	// Delete hides the events of a stream from Read (a soft delete): it sets
	// the stream's metadata to TruncateBefore [DeletedStream] alone. It returns
	// a [*ConflictError] for a stream without events or metadata. The receipt's
	// version is that of the last event hidden, or 0 where the store does not
	// know it.
	Delete(ctx context.Context, stream string, expected Expected) (Receipt, error)

	// Tombstone ends a stream for ever with a last event of type
	// [TypeTombstone]. The stream need not exist. Which version that event and
	// the receipt have is the store's own: one more than the last, or on
	// EventStoreDB [DeletedStream].
	Tombstone(ctx context.Context, stream string, expected Expected) (Receipt, error)

	// StreamMetadata returns the metadata of a stream and its version, which
	// counts the changes so far; version 0 means that none was ever set.
	StreamMetadata(ctx context.Context, stream string) (StreamMetadata, Version, error)

	// SetStreamMetadata replaces the metadata of a stream. expected speaks of
	// the metadata's own version.
	SetStreamMetadata(ctx context.Context, stream string, expected Expected, meta StreamMetadata) (Receipt, error)

	// Close releases what the store holds. Closing twice is harmless.
	Close() error
}

// Dense is implemented by stores that can tell whether their positions are
// consecutive: then the events of one append have the positions up to that of
// its receipt, without gaps.
type Dense interface{ Dense() bool }

// ReadOptions choose a part of a stream. The zero value reads all of it,
// oldest first.
type ReadOptions struct {
	From      Version // first version to yield; 0 means the beginning, or with Backwards the end
	Backwards bool    // newest first
	Limit     int     // at most so many events; 0 means no limit
}

// ReadAllOptions choose a part of a store. The zero value reads all of it,
// oldest first.
type ReadAllOptions struct {
	// From is the first position to yield: 0, which means the beginning or with
	// Backwards the end, or the position of an event of this store.
	From      Position
	Backwards bool // newest first
	Limit     int  // at most so many matching events; 0 means no limit
	Filter    Filter
}

// SubscribeOptions choose where a subscription to a stream begins.
type SubscribeOptions struct {
	After Version // events with higher versions; 0 means from the beginning
}

// SubscribeAllOptions choose where a subscription to all streams begins and
// what it yields.
type SubscribeAllOptions struct {
	After  Position // events with higher positions; 0 means from the beginning
	Filter Filter
}

// A MessageKind says what a [Message] brings.
type MessageKind uint8

const (
	// MessageEvent brings an event.
	MessageEvent MessageKind = iota
	// MessageCaughtUp says that the subscriber now has every event that was
	// readable. It comes once history has been delivered, even if there is
	// none, and again each time the subscription is about to wait after it
	// has delivered or examined further events.
	MessageCaughtUp
	// MessageCheckpoint says that events up to Position were examined and did
	// not match the filter. It comes at the store's discretion.
	MessageCheckpoint
)

// A Message is what a subscription yields.
type Message struct {
	Kind     MessageKind
	Position Position // everything up to here was examined; resume with After
	Event    Recorded // set when Kind is MessageEvent
}
