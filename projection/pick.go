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
	v, err = f.p.store.Active(ctx, f.p.name)
	if err == nil && (v.Definition == f.p.definition || f.p.reactor != nil) {
		return v, true, f.p.sameLayout(v)
	}
	if err != nil && !errors.Is(err, ErrNotBuilt) {
		return v, false, err
	}
	if f.p.reactor != nil {
		return f.begin(ctx)
	}
	if err == nil && v.Definition > f.p.definition && !f.r.opts.StopOnNewDefinition {
		// This program is the older one. Two that replace each other's view would never end.
		return v, false, fmt.Errorf("view %q, version %d, was built by definition %d, which is newer than the program's %d; rebuild it to go back", f.p.name, v.Number, v.Definition, f.p.definition)
	}
	if err == nil && f.r.opts.StopOnNewDefinition {
		return v, false, fmt.Errorf("%w: view %q, version %d, was built by definition %d, the program has %d; rebuild it",
			ErrDefinitionChanged, f.p.name, v.Number, v.Definition, f.p.definition)
	}
	v, err = f.p.nextVersion(ctx, &f.r.opts)
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

// nextVersion returns the version that is being built, which is made if there
// is none.
func (p *Projection) nextVersion(ctx context.Context, opts *Options) (VersionInfo, error) {
	taken := 0 // highest number that was refused: just made by another process, or being dropped
	for {
		v, err := p.tryNextVersion(ctx, opts, taken)
		if !errors.Is(err, ErrVersionExists) {
			return v, err
		}
		taken = v.Number
	}
}

func (p *Projection) tryNextVersion(ctx context.Context, opts *Options, taken int) (VersionInfo, error) {
	versions, err := p.store.Versions(ctx, p.name)
	if err != nil {
		return VersionInfo{}, err
	}
	next := VersionInfo{Number: taken + 1, Partitions: opts.Partitions, Definition: p.definition, PerKey: p.perKey(), Created: time.Now().UTC()}
	active := 0
	for _, v := range versions {
		if v.Active {
			active = v.Number
		}
		next.Number = max(next.Number, v.Number+1)
	}
	if n := len(versions); n > 0 {
		last := versions[n-1]
		if last.Number > active && last.Definition == p.definition && p.sameLayout(last) == nil && !last.Built {
			return last, nil // goes on where it stopped
		}
	}
	return next, p.store.CreateVersion(ctx, p.name, next)
}
