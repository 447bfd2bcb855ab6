package groups

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/foldstream/foldstream/eventstore"
)

// Definitions are kept in one stream, all of them in each event.
const (
	configStream = "$persistentSubscriptionConfig"
	typeConfig   = "$PersistentConfig"
)

// An entry is a definition as it is kept.
type entry struct {
	Definition
	After uint64 `json:"after"` // the point after which the group begins, fixed when it was defined
}

type config struct {
	Version string  `json:"version"`
	Entries []entry `json:"entries"`
}

const configVersion = "foldstream-1"

func loadDefinitions(ctx context.Context, store eventstore.Store) (map[string]entry, error) {
	all := make(map[string]entry)
	e, found, err := last(ctx, store, configStream)
	if err != nil || !found {
		return all, err
	}
	var c config
	if err := json.Unmarshal(e.Data, &c); err != nil {
		return nil, fmt.Errorf("load persistent subscriptions: event %d of %s is not understood; append a right one: %w", e.Version, configStream, err)
	}
	if c.Version != configVersion {
		return nil, fmt.Errorf("load persistent subscriptions: event %d of %s has version %q, not %s; create the groups again on this server after deleting the stream", e.Version, configStream, c.Version, configVersion)
	}
	for _, e := range c.Entries {
		all[e.Key()] = e
	}
	return all, nil
}

// entry checks a definition and fixes where it begins.
func (m *Manager) entry(ctx context.Context, d Definition) (entry, error) {
	head, err := m.store.Head(ctx)
	if err != nil {
		return entry{}, err
	}
	if err := d.check(head); err != nil {
		return entry{}, err
	}
	after, err := begin(ctx, m.store, &d)
	return entry{d, after}, err
}

// define changes what is defined, durably. The caller has the lock.
func (m *Manager) define(ctx context.Context, change func(map[string]entry)) error {
	all := maps.Clone(m.defined)
	change(all)
	c := config{Version: configVersion, Entries: []entry{}}
	for _, k := range slices.Sorted(maps.Keys(all)) {
		c.Entries = append(c.Entries, all[k])
	}
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("save persistent subscriptions: %w", err)
	}
	if _, v, err := m.store.StreamMetadata(ctx, configStream); err != nil {
		return fmt.Errorf("save persistent subscriptions: %w", err)
	} else if v == 0 {
		if _, err := m.store.SetStreamMetadata(ctx, configStream, eventstore.Any, eventstore.StreamMetadata{MaxCount: 2}); err != nil {
			return fmt.Errorf("save persistent subscriptions: %w", err)
		}
	}
	e := eventstore.Event{ID: eventstore.NewID(), Type: typeConfig, ContentType: eventstore.ContentTypeJSON, Data: data}
	_, err = m.store.Append(ctx, configStream, eventstore.Any, e)
	if errors.Is(err, eventstore.ErrTooLarge) {
		return fmt.Errorf("save persistent subscriptions: there are too many for one event; delete some: %w", err)
	}
	if err != nil {
		return fmt.Errorf("save persistent subscriptions: %w", err)
	}
	m.defined = all
	return nil
}
