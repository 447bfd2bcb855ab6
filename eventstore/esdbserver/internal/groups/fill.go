package groups

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// retryAfter is how long a group waits after the store failed.
const retryAfter = time.Second

// fill reads events ahead until ctx is done. History and what comes later are
// the same subscription to the store, read only as far as there is room.
func (g *group) fill(ctx context.Context) {
	for {
		err := g.follow(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, eventstore.ErrStreamDeleted), errors.Is(err, eventstore.ErrClosed):
			g.log.Info("persistent subscription has nothing more to read", "err", err)
			return
		}
		g.log.Warn("persistent subscription cannot read and tries again", "err", err)
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
			return
		}
	}
}

// follow reads on from what was examined. It returns only with an error.
func (g *group) follow(ctx context.Context) error {
	for m, err := range g.source(ctx) {
		switch {
		case err != nil:
			return err
		case m.Kind == eventstore.MessageCaughtUp:
			g.setLive(true)
		case m.Kind == eventstore.MessageEvent:
			if err := g.examine(ctx, m.Event); err != nil {
				return err
			}
		}
	}
	return errors.New("the store ended the subscription")
}

func (g *group) source(ctx context.Context) iter.Seq2[eventstore.Message, error] {
	g.mu.Lock()
	after := g.examined
	g.mu.Unlock()
	if g.def.Stream == All {
		return g.store.SubscribeAll(ctx, eventstore.SubscribeAllOptions{After: eventstore.Position(after)})
	}
	return g.store.Subscribe(ctx, g.def.Stream, eventstore.SubscribeOptions{After: eventstore.Version(after)})
}

func (g *group) setLive(live bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.live = live
}

// examine takes an event that the group wants, once there is room for it.
func (g *group) examine(ctx context.Context, e eventstore.Recorded) error {
	point := uint64(e.Version)
	if g.def.Stream == All {
		point = uint64(e.Position)
		isHidden := hidden(e.Stream)
		if isHidden || g.wants != nil && !g.wants(e.Stream, e.Type) {
			g.pass(point, !isHidden)
			return nil
		}
	}
	m := &message{Delivery: Delivery{Event: &e}, point: point}
	if g.def.ResolveLinkTos {
		var err error
		if m.Delivery, err = g.resolve(ctx, &e); err != nil {
			return err
		}
	}
	m.bytes = len(e.Data) + e.Metadata.Size()
	if m.Link != nil && m.Event != nil {
		m.bytes += len(m.Event.Data) + m.Event.Metadata.Size()
	}
	for !g.enqueue(m) {
		select {
		case <-g.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// pass leaves out an event. Only those of others count towards a checkpoint:
// counting the group's own notes would have it write notes for ever.
func (g *group) pass(point uint64, counts bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.examined = point
	if counts {
		g.advance()
	}
}

// enqueue adds m to what was read ahead, unless that is as long as it may be.
func (g *group) enqueue(m *message) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) >= g.def.readAhead() || g.queued > 0 && g.queued+m.bytes > maxReadAheadBytes {
		g.live = false
		return false
	}
	m.before, g.examined = g.examined, m.point
	g.fresh.add(m)
	g.queue = append(g.queue, m)
	g.queued += m.bytes
	g.push()
	return true
}

// resolve returns an event with what it links to, if it is a link.
func (g *group) resolve(ctx context.Context, e *eventstore.Recorded) (Delivery, error) {
	stream, version, ok := parseLink(e)
	if !ok {
		return Delivery{Event: e}, nil
	}
	for target, err := range g.store.Read(ctx, stream, eventstore.ReadOptions{From: version, Limit: 1}) {
		switch {
		case errors.Is(err, eventstore.ErrStreamNotFound), errors.Is(err, eventstore.ErrStreamDeleted), errors.Is(err, eventstore.ErrInvalid):
		case err != nil:
			return Delivery{}, fmt.Errorf("resolve link to %d@%s: %w", version-1, stream, err)
		case target.Version == version:
			return Delivery{Event: &target, Link: e}, nil
		}
	}
	return Delivery{Link: e}, nil
}

// typeLink is the type of an event whose data names another: {revision}@{stream}.
const typeLink = "$>"

func parseLink(e *eventstore.Recorded) (stream string, version eventstore.Version, ok bool) {
	if e.Type != typeLink {
		return "", 0, false
	}
	number, stream, ok := strings.Cut(string(e.Data), "@")
	if !ok {
		return "", 0, false
	}
	revision, err := strconv.ParseUint(number, 10, 63)
	return stream, eventstore.Version(revision + 1), err == nil
}
