package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// typeCheckpoint is the type of the events of a queue's checkpoint stream.
const typeCheckpoint = "command.checkpoint"

// maxCheckpointPart is how many bytes of ids one event has.
const maxCheckpointPart = 256 << 10

// A checkpoint says which commands were not finished when all events up to a
// position had been seen. One with many ids is written in parts, and counts when
// it is whole.
type checkpoint struct {
	Position eventstore.Position `json:"position"`
	Kept     eventstore.Position `json:"kept"` // finished commands up to here have been removed
	Open     []string            `json:"open,omitempty"`
	Part     int                 `json:"part"`
	Parts    int                 `json:"parts"`

	version eventstore.Version // of the checkpoint stream
}

// checkpoints is the stream of checkpoints. It is no stream of the queue's
// category, so that nobody reads it who follows the commands.
func (q *Queue) checkpoints() string { return q.name + "_checkpoint" }

// checkpoint returns the last whole checkpoint, with the ids of its last part or
// of all. Its version is that of the last event in any case.
func (q *Queue) checkpoint(ctx context.Context, all bool) (checkpoint, error) {
	var c checkpoint
	var last eventstore.Version
	for r, err := range q.store.Read(ctx, q.checkpoints(), eventstore.ReadOptions{Backwards: true}) {
		if errors.Is(err, eventstore.ErrStreamNotFound) {
			break
		}
		var part checkpoint
		if err == nil {
			err = json.Unmarshal(r.Data, &part)
		}
		if err != nil {
			return c, fmt.Errorf("command: checkpoint of queue %s: %w", q.name, err)
		}
		last = max(last, r.Version)
		switch {
		case c.Parts > 0:
			c.Open = append(c.Open, part.Open...)
		case part.Part == part.Parts:
			c = part
		}
		if c.Parts > 0 && (part.Part == 1 || !all) {
			break
		}
	}
	c.version = last
	return c, nil
}

// save writes a checkpoint after the version that was the last, and hides those
// before it. Of several workers that do so at a time one succeeds, and the others
// get an [eventstore.ErrConflict].
func (q *Queue) save(ctx context.Context, c *checkpoint) error {
	parts := split(c.Open)
	first := c.version + 1
	for i, open := range parts {
		part := checkpoint{Position: c.Position, Kept: c.Kept, Open: open, Part: i + 1, Parts: len(parts)}
		data, err := json.Marshal(part)
		if err != nil {
			return err
		}
		e := eventstore.Event{ID: eventstore.NewID(), Type: typeCheckpoint, ContentType: eventstore.ContentTypeJSON, Data: data}
		r, err := q.store.Append(ctx, q.checkpoints(), eventstore.Exact(c.version), e)
		if conflict, ok := errors.AsType[*eventstore.ConflictError](err); ok {
			c.version = conflict.Actual
		}
		if err != nil {
			return err
		}
		c.version = r.Version
	}
	_, err := q.store.SetStreamMetadata(ctx, q.checkpoints(), eventstore.Any, eventstore.StreamMetadata{TruncateBefore: first})
	return err
}

// split cuts ids into lists that each fit into an event. There is always one.
func split(ids []string) [][]string {
	var parts [][]string
	from, size := 0, 0
	for i, id := range ids {
		if size += len(id) + 8; size > maxCheckpointPart {
			parts = append(parts, ids[from:i])
			from, size = i, len(id)+8
		}
	}
	return append(parts, ids[from:])
}

// surveyReaders is how many streams are read at a time when a board is made.
const surveyReaders = 16

// load makes a board as of the last checkpoint: commands that were not finished
// are read from their streams, and may be further by now.
func (q *Queue) load(ctx context.Context, run string) (*board, *checkpoint, error) {
	b := q.board(run)
	c, err := q.checkpoint(ctx, true)
	if err != nil {
		return nil, nil, err
	}
	b.pos, b.kept = c.Position, c.Kept
	var wg sync.WaitGroup
	errs := make(chan error, surveyReaders+1)
	now := time.Now()
	for part := range slices.Chunk(c.Open, len(c.Open)/surveyReaders+1) {
		wg.Go(func() { errs <- q.look(ctx, b, part, now) })
	}
	wg.Wait()
	close(errs)
	for bad := range errs {
		err = errors.Join(err, bad)
	}
	if err != nil {
		return nil, nil, err
	}
	for _, it := range b.sorted() {
		b.settle(it, now)
	}
	return b, &c, nil
}

// look reads the streams of commands.
func (q *Queue) look(ctx context.Context, b *board, ids []string, now time.Time) error {
	for _, id := range ids {
		var events []eventstore.Recorded
		for r, err := range q.store.Read(ctx, q.stream(id), eventstore.ReadOptions{}) {
			if errors.Is(err, eventstore.ErrStreamNotFound) || errors.Is(err, eventstore.ErrStreamDeleted) {
				break // finished long ago
			}
			if err != nil {
				return fmt.Errorf("command %s of queue %s: %w", id, q.name, err)
			}
			events = append(events, r)
		}
		b.mu.Lock()
		b.replay(id, events, now)
		b.mu.Unlock()
	}
	return nil
}

// show has the board take in a message. Only when that is done the board says
// that it has seen it.
func (q *Queue) show(ctx context.Context, b *board, m *eventstore.Message) error {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.Kind == eventstore.MessageEvent && b.apply(&m.Event, now) {
		_, id := eventstore.SplitStream(m.Event.Stream)
		b.mu.Unlock() // nobody waits for the store
		err := q.look(ctx, b, []string{id}, now)
		b.mu.Lock()
		if err != nil {
			return err
		}
		if it := b.open[id]; it != nil {
			b.settle(it, now)
		}
	}
	b.pos = m.Position
	return nil
}

// survey makes a board as of now, for those who only look.
func (q *Queue) survey(ctx context.Context) (*board, error) {
	b, _, err := q.load(ctx, "")
	if err != nil {
		return nil, err
	}
	for m, err := range q.store.SubscribeAll(ctx, eventstore.SubscribeAllOptions{After: b.pos, Filter: q.filter()}) {
		if err != nil || m.Kind == eventstore.MessageCaughtUp {
			return b, err
		}
		if err := q.show(ctx, b, &m); err != nil {
			return b, err
		}
	}
	return b, context.Cause(ctx)
}
