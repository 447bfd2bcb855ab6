package groups

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/foldstream/foldstream/eventstore"
)

// load reads what the group wrote before. after is where it begins without a
// checkpoint.
func (g *group) load(ctx context.Context, after uint64) error {
	e, found, err := last(ctx, g.store, g.def.checkpointStream())
	if err != nil {
		return fmt.Errorf("load checkpoint of %s: %w", g.def.Key(), err)
	}
	g.examined = after
	if found {
		var text string
		point := uint64(0)
		if err = json.Unmarshal(e.Data, &text); err == nil {
			point, err = g.def.parsePoint(text)
		}
		if err != nil {
			g.log.Warn("persistent subscription cannot read its checkpoint and begins anew", "data", string(e.Data), "err", err)
		} else {
			g.examined, g.checkpoint = point, point
		}
	}
	return g.loadParked(ctx)
}

func (g *group) loadParked(ctx context.Context) error {
	g.parkedFirst = 1
	for e, err := range g.store.Read(ctx, g.def.parkedStream(), eventstore.ReadOptions{Limit: 1}) {
		if gone(err) {
			break
		}
		if err != nil {
			return fmt.Errorf("load parked events of %s: %w", g.def.Key(), err)
		}
		g.parkedFirst = e.Version
	}
	g.truncated = g.parkedFirst
	e, found, err := last(ctx, g.store, g.def.parkedStream())
	if err != nil {
		return fmt.Errorf("load parked events of %s: %w", g.def.Key(), err)
	}
	if found {
		g.parked = int64(e.Version - g.parkedFirst + 1)
	}
	return nil
}

// last returns the last readable event of a stream.
func last(ctx context.Context, store eventstore.Store, stream string) (eventstore.Recorded, bool, error) {
	for e, err := range store.Read(ctx, stream, eventstore.ReadOptions{Backwards: true, Limit: 1}) {
		if gone(err) {
			break
		}
		return e, err == nil, err
	}
	return eventstore.Recorded{}, false, nil
}

// gone reports whether err says that there is no such stream, or not any more.
func gone(err error) bool {
	return errors.Is(err, eventstore.ErrStreamNotFound) || errors.Is(err, eventstore.ErrStreamDeleted)
}

// begin returns the point after which a group without a checkpoint begins.
func begin(ctx context.Context, store eventstore.Store, d *Definition) (uint64, error) {
	switch {
	case d.Start.Kind == FromPoint && d.Stream == All:
		return max(d.Start.At, 1) - 1, nil
	case d.Start.Kind == FromPoint:
		return d.Start.At, nil // of the version after the one before
	case d.Start.Kind == FromStart:
		return 0, nil
	case d.Stream == All:
		head, err := store.Head(ctx)
		return uint64(head), err
	}
	e, _, err := last(ctx, store, d.Stream)
	return uint64(e.Version), err
}

// replay hands the parked events below revision stopAt out again; a negative
// stopAt means all. The targets that are gone are left out.
func (g *group) replay(ctx context.Context, stopAt int64) error {
	select {
	case g.replaying <- struct{}{}:
		defer func() { <-g.replaying }()
	case <-ctx.Done():
		return ctx.Err()
	}
	g.mu.Lock()
	from := g.parkedFirst
	g.mu.Unlock()
	for e, err := range g.store.Read(ctx, g.def.parkedStream(), eventstore.ReadOptions{From: from}) {
		switch {
		case gone(err):
			return nil
		case err != nil:
			return fmt.Errorf("read parked events: %w", err)
		case stopAt >= 0 && int64(e.Version)-1 >= stopAt:
			return nil
		}
		d, err := g.resolve(ctx, &e)
		if err != nil {
			return err
		}
		if err := g.replayOne(&e, d); err != nil {
			return err
		}
	}
	return nil
}

func (g *group) replayOne(e *eventstore.Recorded, d Delivery) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		return g.closed
	}
	g.parkedFirst = e.Version + 1
	g.parked--
	if d.Link == nil || d.Event == nil {
		return nil
	}
	m := &message{Delivery: d, point: replayOrder + uint64(e.Version)}
	g.replays.add(m)
	g.retries = insert(g.retries, m)
	g.push()
	return nil
}
