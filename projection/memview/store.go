package memview

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/foldstream/foldstream/projection"
)

// A Store is a [projection.ViewStore] in memory. It is safe for concurrent
// use.
type Store struct {
	mu    sync.RWMutex
	views map[string]*view
}

var _ projection.ViewStore = (*Store)(nil)

type view struct {
	versions map[int]*version
	active   int // 0 while there is none
	leases   map[string]lease
	notes    map[string]note
}

type version struct {
	info       projection.VersionInfo
	partitions []*partition
}

// New returns an empty store.
func New() *Store {
	return &Store{views: make(map[string]*view)}
}

// view returns the named view and makes it when it is missing. The lock is
// held for writing.
func (s *Store) view(name string) *view {
	v := s.views[name]
	if v == nil {
		v = &view{versions: make(map[int]*version), leases: make(map[string]lease), notes: make(map[string]note)}
		s.views[name] = v
	}
	return v
}

// version returns a version of a view. The lock is held.
func (s *Store) version(name string, number int) (*version, error) {
	if v := s.views[name]; v != nil && v.versions[number] != nil {
		return v.versions[number], nil
	}
	return nil, fmt.Errorf("memview: view %q version %d: %w", name, number, projection.ErrNoVersion)
}

// activeVersion returns the version that is read. The lock is held.
func (s *Store) activeVersion(name string) (*version, error) {
	if v := s.views[name]; v != nil && v.active != 0 {
		return v.versions[v.active], nil
	}
	return nil, fmt.Errorf("memview: view %q: %w", name, projection.ErrNotBuilt)
}

// Versions implements [projection.ViewStore].
func (s *Store) Versions(ctx context.Context, view string) ([]projection.VersionInfo, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	v := s.views[view]
	if v == nil {
		return nil, nil
	}
	infos := make([]projection.VersionInfo, 0, len(v.versions))
	for _, n := range slices.Sorted(maps.Keys(v.versions)) {
		info := v.versions[n].info
		info.Active = n == v.active
		infos = append(infos, info)
	}
	return infos, nil
}

// Views implements [projection.ViewStore].
func (s *Store) Views(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var names []string
	for name, v := range s.views {
		if len(v.versions) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// CreateVersion implements [projection.ViewStore].
func (s *Store) CreateVersion(ctx context.Context, view string, info projection.VersionInfo) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if info.Number < 1 || info.Partitions < 1 {
		return fmt.Errorf("memview: view %q: version %d with %d partitions: both must be at least 1", view, info.Number, info.Partitions)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view(view)
	if v.versions[info.Number] != nil {
		return fmt.Errorf("memview: view %q version %d: %w", view, info.Number, projection.ErrVersionExists)
	}
	info.Active, info.Built = false, false
	info.PerKey = slices.Clone(info.PerKey)
	ver := &version{info: info, partitions: make([]*partition, info.Partitions)}
	for i := range ver.partitions {
		ver.partitions[i] = newPartition(info.PerKey)
	}
	v.versions[info.Number] = ver
	return nil
}

// Activate implements [projection.ViewStore].
func (s *Store) Activate(ctx context.Context, view string, number int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.version(view, number)
	if err != nil {
		return err
	}
	v.info.Built = true
	s.views[view].active = number
	return nil
}

// DropVersion implements [projection.ViewStore].
func (s *Store) DropVersion(ctx context.Context, view string, number int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.views[view]
	if v == nil || v.versions[number] == nil {
		return nil
	}
	if v.active == number {
		return fmt.Errorf("memview: view %q version %d: %w", view, number, projection.ErrVersionActive)
	}
	for _, p := range v.versions[number].partitions {
		p.checkpoint.Epoch++ // fences sessions that still write it
	}
	delete(v.versions, number)
	return nil
}

// Checkpoints implements [projection.ViewStore].
func (s *Store) Checkpoints(ctx context.Context, view string, number int) ([]projection.Checkpoint, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, err := s.version(view, number)
	if err != nil {
		return nil, err
	}
	cks := make([]projection.Checkpoint, len(v.partitions))
	for i, p := range v.partitions {
		cks[i] = p.checkpoint
	}
	return cks, nil
}

// Parked implements [projection.ViewStore].
func (s *Store) Parked(ctx context.Context, view string, number, part int) (map[string][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, err := s.version(view, number)
	if err != nil {
		return nil, err
	}
	if err := v.check(part); err != nil {
		return nil, fmt.Errorf("memview: view %q version %d: %w", view, number, err)
	}
	return v.partitions[part].allParked(), nil
}

func (v *version) check(part int) error {
	if part < 0 || part >= len(v.partitions) {
		return fmt.Errorf("no partition %d of %d", part, len(v.partitions))
	}
	return nil
}
