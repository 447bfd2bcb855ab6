package shred

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Memory is a [KeyStore] in memory, for tests: its keys are gone with the
// process. The zero value is ready to use.
type Memory struct {
	mu   sync.Mutex
	keys map[string]Keys
}

var _ KeyStore = (*Memory)(nil)

// Find implements [KeyStore].
func (m *Memory) Find(_ context.Context, subject string) (Keys, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.keys[subject], nil
}

// Make implements [KeyStore].
func (m *Memory) Make(_ context.Context, subject string) (Keys, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.keys[subject]
	if k.Gone() {
		return k, &ErasedError{subject}
	}
	return m.ensure(subject, k), nil
}

// Erase implements [KeyStore].
func (m *Memory) Erase(_ context.Context, subject string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.keys[subject]; !k.Gone() {
		if !k.Current.ID.IsZero() {
			k.Erased = append(slices.Clone(k.Erased), k.Current.ID)
		}
		k.Current, k.Since = Key{}, time.Now().UTC()
		m.set(subject, k)
	}
	return nil
}

// Admit implements [KeyStore].
func (m *Memory) Admit(_ context.Context, subject string) (Keys, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ensure(subject, m.keys[subject]), nil
}

func (m *Memory) ensure(subject string, k Keys) Keys {
	if k.Current.ID.IsZero() {
		k.Current = NewKey()
		m.set(subject, k)
	}
	return k
}

func (m *Memory) set(subject string, k Keys) {
	if m.keys == nil {
		m.keys = make(map[string]Keys)
	}
	m.keys[subject] = k
}
