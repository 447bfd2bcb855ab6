package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// pick chooses the version to work at: the active one, or a new one when there
// is none or its definition is another.
func (f *follower) pick(ctx context.Context) (v VersionInfo, active bool, err error) {
	if f.p.reactor != nil {
		v, err = f.pickReactor(ctx)
		return v, true, err
	}
	v, err = f.p.store.Active(ctx, f.p.name)
	if err == nil && v.Definition == f.p.definition {
		return v, true, f.p.sameLayout(v)
	}
	if err != nil && !errors.Is(err, ErrNotBuilt) {
		return v, false, err
	}
	if err == nil && v.Definition > f.p.definition && !f.r.opts.StopOnNewDefinition {
		// This program is the older one. Two that replace each other's view would never end.
		return v, false, fmt.Errorf("view %q, version %d, was built by definition %d, which is newer than the program's %d; rebuild it to go back", f.p.name, v.Number, v.Definition, f.p.definition)
	}
	if err == nil && f.r.opts.StopOnNewDefinition {
		return v, false, fmt.Errorf("%w: view %q, version %d, was built by definition %d, the program has %d; rebuild it",
			ErrDefinitionChanged, f.p.name, v.Number, v.Definition, f.p.definition)
	}
	v, err = f.p.nextVersion(ctx, f.p.newVersion(&f.r.opts))
	return v, false, err
}

// sameLayout refuses a version that stores documents in another way. Two
// programs of one definition must not replace each other's versions.
func (p *Projection) sameLayout(v VersionInfo) error {
	if slices.Equal(v.PerKey, p.perKey()) {
		return nil
	}
	return fmt.Errorf("%w: view %q, version %d, has the collections %q stored per key, the program wants %q; raise projection.Definition, or rebuild it",
		ErrDefinitionChanged, p.name, v.Number, v.PerKey, p.perKey())
}

// perKey returns what goes into [VersionInfo.PerKey].
func (p *Projection) perKey() []string {
	var names []string
	for _, t := range p.targets {
		if t.base().perKey {
			names = append(names, t.base().name)
		}
	}
	slices.Sort(names)
	return names
}

// newVersion returns what a new version is like, but for its number.
func (p *Projection) newVersion(opts *Options) VersionInfo {
	return VersionInfo{Partitions: opts.Partitions, Definition: p.definition, PerKey: p.perKey(), Created: time.Now().UTC()}
}

// nextVersion returns the version that is being built, which is made like next
// if there is none, with a number above next's.
func (p *Projection) nextVersion(ctx context.Context, next VersionInfo) (VersionInfo, error) {
	taken := next.Number // highest that was refused: just made by another process, or being dropped
	for {
		v, err := p.tryNextVersion(ctx, next, taken)
		if !errors.Is(err, ErrVersionExists) {
			return v, err
		}
		taken = v.Number
	}
}

func (p *Projection) tryNextVersion(ctx context.Context, next VersionInfo, taken int) (VersionInfo, error) {
	versions, err := p.store.Versions(ctx, p.name)
	if err != nil {
		return VersionInfo{}, err
	}
	next.Number = taken + 1
	active := 0
	for _, v := range versions {
		if v.Active {
			active = v.Number
		}
		next.Number = max(next.Number, v.Number+1)
	}
	if n := len(versions); n > 0 {
		last := versions[n-1]
		fits := p.reactor != nil || last.Definition == p.definition && p.sameLayout(last) == nil
		if last.Number > active && fits && !last.Built {
			return last, nil // goes on where it stopped
		}
	}
	return next, p.store.CreateVersion(ctx, p.name, next)
}
