package aggregate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/foldstream/foldstream/eventstore"
)

// ErrTruncated is matched by [TruncatedError].
var ErrTruncated = errors.New("aggregate: its first events are truncated")

// A TruncatedError says that events which an aggregate's state is folded from
// cannot be read any more, and that no snapshot stands in for them. It matches
// [ErrTruncated].
type TruncatedError struct {
	Stream string
	First  eventstore.Version // that can be read; 0 when there is none
}

func (e *TruncatedError) Error() string {
	if e.First == 0 {
		return fmt.Sprintf("all events of %s are truncated, so there is no state; restore them from a backup, or delete the stream to begin anew", e.Stream)
	}
	return fmt.Sprintf("the events of %s before version %d are truncated and no usable snapshot has them; restore them or the snapshot from a backup", e.Stream, e.First)
}

// Is reports whether target is [ErrTruncated].
func (e *TruncatedError) Is(target error) bool { return target == ErrTruncated }

// readCold reads a stream from its snapshot, if there is one that is of this
// history, or else from its beginning.
func (r *Repository[S, E]) readCold(ctx context.Context, stream string, l *loader[S, E], ids *recent) error {
	var k *kept[S]
	if r.snaps != nil {
		k = r.snaps.load(ctx, stream)
	}
	if k != nil && k.usable && (l.until == nil || l.until.version == nil || k.version <= *l.until.version) {
		if ids != nil && ids.upTo < k.version && ids.restore(k.recent) != nil {
			ids.forget()
		}
		err := l.read(ctx, stream, &k.baseline, ids)
		switch {
		case err != nil, !l.stale && !l.late, l.late && !l.check:
			return err
		case l.stale:
			r.snaps.report(ctx, stream, "snapshot is ignored", fmt.Errorf("%w: event %d is not the one it was taken at", errHistory, k.version))
		}
		ids.forget()
	}
	if err := l.read(ctx, stream, nil, ids); err != nil {
		return err
	}
	return r.complete(ctx, stream, l.mark.first, k)
}

var errHistory = errors.New("the snapshot is of another history of the stream")

// complete returns an error if a stream that can be read from version first on
// had events before that belong to the aggregate. A stream that was deleted and
// begun anew had some that do not.
func (r *Repository[S, E]) complete(ctx context.Context, stream string, first eventstore.Version, k *kept[S]) error {
	if first <= 1 {
		return nil
	}
	if k != nil && k.mark.first < first && first <= k.version && !k.usable {
		return &TruncatedError{Stream: stream, First: first}
	}
	meta, _, err := r.store.StreamMetadata(ctx, stream)
	if err != nil {
		return err
	}
	if _, ours := meta.Custom[truncatedKey]; ours || meta.MaxCount > 0 || meta.MaxAge > 0 {
		return &TruncatedError{Stream: stream, First: first} // deleting would have taken these away
	}
	return nil
}

// truncatedKey marks the metadata of streams that Truncate has truncated.
const truncatedKey = "foldstreamTruncated"

// worthRecalling is how many events are read rather than a snapshot, when what
// is wanted are their command ids.
const worthRecalling = 100

// recall restores the recent commands from the snapshot, if that is of this
// history.
func (r *Repository[S, E]) recall(ctx context.Context, stream string, ids *recent, to eventstore.Version) {
	k := r.snaps.load(ctx, stream)
	got := recent{limit: ids.limit}
	if k == nil || k.version > to || got.restore(k.recent) != nil || got.upTo <= ids.upTo {
		return
	}
	for rec, err := range r.store.Read(ctx, stream, eventstore.ReadOptions{From: k.version, Limit: 1}) {
		if err == nil && k.isOf(&rec) {
			*ids = got
		}
	}
}

