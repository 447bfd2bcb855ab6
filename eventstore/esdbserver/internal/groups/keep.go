package groups

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/internal/jsonmeta"
)

const (
	tickEvery      = time.Second // between looks at timeouts and checkpoints
	lastSaveTime   = 5 * time.Second
	parkBatch      = 32      // events parked in one append
	maxParkReason  = 8 << 10 // bytes kept of what a consumer says
	typeCheckpoint = "$SubscriptionCheckpoint"
)

// keep does what needs the clock or the store, in order: it takes back what is
// held for too long, parks events and writes checkpoints. What the store
// refuses is tried again at the next tick.
func (g *group) keep(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			g.drop(ErrStopped)
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSaveTime)
			defer cancel()
			g.save(last, atEnd)
			return
		case now := <-tick.C:
			g.expire(now)
			g.save(ctx, atTick)
		case <-g.work:
			g.save(ctx, atOnce)
		}
	}
}

// An occasion says why something is saved.
type occasion int

const (
	atOnce occasion = iota
	atTick
	atEnd
)

func (g *group) save(ctx context.Context, when occasion) {
	err := g.savePark(ctx)
	if err == nil {
		err = g.saveCheckpoint(ctx, when)
	}
	if err == nil && when != atOnce {
		err = g.saveTruncation(ctx)
	}
	if err != nil && ctx.Err() == nil {
		g.log.Warn("persistent subscription cannot save and tries again", "err", err)
	}
}

// savePark writes what is to be parked and has done with it then.
func (g *group) savePark(ctx context.Context) error {
	for limit := parkBatch; ; {
		g.mu.Lock()
		batch := g.parking[:min(limit, len(g.parking))]
		g.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		events := make([]eventstore.Event, len(batch))
		for i, m := range batch {
			events[i] = parkEvent(m)
		}
		_, err := g.store.Append(ctx, g.def.parkedStream(), eventstore.Any, events...)
		switch {
		case errors.Is(err, eventstore.ErrTooLarge) && len(batch) > 1:
			limit = 1
			continue
		case errors.Is(err, eventstore.ErrTooLarge) && batch[0].park.reason != "":
			batch[0].park.reason = "" // better parked without a reason than not at all
			continue
		case err != nil:
			return fmt.Errorf("park %d events: %w", len(batch), err)
		}
		g.haveParked(len(batch))
	}
}

func (g *group) haveParked(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.parking[:n] {
		g.finish(m)
	}
	clear(g.parking[:n])
	g.parking = g.parking[n:]
	g.parked += int64(n)
}

// parkEvent returns a link to what m brought.
func parkEvent(m *message) eventstore.Event {
	target := string(m.Original().Data) // a link that leads nowhere is parked as it is
	if m.Event != nil {
		target = strconv.FormatUint(uint64(m.Event.Version)-1, 10) + "@" + m.Event.Stream
	}
	reason := m.park.reason
	meta, _ := json.Marshal(struct { // strings, a time and a number always encode
		Added  time.Time `json:"added"`
		Reason string    `json:"reason"`
		Number uint64    `json:"subscriptionEventNumber"`
	}{m.park.added, reason[:min(len(reason), maxParkReason)], uint64(m.Original().Version) - 1})
	return eventstore.Event{
		ID: m.park.id, Type: typeLink, ContentType: eventstore.ContentTypeBinary,
		Data: []byte(target), Metadata: jsonmeta.Decode(meta),
	}
}

// saveCheckpoint writes how far the group is, if that is due.
func (g *group) saveCheckpoint(ctx context.Context, when occasion) error {
	g.mu.Lock()
	point, since, first := g.completed(), g.since, g.checkpoint == 0
	due := point > g.checkpoint && g.checkpointDue(when)
	g.mu.Unlock()
	if !due {
		return nil
	}
	stream := g.def.checkpointStream()
	data, _ := json.Marshal(g.def.PointText(point)) // a string always encodes
	e := eventstore.Event{Type: typeCheckpoint, ContentType: eventstore.ContentTypeJSON, Data: data}
	if _, err := g.store.Append(ctx, stream, eventstore.Any, e); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	if first {
		meta := eventstore.StreamMetadata{MaxCount: 2}
		if _, err := g.store.SetStreamMetadata(ctx, stream, eventstore.Any, meta); err != nil {
			return fmt.Errorf("limit checkpoints: %w", err)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.checkpoint, g.checkpointed = point, time.Now()
	g.since -= since
	return nil
}

// checkpointDue reports whether enough was done, or long enough ago. At the end
// time does not count.
func (g *group) checkpointDue(when occasion) bool {
	d := &g.def
	if d.MaxCheckpointCount > 0 && g.since >= d.MaxCheckpointCount {
		return true
	}
	enough := g.since >= max(d.MinCheckpointCount, 1)
	switch when {
	case atTick:
		return enough && d.CheckpointAfter > 0 && time.Since(g.checkpointed) >= d.CheckpointAfter
	case atEnd:
		return enough
	}
	return false
}

// saveTruncation hides parked events whose replay has been dealt with.
func (g *group) saveTruncation(ctx context.Context) error {
	g.mu.Lock()
	first := g.parkedFirst
	if m := g.replays.first; m != nil {
		first = m.Link.Version
	}
	due := first > g.truncated
	g.mu.Unlock()
	if !due {
		return nil
	}
	meta := eventstore.StreamMetadata{TruncateBefore: first}
	if _, err := g.store.SetStreamMetadata(ctx, g.def.parkedStream(), eventstore.Any, meta); err != nil {
		return fmt.Errorf("truncate parked events: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.truncated = first
	return nil
}
