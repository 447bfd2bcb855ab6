package projection

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Names of notes, see [ViewStore.Notes].
const (
	memberNote = "member/" // and the owner: a process that works at the view, or would
	statusNote = "status/" // and the owner: its [Status]
	pausedNote = "paused"  // there while the view is paused
)

// member is what a process says of itself to the others that follow a view.
type member struct {
	Version    int   `json:"version"`
	Partitions []int `json:"partitions"` // that it has
}

// buildLease is held by the one process that fills a version which is not read
// yet.
func buildLease(version int) string { return fmt.Sprintf("v%d", version) }

func partitionLease(version, partition int) string {
	return fmt.Sprintf("v%d/p%02d", version, partition)
}

func allLeases(v VersionInfo) []string {
	names := []string{buildLease(v.Number)}
	for i := range v.Partitions {
		names = append(names, partitionLease(v.Number, i))
	}
	return names
}

// release gives leases up even when ctx is done, so that another process need
// not wait for them to expire.
func release(ctx context.Context, store ViewStore, view, owner string, names []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = store.Release(ctx, view, owner, names...) // they expire anyway
}

// heartbeat tells the other processes that this one is there.
func (f *follower) heartbeat(ctx context.Context, version int, held map[int]bool) error {
	m := member{Version: version}
	for p := range held {
		m.Partitions = append(m.Partitions, p)
	}
	slices.Sort(m.Partitions)
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	opts := &f.r.opts
	return f.p.store.PutNote(ctx, f.p.name, memberNote+opts.Owner, data, opts.LeaseTTL)
}

// leases returns the names of all leases that the stretch may hold.
func (s *stretch) leases() []string { return allLeases(s.pl.version) }

// takeAll takes a version that is being built as a whole, or leaves it to the
// process that is at it.
func (s *stretch) takeAll(ctx context.Context) error {
	opts := &s.f.r.opts
	holders, err := s.f.p.store.Lease(ctx, s.f.p.name, opts.Owner, opts.LeaseTTL, s.leases()...)
	if err != nil {
		return err
	}
	if holders[0] != opts.Owner {
		release(ctx, s.f.p.store, s.f.p.name, opts.Owner, s.leases())
		s.stop(ctx, s.pl.here())
		clear(s.held)
		if v, err := s.f.p.store.Active(ctx, s.f.p.name); err == nil && v.Number >= s.pl.version.Number {
			return errSwitched // it was built meanwhile
		}
		versions, err := s.f.p.store.Versions(ctx, s.f.p.name)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(versions, func(v VersionInfo) bool { return v.Number == s.pl.version.Number }) {
			return errSwitched // it was given up
		}
		return nil
	}
	for i := range s.pl.version.Partitions {
		s.held[i] = true // who had one is fenced when it is taken over
	}
	return nil
}

// stop has lanes end, and waits for no longer than the other leases can do
// without being prolonged: a commit may take its time, and an effect may ignore
// its context.
func (s *stretch) stop(ctx context.Context, lanes []*lane) {
	s.crew.stop(ctx, lanes, min(s.f.r.opts.LeaseTTL/4, time.Second))
}

// share takes this process's share of the partitions of the active version:
// each live process has as many as another, or one more.
func (s *stretch) share(ctx context.Context, notes map[string][]byte) error {
	mine, claimed := s.fairShare(notes)
	if err := s.renew(ctx); err != nil {
		return err
	}
	if len(s.held) > mine {
		return s.releaseExcess(ctx, mine)
	}
	// First those that nobody claims to have. A claim may be stale, though.
	var candidates []int
	for _, wanted := range []bool{false, true} {
		for p := range s.pl.version.Partitions {
			if !s.held[p] && claimed[p] == wanted {
				candidates = append(candidates, p)
			}
		}
	}
	for len(candidates) > 0 && len(s.held) < mine {
		n := min(len(candidates), mine-len(s.held))
		if err := s.take(ctx, candidates[:n]); err != nil {
			return err
		}
		candidates = candidates[n:]
	}
	return nil
}

