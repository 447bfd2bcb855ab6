package memview

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

type lease struct {
	owner   string
	expires time.Time
}

// A note expires unless that is the zero time.
type note struct {
	value   []byte
	expires time.Time
}

func (n note) expired(now time.Time) bool { return !n.expires.IsZero() && !now.Before(n.expires) }

// Lease implements [projection.ViewStore].
func (s *Store) Lease(ctx context.Context, view, owner string, ttl time.Duration, names ...string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if owner == "" || ttl <= 0 {
		return nil, fmt.Errorf("memview: view %q: leases %q for owner %q and %s: both must be set", view, names, owner, ttl)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, now := s.view(view), time.Now()
	holders := make([]string, len(names))
	for i, name := range names {
		holders[i] = owner
		if l, ok := v.leases[name]; ok && l.owner != owner && now.Before(l.expires) {
			holders[i] = l.owner
			continue
		}
		v.leases[name] = lease{owner, now.Add(ttl)}
	}
	return holders, nil
}

// Release implements [projection.ViewStore].
func (s *Store) Release(ctx context.Context, view, owner string, names ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view(view)
	for _, name := range names {
		if v.leases[name].owner == owner {
			delete(v.leases, name)
		}
	}
	return nil
}

// Notes implements [projection.ViewStore].
func (s *Store) Notes(ctx context.Context, view string) (map[string][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, now := s.view(view), time.Now()
	notes := make(map[string][]byte, len(v.notes))
	for name, n := range v.notes {
		if n.expired(now) {
			delete(v.notes, name)
			continue
		}
		notes[name] = bytes.Clone(n.value)
	}
	return notes, nil
}

// PutNote implements [projection.ViewStore].
func (s *Store) PutNote(ctx context.Context, view, name string, value []byte, ttl time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if ttl < 0 {
		return fmt.Errorf("memview: view %q: note %q: it cannot expire after %s", view, name, ttl)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view(view)
	if value == nil {
		delete(v.notes, name)
		return nil
	}
	n := note{value: bytes.Clone(value)}
	if ttl > 0 {
		n.expires = time.Now().Add(ttl)
	}
	v.notes[name] = n
	return nil
}

// TakeNote implements [projection.ViewStore].
func (s *Store) TakeNote(ctx context.Context, view, name string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view(view)
	n, ok := v.notes[name]
	delete(v.notes, name)
	if !ok || n.expired(time.Now()) {
		return nil, nil
	}
	return n.value, nil
}
