package projection

import (
	"context"
	"errors"
	"fmt"

	"github.com/foldstream/foldstream/eventstore"
)

// beginning is where a reactor begins that the view store knows nothing of:
// because it is new, or because the view store was emptied.
type beginning struct {
	known   bool
	from    eventstore.Position // after it
	history eventstore.Position // up to it [Meta.Replay] is set
	version int                 // number of the last that was seen, 0 if none was
}

// decide fixes where a new reactor begins, once. That must not wait for the
// view store, or what is appended meanwhile would be taken for history.
func (f *follower) decide(ctx context.Context) error {
	if f.begins.known {
		return nil
	}
	r := f.p.reactor
	b := beginning{known: true, from: r.from}
	if !r.fixed || r.from == 0 {
		head, err := f.r.store.Head(ctx)
		if err != nil {
			return err
		}
		if r.fixed {
			b.history = head
		} else {
			b.from = head
		}
	}
	f.begins = b
	return nil
}

// reached takes note of how far a reactor is stored in all partitions. Should
// the view store be emptied, it goes on from there.
func (f *follower) reached(low eventstore.Position) {
	if f.p.reactor != nil {
		f.begins.from = max(f.begins.from, low)
	}
}

// pickReactor returns the version of a reactor, which has begun then.
func (f *follower) pickReactor(ctx context.Context) (VersionInfo, error) {
	v, err := f.p.store.Active(ctx, f.p.name)
	if errors.Is(err, ErrNotBuilt) {
		v, err = f.begin(ctx)
	}
	if b := &f.begins; err == nil {
		if b.version == 0 {
			*b = beginning{known: true, from: v.From, history: v.History}
		}
		b.version = v.Number
	}
	return v, err
}

// begin makes the first version of a reactor, with checkpoints where it is to
// begin. One process does it; the others find it done.
func (f *follower) begin(ctx context.Context) (v VersionInfo, err error) {
	if err := f.decide(ctx); err != nil {
		return v, err
	}
	store, opts := f.p.store, &f.r.opts
	next := f.p.newVersion(opts)
	next.From, next.History = f.begins.from, f.begins.history
	next.Number = f.begins.version // one that was lost must not be taken for this one
	if v, err = f.p.nextVersion(ctx, next); err != nil {
		return v, err
	}
	lease := buildLease(v.Number)
	holders, err := store.Lease(ctx, f.p.name, opts.Owner, opts.LeaseTTL, lease)
	if err != nil {
		return v, err
	}
	defer release(ctx, store, f.p.name, opts.Owner, []string{lease})
	if now, err := store.Active(ctx, f.p.name); err == nil {
		return now, nil
	}
	if holders[0] != opts.Owner {
		return v, Transient(fmt.Errorf("%s is just beginning it", holders[0]))
	}
	for i := 0; v.From > 0 && i < v.Partitions; i++ {
		if err := f.skip(ctx, v, i, v.From); err != nil {
			return v, err
		}
	}
	if err := store.Activate(ctx, f.p.name, v.Number); err != nil {
		return v, err
	}
	v.Active, v.Built = true, true
	f.r.opts.Logger.Info("reactor begins", "reactor", f.p.name, "after", uint64(v.From), "history", uint64(v.History))
	return v, nil
}
