package aggregate

import (
	"context"
	"log/slog"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// A Snapshot is the state of an aggregate at one version, as it is kept. It
// spares reading the events up to there. It is never needed: one that is lost,
// damaged, of another schema or of another history costs time and nothing else.
type Snapshot struct {
	Stream      string              // of the aggregate
	Version     eventstore.Version  // of the last event in the state
	Position    eventstore.Position // of that event
	Created     time.Time           // when the state was taken
	Schema      string              // what the state's type looked like
	ContentType string              // of the state's encoding
	Data        []byte              // opaque to snapshot stores
}

// A SnapshotStore keeps the last snapshot of each stream. [NewStoreSnapshots]
// keeps them in an event store, package redissnapshot in Redis; package
// snapshottest has the suite that both pass. A SnapshotStore is safe for
// concurrent use, also by several processes.
type SnapshotStore interface {
	// LoadSnapshot returns the snapshot of a stream, and whether there is one.
	LoadSnapshot(ctx context.Context, stream string) (Snapshot, bool, error)

	// SaveSnapshot replaces the snapshot of s.Stream, unless the one that is
	// there has a higher position; then nothing is changed, and that is no
	// error.
	SaveSnapshot(ctx context.Context, s Snapshot) error

	// DeleteSnapshot removes the snapshot of a stream, if there is one.
	DeleteSnapshot(ctx context.Context, stream string) error
}

// A SnapshotEncoding turns states into bytes and back. [codec.Msgpack] is one.
// It is safe for concurrent use.
//
// [codec.Msgpack]: https://pkg.go.dev/github.com/foldstream/foldstream/eventstore/codec#Msgpack
type SnapshotEncoding interface {
	ContentType() string
	// Append appends the bytes of the state that v points to to b and returns
	// the longer slice.
	Append(b []byte, v any) ([]byte, error)
	// Unmarshal sets the state that v points to. It keeps nothing of data.
	Unmarshal(data []byte, v any) error
}

// SnapshotOptions say where, when and how a [Repository] takes snapshots. A
// snapshot is taken while a command is carried out, after its events are
// appended, and saved in the background: no command waits for that, and none
// fails because of it.
type SnapshotOptions struct {
	// Store keeps the snapshots. It is needed.
	Store SnapshotStore

	// Every, Bytes and Age say when the next snapshot is due: after so many
	// events since the last one, after so many bytes of their encoded data, or
	// when the last one is so old. Before the first snapshot all events count,
	// and the oldest of them tells the age. Zero means never; if all three are
	// zero, a snapshot is due every 100 events.
	Every int
	Bytes int
	Age   time.Duration

	// Version must be raised when Evolve is changed so that the same events
	// give another state. A change of the state's type needs no new version: it
	// is noticed. Snapshots of another version or type are ignored, and
	// replaced when the next one is due.
	Version int

	// Encoding of the state. The default writes all fields, exported or not,
	// and needs no change to the state. It cannot write interfaces, functions
	// and channels, nor pointers in a circle; a type with MarshalBinary and
	// UnmarshalBinary is written by these.
	Encoding SnapshotEncoding

	// Logger is told of snapshots that are ignored or cannot be saved. The
	// default discards.
	Logger *slog.Logger
	// OnSave is called after a snapshot has been saved.
	OnSave func(ctx context.Context, s Snapshot)
	// OnError is called with the reason when a snapshot is ignored or cannot be
	// saved.
	OnError func(ctx context.Context, stream string, err error)
}

const defaultEvery = 100

func (o SnapshotOptions) withDefaults() SnapshotOptions {
	if o.Every <= 0 && o.Bytes <= 0 && o.Age <= 0 {
		o.Every = defaultEvery
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnSave == nil {
		o.OnSave = func(context.Context, Snapshot) {}
	}
	if o.OnError == nil {
		o.OnError = func(context.Context, string, error) {}
	}
	return o
}
