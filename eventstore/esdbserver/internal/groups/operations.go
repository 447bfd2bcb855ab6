package groups

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/foldstream/foldstream/eventstore"
)

// Create defines a group and starts it. It returns an [*ExistsError], a
// [*FailedError] for settings that cannot work, or an
// [*eventstore.InvalidError] for a filter that is no regular expression.
func (m *Manager) Create(ctx context.Context, d Definition) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.leave()
	if _, exists := m.defined[d.Key()]; exists {
		return &ExistsError{d.Stream, d.Group}
	}
	e, err := m.entry(ctx, d)
	if err != nil {
		return err
	}
	if err := m.define(ctx, func(all map[string]entry) { all[d.Key()] = e }); err != nil {
		return err
	}
	return m.relaunch(ctx, e)
}

// Update changes the settings of a group, drops its consumers with a
// [*DroppedError] and lets it go on from its checkpoint; Start counts only when
// there is none. The filter stays. It returns a [*NotFoundError] or what Create
// returns.
func (m *Manager) Update(ctx context.Context, stream, group string, s Settings) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.leave()
	old, exists := m.defined[key(stream, group)]
	if !exists {
		return &NotFoundError{stream, group}
	}
	d := old.Definition
	d.Settings = s
	e, err := m.entry(ctx, d)
	if err != nil {
		return err
	}
	if err := m.define(ctx, func(all map[string]entry) { all[d.Key()] = e }); err != nil {
		return err
	}
	m.halt(d.Key())
	return m.relaunch(ctx, e)
}

// Delete drops the consumers of a group and forgets it, its checkpoint and its
// parked events.
func (m *Manager) Delete(ctx context.Context, stream, group string) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.leave()
	k := key(stream, group)
	e, exists := m.defined[k]
	if !exists {
		return &NotFoundError{stream, group}
	}
	m.halt(k)
	err := m.forget(ctx, &e.Definition)
	if err == nil {
		err = m.define(ctx, func(all map[string]entry) { delete(all, k) })
	}
	if err != nil {
		return errors.Join(err, m.launch(context.WithoutCancel(ctx), e)) // it is still there
	}
	return nil
}

// forget deletes what a group wrote, before its definition: a group of the same
// name must not go on from an old checkpoint.
func (m *Manager) forget(ctx context.Context, d *Definition) error {
	for _, stream := range []string{d.checkpointStream(), d.parkedStream()} {
		if _, err := m.store.Delete(ctx, stream, eventstore.Any); err != nil && !errors.Is(err, eventstore.ErrConflict) && !gone(err) {
			return fmt.Errorf("delete %s: %w", stream, err)
		}
	}
	return nil
}

// halt stops a group for a change. The caller has the lock.
func (m *Manager) halt(k string) {
	if g := m.running[k]; g != nil {
		delete(m.running, k)
		g.stop(&DroppedError{g.def.Stream, g.def.Group})
	}
}

// Restart drops the consumers of all groups and loads the groups again.
func (m *Manager) Restart(ctx context.Context) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.leave()
	for k := range m.running {
		m.halt(k)
	}
	return m.startAll(context.WithoutCancel(ctx)) // half of it would be worse
}

// Connect adds a consumer to a group. It returns a [*NotFoundError] or a
// [*FullError].
func (m *Manager) Connect(ctx context.Context, stream, group string, client Client) (*Consumer, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.leave()
	g, err := m.find(stream, group)
	if err != nil {
		return nil, err
	}
	return g.connect(client)
}

// Info describes a group.
func (m *Manager) Info(ctx context.Context, stream, group string) (Info, error) {
	if err := m.enter(ctx); err != nil {
		return Info{}, err
	}
	defer m.leave()
	g, err := m.find(stream, group)
	if err != nil {
		return Info{}, err
	}
	return g.info(ctx)
}

// List describes the groups of a stream, or of all streams when stream is
// empty, in the order of their names. It returns a [*NotFoundError] for a
// stream without groups.
func (m *Manager) List(ctx context.Context, stream string) ([]Info, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.leave()
	var list []Info
	for _, g := range m.running {
		if stream != "" && g.def.Stream != stream {
			continue
		}
		i, err := g.info(ctx)
		if err != nil {
			return nil, err
		}
		list = append(list, i)
	}
	if len(list) == 0 && stream != "" {
		return nil, &NotFoundError{Stream: stream}
	}
	slices.SortFunc(list, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Group, b.Group))
	})
	return list, nil
}

// ReplayParked hands the parked events of a group out again: those before
// revision stopAt of the parked stream, or all when limited is false. It
// returns once they wait for consumers.
func (m *Manager) ReplayParked(ctx context.Context, stream, group string, stopAt int64, limited bool) error {
	if limited && stopAt < 0 {
		return &FailedError{stream, group, "Cannot stop replaying parked message at a negative version."}
	}
	if err := m.enter(ctx); err != nil {
		return err
	}
	g, err := m.find(stream, group)
	m.leave()
	if err != nil {
		return err
	}
	if !limited {
		stopAt = -1
	}
	return g.replay(ctx, stopAt)
}
