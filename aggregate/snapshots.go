package aggregate

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// ErrSchema is matched by the error that says why a snapshot is ignored when
// it was taken of another type of state, in another encoding, or with another
// SnapshotOptions.Version.
var ErrSchema = errors.New("the snapshot has another schema")

const (
	saveTimeout = 10 * time.Second // a save that takes longer is given up
	saveRest    = 10 * time.Second // after one that failed, for its aggregate
	maxSaving   = 64               // at once; further ones wait for another occasion
	maxResting  = 4096             // aggregates whose failure is remembered
)

// A mark is what snapshots need to know of a baseline.
type mark struct {
	first    eventstore.Version // of the events in it
	lastID   eventstore.ID      // of the last of them; zero when it is not known
	snapshot eventstore.Version // of the last snapshot; 0 when there is none
	since    int64              // when that was taken, or else of the first event; Unix time in ns
	bytes    int64              // of the events after it
}

// snapshots takes, saves and loads the snapshots of a repository.
type snapshots[S any] struct {
	SnapshotOptions
	encoding SnapshotEncoding
	schema   string

	mu      sync.Mutex
	saving  map[string]bool      // streams whose snapshot is being saved
	resting map[string]time.Time // streams whose snapshot could not be saved, until when it is not tried
}

func newSnapshots[S any](opts *SnapshotOptions) *snapshots[S] {
	if opts == nil {
		return nil
	}
	if opts.Store == nil {
		panic("aggregate: snapshots: SnapshotOptions.Store is nil; give NewStoreSnapshots(store, nil), or one of package redissnapshot")
	}
	t := reflect.TypeFor[S]()
	s := &snapshots[S]{SnapshotOptions: opts.withDefaults(), saving: map[string]bool{}, resting: map[string]time.Time{}}
	s.encoding = encodingOf(t, opts.Encoding)
	s.schema = schemaOf(t, s.encoding.ContentType(), opts.Version)
	return s
}

// A kept is a snapshot that was found and may be of this history.
type kept[S any] struct {
	baseline[S]
	recent []byte
	usable bool // the state could be read
}

// load returns the snapshot of a stream, or nil when there is none that could
// be taken apart.
func (s *snapshots[S]) load(ctx context.Context, stream string) *kept[S] {
	snap, ok, err := s.Store.LoadSnapshot(ctx, stream)
	if err == nil && !ok || ctx.Err() != nil {
		return nil
	}
	var p payload
	if err == nil {
		p, err = snap.unseal()
	}
	if err != nil {
		s.report(ctx, stream, "snapshot is ignored", err)
		return nil
	}
	k := &kept[S]{recent: p.recent}
	k.version, k.position = snap.Version, snap.Position
	k.mark = mark{first: p.first, lastID: p.lastID, snapshot: snap.Version, since: snap.Created.UnixNano()}
	if snap.Schema != s.schema {
		err = fmt.Errorf("%w: %q, and not %q", ErrSchema, snap.Schema, s.schema)
	} else {
		err = guard(func() error { return s.encoding.Unmarshal(p.state, &k.state) })
	}
	if k.usable = err == nil; !k.usable {
		s.report(ctx, stream, "snapshot is ignored", err)
	}
	return k
}

// due reports whether a snapshot should be taken when so many events of so
// many bytes are added to b.
func (s *snapshots[S]) due(b *baseline[S], events, bytes int) bool {
	switch m := &b.mark; {
	case s.Every > 0 && int(b.version-m.snapshot)+events >= s.Every:
		return true
	case s.Bytes > 0 && int(m.bytes)+bytes >= s.Bytes:
		return true
	default:
		return s.Age > 0 && m.since > 0 && time.Since(time.Unix(0, m.since)) >= s.Age
	}
}

// take returns the snapshot of b. That the state comes back as it was is tried
// each time: it may depend on the value.
func (s *snapshots[S]) take(stream string, b *baseline[S], ids *recent) (Snapshot, error) {
	snap := Snapshot{Stream: stream, Version: b.version, Position: b.position, Created: time.Now().UTC(), Schema: s.schema, ContentType: s.encoding.ContentType()}
	err := guard(func() error {
		state, err := s.encoding.Append(nil, &b.state)
		if err != nil {
			return err
		}
		var again S
		if err = s.encoding.Unmarshal(state, &again); err != nil {
			return fmt.Errorf("the state cannot be read back: %w", err)
		}
		if !reflect.DeepEqual(b.state, again) {
			if changes := Diff(b.state, again); len(changes) > 0 {
				return fmt.Errorf("the state does not come back as it was, %d differences, such as %s: write all of it, or leave out SnapshotOptions.Encoding", len(changes), changes[0])
			}
		}
		snap.seal(payload{first: b.mark.first, lastID: b.mark.lastID, recent: ids.encode(b.version), state: state})
		return nil
	})
	return snap, err
}

// enter reports whether a snapshot of the stream may be taken now. If so, leave
// must follow.
func (s *snapshots[S]) enter(stream string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saving[stream] || len(s.saving) >= maxSaving {
		return false
	}
	if until, ok := s.resting[stream]; ok {
		if time.Now().Before(until) {
			return false
		}
		delete(s.resting, stream)
	}
	s.saving[stream] = true
	return true
}

func (s *snapshots[S]) leave(stream string, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.saving, stream)
	if failed {
		if len(s.resting) >= maxResting {
			clear(s.resting)
		}
		s.resting[stream] = time.Now().Add(saveRest)
	}
}

// save saves a snapshot that [snapshots.enter] has let in.
func (s *snapshots[S]) save(ctx context.Context, snap Snapshot) error {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	err := guard(func() error { return s.Store.SaveSnapshot(ctx, snap) })
	s.leave(snap.Stream, err != nil)
	if err != nil {
		s.report(ctx, snap.Stream, "snapshot is not saved", err)
		return err
	}
	s.OnSave(ctx, snap)
	return nil
}

func (s *snapshots[S]) report(ctx context.Context, stream, what string, err error) {
	s.Logger.WarnContext(ctx, "aggregate: a snapshot is of no use", "stream", stream, "outcome", what, "error", err)
	s.OnError(ctx, stream, err)
}

// guard turns a panic of somebody's encoding or store into an error, for what
// it did is never needed.
func guard(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return do()
}