// refold adds the events of d to its state, when they were appended without
// that, and reports whether it could.
func (r *Repository[S, E]) refold(ctx context.Context, stream string, d *draft[S, E]) bool {
	err := guard(func() error {
		for i := range d.events {
			if err := r.readBack(&d.state.state, stream, d.base.version+eventstore.Version(i)+1, &d.events[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.snaps.report(ctx, stream, "snapshot is not taken", err)
	}
	return err == nil
}

// snapshot takes a snapshot of b and returns what saves it, to be called when
// those who wait for the command are answered. The caller is the busy one of c.
func (r *Repository[S, E]) snapshot(ctx context.Context, c *cell[S, E], b *baseline[S]) (save func()) {
	if !r.snaps.enter(c.stream) {
		return func() {}
	}
	snap, err := r.snaps.take(c.stream, b, &c.recent)
	if err != nil {
		r.snaps.leave(c.stream, true)
		r.snaps.report(ctx, c.stream, "snapshot is not taken", err)
		return func() {}
	}
	c.marked(&snap)
	return func() { go r.snaps.save(context.WithoutCancel(ctx), snap) } //nolint:errcheck // it has been reported
}

// marked notes that a snapshot was taken.
func (c *cell[S, E]) marked(snap *Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.base == nil || c.base.mark.snapshot >= snap.Version {
		return
	}
	b := *c.base // which others may be reading
	b.mark.snapshot, b.mark.since, b.mark.bytes = snap.Version, snap.Created.UnixNano(), 0
	c.base = &b
}

// Snapshot takes a snapshot of the aggregate with an id now, whatever the
// policy, waits until it is saved, and returns its version: 0 when there is no
// such aggregate.
func (r *Repository[S, E]) Snapshot(ctx context.Context, id string) (eventstore.Version, error) {
	if r.snaps == nil {
		return 0, errors.New("aggregate: snapshots are off; set Options.Snapshots")
	}
	stream, err := r.stream(id)
	if err != nil {
		return 0, err
	}
	c := r.cells.acquire(stream)
	defer r.cells.release(c)
	b, err := r.fresh(ctx, c, nil)
	if err != nil || b.version == 0 {
		return 0, err
	}
	ids := &recent{limit: r.opts.Remember} // not those of c, which belong to whoever is busy
	var snap Snapshot
	if err = r.catchUp(ctx, stream, ids, b.version); err == nil {
		snap, err = r.snaps.take(stream, &b, ids)
	}
	if err == nil {
		err = r.snaps.Store.SaveSnapshot(ctx, snap)
	}
	if err != nil {
		return 0, fmt.Errorf("aggregate %s: snapshot: %w", stream, err)
	}
	c.marked(&snap)
	r.snaps.OnSave(ctx, snap)
	return b.version, nil
}

// Truncate takes a snapshot of the aggregate with an id and then hides the
// events before the snapshot's own from all readers of the stream, so that a
// store may free their space. From then on the aggregate cannot be loaded
// without a snapshot: keep snapshots where they last, such as in the event
// store itself, take another before SnapshotOptions.Version or the state's type
// is changed, and do not do this to streams whose history is wanted. It returns
// the version of the first event that is left.
func (r *Repository[S, E]) Truncate(ctx context.Context, id string) (eventstore.Version, error) {
	v, err := r.Snapshot(ctx, id)
	if err != nil || v == 0 {
		return v, err
	}
	stream := eventstore.StreamName(r.category, id)
	meta, at, err := r.store.StreamMetadata(ctx, stream)
	if err != nil {
		return 0, err
	}
	custom := map[string]json.RawMessage{truncatedKey: json.RawMessage("true")}
	maps.Copy(custom, meta.Custom)
	meta.Custom, meta.TruncateBefore = custom, max(meta.TruncateBefore, v)
	if _, err := r.store.SetStreamMetadata(ctx, stream, eventstore.Exact(at), meta); err != nil {
		return 0, fmt.Errorf("aggregate %s: truncate: %w", stream, err)
	}
	return v, nil
}