// fairShare returns how many partitions this process should have, and which
// ones others say they have.
func (s *stretch) fairShare(notes map[string][]byte) (mine int, claimed map[int]bool) {
	me := s.f.r.opts.Owner
	owners := []string{me}
	claimed = make(map[int]bool)
	for name, data := range notes {
		owner, ok := strings.CutPrefix(name, memberNote)
		var m member
		if !ok || owner == me || json.Unmarshal(data, &m) != nil || m.Version != s.pl.version.Number {
			continue
		}
		owners = append(owners, owner)
		for _, p := range m.Partitions {
			claimed[p] = true
		}
	}
	slices.Sort(owners)
	mine = s.pl.version.Partitions / len(owners)
	if slices.Index(owners, me) < s.pl.version.Partitions%len(owners) {
		mine++
	}
	return mine, claimed
}

// renew prolongs the leases that are held, and lets go of those that are lost.
func (s *stretch) renew(ctx context.Context) error {
	var held []int
	for p := range s.held {
		held = append(held, p)
	}
	if len(held) == 0 {
		return nil
	}
	lost, err := s.lease(ctx, held)
	if err != nil || len(lost) == 0 {
		return err
	}
	running := s.running()
	var lanes []*lane
	for _, p := range lost {
		delete(s.held, p)
		if l := running[p]; l != nil {
			lanes = append(lanes, l)
		}
	}
	s.f.r.opts.Logger.Warn("leases went to another process", "view", s.f.p.name, "partitions", lost)
	s.stop(ctx, lanes)
	return nil
}

// lease takes or prolongs the leases of partitions and returns those that
// another process has.
func (s *stretch) lease(ctx context.Context, partitions []int) (others []int, err error) {
	opts := &s.f.r.opts
	names := make([]string, len(partitions))
	for i, p := range partitions {
		names[i] = partitionLease(s.pl.version.Number, p)
	}
	holders, err := s.f.p.store.Lease(ctx, s.f.p.name, opts.Owner, opts.LeaseTTL, names...)
	if err != nil {
		return nil, err
	}
	for i, holder := range holders {
		if holder != opts.Owner {
			others = append(others, partitions[i])
		}
	}
	return others, nil
}

func (s *stretch) take(ctx context.Context, partitions []int) error {
	others, err := s.lease(ctx, partitions)
	if err != nil {
		return err
	}
	for _, p := range partitions {
		if !slices.Contains(others, p) {
			s.held[p] = true
		}
	}
	return nil
}

// releaseExcess hands partitions over to processes that have joined: the lanes
// commit what they have, and then the leases are free. A lane that has not ended
// by then keeps its lease, and others go in its stead.
func (s *stretch) releaseExcess(ctx context.Context, mine int) error {
	running := s.running()
	var held []int
	for p := range s.held {
		held = append(held, p)
	}
	slices.SortFunc(held, func(a, b int) int {
		return cmp.Or(late(running[b])-late(running[a]), a-b)
	})
	var lanes []*lane
	for _, p := range held[mine:] {
		if l := running[p]; l != nil {
			lanes = append(lanes, l)
		}
	}
	s.stop(ctx, lanes)
	var over []int
	var names []string
	for _, p := range held[mine:] {
		if late(running[p]) == 0 {
			delete(s.held, p)
			delete(s.retry, p)
			over, names = append(over, p), append(names, partitionLease(s.pl.version.Number, p))
		}
	}
	if len(over) == 0 {
		return nil
	}
	s.f.r.opts.Logger.Info("partitions are handed over", "view", s.f.p.name, "partitions", over)
	return s.f.p.store.Release(ctx, s.f.p.name, s.f.r.opts.Owner, names...)
}

// late is 1 for a lane that was told to end and has not, and otherwise 0.
func late(l *lane) int {
	if l == nil || closed(l.queue.ended) || !closed(l.stop) {
		return 0
	}
	return 1
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
