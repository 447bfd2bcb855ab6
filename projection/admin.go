package projection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// An Admin looks at views and controls them from any process that has their
// view store, while applications follow them: it needs neither the event store
// nor the projections. It is safe for concurrent use.
type Admin struct{ store ViewStore }

// NewAdmin returns an Admin of the views in a store.
func NewAdmin(store ViewStore) *Admin { return &Admin{store} }

// A ViewSummary describes a view as the view store knows it.
type ViewSummary struct {
	View       string              `json:"view"`
	Versions   []VersionInfo       `json:"versions"`
	Active     int                 `json:"active"` // the version that is read; 0 while the view is not built
	Definition int                 `json:"definition"`
	Partitions []PartitionInfo     `json:"partitions"` // of the active version, or else of the newest
	Position   eventstore.Position `json:"position"`   // lowest of all partitions
	Parked     int                 `json:"parked"`     // events
	Paused     bool                `json:"paused"`
	PausedAt   time.Time           `json:"paused_at,omitzero"`
	Runners    []Status            `json:"runners"` // that were alive a moment ago, by owner
}

// PartitionInfo describes one partition of a version.
type PartitionInfo struct {
	Partition int                 `json:"partition"`
	Position  eventstore.Position `json:"position"`
	Epoch     uint64              `json:"epoch"` // how often it was taken over
	Owner     string              `json:"owner,omitempty"`
	Parked    int                 `json:"parked"` // events
}

// List describes all views of the store, by name.
func (a *Admin) List(ctx context.Context) ([]ViewSummary, error) {
	views, err := a.store.Views(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]ViewSummary, 0, len(views))
	for _, view := range views {
		s, err := a.Show(ctx, view)
		if errors.Is(err, ErrNoView) {
			continue // its last version was dropped meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Show describes one view. It returns [ErrNoView] if the store has none of that
// name.
func (a *Admin) Show(ctx context.Context, view string) (ViewSummary, error) {
	versions, err := a.versions(ctx, view)
	if err != nil {
		return ViewSummary{}, err
	}
	notes, err := a.store.Notes(ctx, view)
	if err != nil {
		return ViewSummary{}, err
	}
	s := ViewSummary{View: view, Versions: versions}
	shown := versions[len(versions)-1]
	for _, v := range versions {
		if v.Active {
			s.Active, shown = v.Number, v
		}
	}
	s.Definition = shown.Definition
	if at, paused := notes[pausedNote]; paused {
		s.Paused = true
		s.PausedAt, _ = time.Parse(time.RFC3339, string(at)) // or unknown
	}
	s.Runners = runnersIn(notes)
	return s, a.partitions(ctx, &s, shown, ownersIn(notes, shown.Number))
}

func (a *Admin) versions(ctx context.Context, view string) ([]VersionInfo, error) {
	versions, err := a.store.Versions(ctx, view)
	if err != nil {
		return nil, err
	}
	if len(versions) == 0 {
		names, err := a.store.Views(ctx)
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %q; the view store has %q", ErrNoView, view, names)
	}
	return versions, nil
}

func (a *Admin) partitions(ctx context.Context, s *ViewSummary, v VersionInfo, owners map[int]string) error {
	checkpoints, err := a.store.Checkpoints(ctx, s.View, v.Number)
	if err != nil {
		return err
	}
	parked, err := a.parked(ctx, s.View, v)
	if err != nil {
		return err
	}
	for i, ck := range checkpoints {
		p := PartitionInfo{Partition: i, Position: ck.Position, Epoch: ck.Epoch, Owner: owners[i]}
		for _, ps := range parked {
			if ps.Partition == i {
				p.Parked += len(ps.Events)
			}
		}
		s.Parked += p.Parked
		if i == 0 || ck.Position < s.Position {
			s.Position = ck.Position
		}
		s.Partitions = append(s.Partitions, p)
	}
	return nil
}

func runnersIn(notes map[string][]byte) (all []Status) {
	for name, data := range notes {
		var st Status
		if strings.HasPrefix(name, statusNote) && json.Unmarshal(data, &st) == nil {
			all = append(all, st)
		}
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.Owner, b.Owner) })
	return all
}

// ownersIn returns who says that it works at each partition of a version.
func ownersIn(notes map[string][]byte, version int) map[int]string {
	owners := make(map[int]string)
	for name, data := range notes {
		owner, ok := strings.CutPrefix(name, memberNote)
		var m member
		if !ok || json.Unmarshal(data, &m) != nil || m.Version != version {
			continue
		}
		for _, p := range m.Partitions {
			owners[p] = owner
		}
	}
	return owners
}

// Parked returns the parked streams of the active version of a view, by stream
// and partition.
func (a *Admin) Parked(ctx context.Context, view string) ([]ParkedStream, error) {
	if _, err := a.versions(ctx, view); err != nil {
		return nil, err
	}
	v, err := a.store.Active(ctx, view)
	if err != nil {
		return nil, err
	}
	return a.parked(ctx, view, v)
}

func (a *Admin) parked(ctx context.Context, view string, v VersionInfo) ([]ParkedStream, error) {
	var all []ParkedStream
	for i := range v.Partitions {
		stored, err := a.store.Parked(ctx, view, v.Number, i)
		if err != nil {
			return nil, err
		}
		for stream, data := range stored {
			ps, err := decodeParked(stream, data)
			if err != nil {
				return nil, err
			}
			ps.Partition = i
			all = append(all, *ps)
		}
	}
	slices.SortFunc(all, func(a, b ParkedStream) int {
		if c := strings.Compare(a.Stream, b.Stream); c != 0 {
			return c
		}
		return a.Partition - b.Partition
	})
	return all, nil
}

// Pause stops the processing of a view everywhere, see [Runner.Pause]. It does
// not wait; the statuses of the runners tell when they have stopped.
func (a *Admin) Pause(ctx context.Context, view string) error {
	if _, err := a.versions(ctx, view); err != nil {
		return err
	}
	return a.store.PutNote(ctx, view, pausedNote, []byte(time.Now().UTC().Format(time.RFC3339)), 0)
}

// Resume ends a pause.
func (a *Admin) Resume(ctx context.Context, view string) error {
	if _, err := a.versions(ctx, view); err != nil {
		return err
	}
	return a.store.PutNote(ctx, view, pausedNote, nil, 0)
}

// RollBack makes the version before the active one active again, see
// [Runner.RollBack], and returns its number.
func (a *Admin) RollBack(ctx context.Context, view string) (version int, err error) {
	if _, err := a.versions(ctx, view); err != nil {
		return 0, err
	}
	return rollBack(ctx, a.store, view)
}

// DropVersion removes a version that is not active with all its data, without
// blocking readers. It returns [ErrNoVersion] or [ErrVersionActive].
func (a *Admin) DropVersion(ctx context.Context, view string, version int) error {
	versions, err := a.versions(ctx, view)
	if err != nil {
		return err
	}
	var numbers []int
	for _, v := range versions {
		numbers = append(numbers, v.Number)
	}
	if !slices.Contains(numbers, version) {
		return fmt.Errorf("%w: %d of view %q; there are %d", ErrNoVersion, version, view, numbers)
	}
	return a.store.DropVersion(ctx, view, version)
}
