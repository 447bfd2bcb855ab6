package projection

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/foldstream/foldstream/eventstore"
)

// Pause stops the processing of a view in all processes, once each has
// committed the batch at hand, until [Runner.Resume] is called; that is stored
// and outlives every process. It returns when this runner has stopped; others
// follow within their next look, at most a second. Readers go on to see the
// view as it is. If ctx is done before, the view is paused nevertheless, and
// stops here when the handler at hand returns.
func (r *Runner) Pause(ctx context.Context, view string) error {
	f, err := r.follower(view)
	if err != nil {
		return err
	}
	if err := f.p.store.PutNote(ctx, view, pausedNote, []byte(time.Now().UTC().Format(time.RFC3339)), 0); err != nil {
		return fmt.Errorf("pause view %q: %w", view, err)
	}
	resume, err := f.hold(ctx) // what runs ends; what begins finds the note
	if err != nil {
		return fmt.Errorf("pause view: %w", err)
	}
	resume()
	return nil
}

// Resume ends a pause. A view that is not paused stays as it is.
func (r *Runner) Resume(ctx context.Context, view string) error {
	f, err := r.follower(view)
	if err != nil {
		return err
	}
	if err := f.p.store.PutNote(ctx, view, pausedNote, nil, 0); err != nil {
		return fmt.Errorf("resume view %q: %w", view, err)
	}
	signal(f.poke)
	return nil
}

// SkipTo moves the checkpoints of the active version on to a position, so that
// the events up to there are never applied to it. Partitions that are further
// stay. What a view skips is back after a rebuild.
func (r *Runner) SkipTo(ctx context.Context, view string, position eventstore.Position) error {
	f, err := r.follower(view)
	if err != nil {
		return err
	}
	head, err := r.store.Head(ctx)
	if err != nil {
		return err
	}
	if position > head {
		return fmt.Errorf("skip view %q to position %d: the event store ends at %d", view, position, head)
	}
	resume, err := f.hold(ctx) // other processes are fenced and go on from the new checkpoints
	if err != nil {
		return fmt.Errorf("skip to position %d: %w", position, err)
	}
	defer resume()
	v, err := f.p.store.Active(ctx, view)
	if err != nil {
		return err
	}
	for i := range v.Partitions {
		if err := f.skip(ctx, v, i, position); err != nil {
			return fmt.Errorf("skip view %q, partition %d, to position %d: %w", view, i, position, err)
		}
	}
	return nil
}

func (f *follower) skip(ctx context.Context, v VersionInfo, partition int, position eventstore.Position) error {
	s, err := f.p.store.Acquire(ctx, f.p.name, v.Number, partition)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // a commit either happened or not
	return s.Commit(ctx, &Batch{Position: max(position, s.Checkpoint().Position)})
}

// RollBack makes the version before the active one active again, if it is
// still there and was built, and returns its number. The view then follows on
// from where that version was left. Where the definition of that version is an
// older one, a runner with [Options.StopOnNewDefinition] unset builds a new one
// again.
func (r *Runner) RollBack(ctx context.Context, view string) (version int, err error) {
	f, err := r.follower(view)
	if err != nil {
		return 0, err
	}
	if version, err = rollBack(ctx, f.p.store, view); err == nil {
		signal(f.poke)
	}
	return version, err
}

func rollBack(ctx context.Context, store ViewStore, view string) (int, error) {
	active, err := store.Active(ctx, view)
	if err != nil {
		return 0, err
	}
	versions, err := store.Versions(ctx, view)
	if err != nil {
		return 0, err
	}
	before := 0
	for _, v := range versions {
		if v.Built && v.Number < active.Number {
			before = v.Number
		}
	}
	if before == 0 {
		return 0, fmt.Errorf("%w: view %q has no built version before %d to go back to", ErrNoVersion, view, active.Number)
	}
	return before, store.Activate(ctx, view, before)
}

// waitWhilePaused reports whether it has waited, because the view is paused.
func (f *follower) waitWhilePaused(ctx context.Context) (waited bool, err error) {
	notes, err := f.p.store.Notes(ctx, f.p.name)
	if err != nil || notes[pausedNote] == nil {
		return false, err
	}
	f.set(StatePaused)
	f.known()
	f.serve(ctx, notes)
	opts := &f.r.opts
	err = f.publishStatus(ctx)
	_ = pause(ctx, f.poke, min(opts.LeaseTTL/3, time.Second))
	return true, err
}

// publishStatus tells other processes what this one does for the view.
func (f *follower) publishStatus(ctx context.Context) error {
	return f.publishFor(ctx, max(f.r.opts.LeaseTTL, 3*time.Second))
}

func (f *follower) publishFor(ctx context.Context, ttl time.Duration) error {
	head, err := f.r.store.Head(ctx)
	st := f.status(ctx, head)
	if err != nil && st.Source == nil {
		st.Source = err // so that no lag is not taken for none
	}
	data, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return f.p.store.PutNote(ctx, f.p.name, statusNote+f.r.opts.Owner, data, ttl)
}

// tell publishes why the view is not followed now. An error is for nobody: the
// view store may be what is away.
func (f *follower) tell(ctx context.Context, ttl time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	_ = f.publishFor(ctx, ttl)
}

const (
	tellTime   = 500 * time.Millisecond
	failureTTL = time.Hour // how long a failure can be seen, also after the process has ended
)
