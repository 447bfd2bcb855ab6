package aggregate

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// StoreSnapshotsOptions configure [NewStoreSnapshots]. The zero value is ready
// to use.
type StoreSnapshotsOptions struct {
	// Category of the streams that hold the snapshots; default
	// "foldstream.snapshot". The snapshot of order-42 is then the only readable
	// event of foldstream.snapshot-order-42.
	Category string
}

// NewStoreSnapshots keeps snapshots in an event store, each in a stream of its
// own with a MaxCount of 1, so that scavenging frees what is replaced. Their
// events have the type $snapshot: filters that exclude system events do not
// match them, and the streams themselves are ordinary ones, because on
// EventStoreDB only administrators write to others. A nil opts means the
// defaults. It panics if the category is no category.
func NewStoreSnapshots(store eventstore.Store, opts *StoreSnapshotsOptions) SnapshotStore {
	s := &storeSnapshots{store: store, category: "foldstream.snapshot"}
	if opts != nil && opts.Category != "" {
		s.category = opts.Category
	}
	checkCategory(s.category)
	return s
}

type storeSnapshots struct {
	store    eventstore.Store
	category string
}

const (
	typeSnapshot = "$snapshot"

	keyVersion     = "version"
	keyPosition    = "position"
	keyCreated     = "created"
	keySchema      = "schema"
	keyContentType = "content_type"
)

// LoadSnapshot implements [SnapshotStore].
func (s *storeSnapshots) LoadSnapshot(ctx context.Context, stream string) (Snapshot, bool, error) {
	snap, _, err := s.last(ctx, stream)
	return snap, err == nil && snap.Stream != "", err
}

// last returns the last snapshot of a stream and at what version it is in its
// own stream; both are zero when there is none.
func (s *storeSnapshots) last(ctx context.Context, stream string) (Snapshot, eventstore.Version, error) {
	for rec, err := range s.store.Read(ctx, s.stream(stream), eventstore.ReadOptions{Backwards: true, Limit: 1}) {
		switch {
		case errors.Is(err, eventstore.ErrStreamNotFound):
			return Snapshot{}, 0, nil
		case err != nil:
			return Snapshot{}, 0, fmt.Errorf("aggregate: load snapshot of %s: %w", stream, err)
		}
		return snapshotOf(stream, rec), rec.Version, nil
	}
	return Snapshot{}, 0, nil
}

// SaveSnapshot implements [SnapshotStore].
func (s *storeSnapshots) SaveSnapshot(ctx context.Context, snap Snapshot) error {
	const tries = 4 // each but the last was overtaken by somebody else
	var err error
	var known eventstore.Version // of the snapshot's stream
	for range tries {
		if err = s.save(ctx, snap, known); err == nil {
			return nil
		}
		conflict, ok := errors.AsType[*eventstore.ConflictError](err)
		if !ok {
			break
		}
		known = conflict.Actual
	}
	return fmt.Errorf("aggregate: save snapshot of %s: %w", snap.Stream, err)
}

func (s *storeSnapshots) save(ctx context.Context, snap Snapshot, known eventstore.Version) error {
	last, at, err := s.last(ctx, snap.Stream)
	if err != nil || last.Position > snap.Position {
		return err
	}
	stream := s.stream(snap.Stream)
	if at = max(at, known); at == 0 { // before the first event, or a crash would leave the stream without a limit
		_, err := s.store.SetStreamMetadata(ctx, stream, eventstore.NoStream, eventstore.StreamMetadata{MaxCount: 1})
		if err != nil && !errors.Is(err, eventstore.ErrConflict) {
			return err
		}
	}
	_, err = s.store.Append(ctx, stream, eventstore.Exact(at), eventOf(snap))
	return err
}

// DeleteSnapshot implements [SnapshotStore]. It truncates the stream rather
// than deleting it, which would take the limit away.
func (s *storeSnapshots) DeleteSnapshot(ctx context.Context, stream string) error {
	_, at, err := s.last(ctx, stream)
	if err != nil || at == 0 {
		return err
	}
	_, err = s.store.SetStreamMetadata(ctx, s.stream(stream), eventstore.Any, eventstore.StreamMetadata{MaxCount: 1, TruncateBefore: at + 1})
	if err != nil {
		return fmt.Errorf("aggregate: delete snapshot of %s: %w", stream, err)
	}
	return nil
}

func (s *storeSnapshots) stream(of string) string { return eventstore.StreamName(s.category, of) }

func eventOf(s Snapshot) eventstore.Event {
	return eventstore.Event{
		ID: eventstore.NewID(), Type: typeSnapshot, ContentType: eventstore.ContentTypeBinary, Data: s.Data,
		Metadata: eventstore.NewMetadata(
			keyVersion, strconv.FormatUint(uint64(s.Version), 10),
			keyPosition, strconv.FormatUint(uint64(s.Position), 10),
			keyCreated, s.Created.UTC().Format(time.RFC3339Nano),
			keySchema, s.Schema,
			keyContentType, s.ContentType,
		),
	}
}

// snapshotOf reads what eventOf wrote. What somebody else wrote there gives a
// snapshot whose checksum does not fit.
func snapshotOf(stream string, rec eventstore.Recorded) Snapshot {
	version, _ := strconv.ParseUint(rec.Metadata.Get(keyVersion), 10, 64)
	position, _ := strconv.ParseUint(rec.Metadata.Get(keyPosition), 10, 64)
	created, _ := time.Parse(time.RFC3339Nano, rec.Metadata.Get(keyCreated))
	return Snapshot{
		Stream: stream, Version: eventstore.Version(version), Position: eventstore.Position(position), Created: created,
		Schema: rec.Metadata.Get(keySchema), ContentType: rec.Metadata.Get(keyContentType), Data: rec.Data,
	}
}
